"""Building from a bundle: its archives, its wheels, and nothing from anywhere else."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from build_tools.bundle_file import ARCHIVES, WHEELS, fit_of_this_machine, open_bundle
from build_tools.storage import locked

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from build_tools.host import Host
    from build_tools.record import Record
    from build_tools.sources import Resolved


def use_bundle(resolved: Resolved, host: Host, record: Record) -> tuple[Resolved, Host]:
    """Return the settings and the machine as they are where only the bundle can be asked.

    Without --bundle they are as they were. Raises what opening a bundle raises.
    """
    file = resolved.config.bundle
    if file is None:
        return resolved, host
    build = resolved.config.build_dir.absolute()
    folder = build / "bundle"
    with locked(build / "bundle.lock", "the bundle", record), record.step("bundle: verify"):
        open_bundle(file, folder, fit_of_this_machine())
    why = "its files have the digests of its manifest, and it is for this lock file and Python"
    record.decide("sources and packages", f"those of {file}", why, resolved.origins["bundle"])
    archives = (*resolved.config.archives, folder / ARCHIVES)
    config = replace(resolved.config, archives=archives, offline=True)
    environ = only_from(folder / WHEELS, host.environ)
    return replace(resolved, config=config), replace(host, environ=environ)


def only_from(wheels: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which pip takes packages from one folder and asks no index."""
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith(("PIP_INDEX", "PIP_EXTRA_INDEX", "UV_"))
    }
    return {
        **kept,
        "PIP_NO_INDEX": "1",
        # A list separated by blanks: an address has none, a path may.
        "PIP_FIND_LINKS": wheels.absolute().as_uri(),
        "PIP_CONFIG_FILE": os.devnull,
        "UV_NO_CONFIG": "1",
    }
