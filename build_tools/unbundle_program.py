"""Unpack the wheels of a bundle: FILE FOLDER.

``noxfile.py`` runs it before any package is installed, since these are the packages.
"""

from __future__ import annotations

import sys
from pathlib import Path

from build_tools.bundle_file import WHEELS, fit_of_this_machine, open_bundle
from build_tools.errors import BuilderError


def main(file: str, folder: str) -> int:
    """Unpack and return the exit code."""
    try:
        open_bundle(Path(file), Path(folder), fit_of_this_machine(), below=f"{WHEELS}/")
    except BuilderError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
