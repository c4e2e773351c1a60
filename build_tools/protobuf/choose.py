"""Which of the described protobufs to use: a pure function, with reasons and rejections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.version import Version

from build_tools.config import Linkage
from build_tools.protobuf.model import Choice, Rejected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from build_tools.protobuf.model import Description, Wanted

OLDEST = Version("3.20.2")
"""Before this one: CVE-2022-1941, and no ONNX release of today was built with it."""

FIRST_WITH_ABSEIL = Version("22.0")
"""From this one on, protobuf's library cannot be linked without some forty of abseil's."""


def choose(descriptions: Sequence[Description], wanted: Wanted) -> Choice:
    """Choose the first description that can be used, with the linkage that is wanted if possible.

    Another linkage stands in only where no person asked this builder for one; what is then not
    followed stands in ``contradicts``.
    """
    reasons = [objections(entry, wanted) for entry in descriptions]
    good = [entry for entry, against in zip(descriptions, reasons, strict=True) if not against]
    as_wanted = [entry for entry in good if entry.linkage is wanted.linkage]
    stand_ins = [] if wanted.explicit else good
    chosen = next(iter([*as_wanted, *stand_ins]), None)
    rejected = tuple(
        Rejected(description=entry, reasons=against or (_not_needed(entry, wanted),))
        for entry, against in zip(descriptions, reasons, strict=True)
        if entry is not chosen
    )
    if chosen is None:
        return Choice(chosen=None, reason="none of those found can be used", rejected=rejected)
    reason = f"{chosen.candidate.origin}: every part of it belongs together and every probe passed"
    contradicts = ""
    if chosen.linkage is not wanted.linkage:
        contradicts = _contradiction(chosen, wanted, rejected)
    return Choice(chosen=chosen, reason=reason, rejected=rejected, contradicts=contradicts)


def objections(description: Description, wanted: Wanted) -> tuple[str, ...]:
    """Return why a description cannot be used, whatever its linkage; empty if it can be."""
    against = list(description.problems)
    install = description.install
    if install is None or not install.version:
        return tuple(against)
    version = Version(install.version)
    if wanted.version is None and version < OLDEST:
        against.append(f"protobuf {version} is older than {OLDEST}, the oldest that is known good")
    if wanted.version is not None and Version(wanted.version) != version:
        against.append(f"it is protobuf {version}, and {wanted.version} is asked for")
    if version >= FIRST_WITH_ABSEIL:
        against.append(
            f"protobuf {version} cannot be linked without abseil; releases before "
            f"{FIRST_WITH_ABSEIL} can"
        )
    return tuple(against)


def _not_needed(description: Description, wanted: Wanted) -> str:
    if description.linkage is not wanted.linkage:
        return f"usable, but {wanted.linkage} is wanted ({wanted.who})"
    return "usable, but another one comes first"


def _contradiction(chosen: Description, wanted: Wanted, rejected: Sequence[Rejected]) -> str:
    assert chosen.install is not None
    library = chosen.install.lite_library
    why = "; ".join(
        reason
        for entry in rejected
        if entry.description.linkage is wanted.linkage
        for reason in entry.reasons
    )
    flag = "ON" if chosen.linkage is Linkage.SHARED else "OFF"
    return (
        f"{wanted.linkage} protobuf was asked for ({wanted.who}), but what can be used is the "
        f"{chosen.linkage} library {library}, so ONNX_USE_PROTOBUF_SHARED_LIBS={flag} it is "
        f"({wanted.linkage}: {why})"
    )
