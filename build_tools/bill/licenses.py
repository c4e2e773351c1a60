"""The text of a component's licence, from its own files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from build_tools.errors import WheelError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_LINES = re.compile(r"(?://[^\n]*\n)+")
_BLOCK = re.compile(r"/\*+\n(?:(?! ?\*/)[^\n]*\n)*")
_COMMENT_MARK = re.compile(r"^(?://|/\*+| ?\*(?!/))[ \t]?", re.MULTILINE)
_GRANTS = ("redistribution and use", "permission is hereby granted", "licensed under")


def license_file(candidates: Iterable[Path], what: str) -> bytes:
    """Return the first of the files that is there, with plain line ends; raises WheelError."""
    looked = []
    for path in candidates:
        if path.is_file():
            return _plain(path.read_text(encoding="utf-8"))
        looked.append(f"{path}: not there")
    raise _missing(what, looked)


def leading_comment(source: Path, what: str) -> bytes:
    """Return the licence that a C++ file opens with; raises WheelError where it opens with none.

    It is the same in an archive, in a package of a distribution and in an installed prefix, while a
    LICENSE file is in some of them only.
    """
    content = source.read_text(encoding="utf-8") if source.is_file() else ""
    comment = _LINES.match(content) or _BLOCK.match(content)
    text = _COMMENT_MARK.sub("", comment[0]) if comment else ""
    if not any(grant in text.lower() for grant in _GRANTS):
        raise _missing(what, [f"{source}: does not open with a licence"])
    return _plain(text)


def _plain(text: str) -> bytes:
    return ("\n".join(line.rstrip() for line in text.splitlines()).strip("\n") + "\n").encode()


def _missing(what: str, looked: list[str]) -> WheelError:
    return WheelError(
        f"the text of {what}'s licence was not found, and a wheel must carry it",
        looked=looked,
        fix=f"use a {what} whose files carry their licence",
    )
