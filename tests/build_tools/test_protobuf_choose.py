"""The choice is a function of the descriptions and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from build_tools.config import Linkage
from build_tools.protobuf.choose import choose, objections
from build_tools.protobuf.model import Candidate, Description, ProtobufInstall, Wanted

STATIC, SHARED = Linkage.STATIC, Linkage.SHARED
ANY = Wanted(linkage=STATIC, version=None, explicit=False, who="default")
ORDER = replace(ANY, explicit=True, who="--protobuf on the command line")


def described(
    name: str, linkage: Linkage = STATIC, *problems: str, version: str = "3.21.12"
) -> Description:
    root = Path("/opt") / name
    suffix = "a" if linkage is STATIC else "so"
    install = ProtobufInstall(
        root=root,
        version=version,
        protoc=root / "bin/protoc",
        protoc_version=version,
        include_dir=root / "include",
        header_version=version,
        lite_library=root / f"lib/libprotobuf-lite.{suffix}",
        library=None,
        linkage=linkage,
        origin=name,
    )
    return Description(
        candidate=Candidate(root=root, origin=name),
        linkage=linkage,
        install=install,
        problems=problems,
    )


def test_first_usable_wins_and_the_rest_have_reasons() -> None:
    bad = described("bad", STATIC, "not position independent")
    one, two = described("one"), described("two")
    choice = choose([bad, one, two], ANY)
    assert choice.chosen is one
    assert choice.reason.startswith("one: ")
    assert [(entry.description, entry.reasons) for entry in choice.rejected] == [
        (bad, ("not position independent",)),
        (two, ("usable, but another one comes first",)),
    ]
    assert choice.contradicts == ""


def test_nothing_to_choose_from() -> None:
    assert choose([], ANY).chosen is None
    assert choose([described("bad", STATIC, "broken")], ANY).chosen is None


def test_wanted_linkage_wins_over_order() -> None:
    static, shared = described("both", STATIC), described("both", SHARED)
    choice = choose([static, shared], replace(ANY, linkage=SHARED))
    assert choice.chosen is shared
    assert choice.rejected[0].reasons == ("usable, but shared is wanted (default)",)


def test_the_file_wins_over_a_wish_and_says_so() -> None:
    wish = replace(ANY, linkage=SHARED, who="environment ONNX_USE_PROTOBUF_SHARED_LIBS=ON")
    missing = Description(
        candidate=Candidate(root=Path("/opt/x"), origin="x"),
        linkage=SHARED,
        install=None,
        problems=("no shared library",),
    )
    choice = choose([missing, described("x", STATIC)], wish)
    assert choice.chosen is not None
    assert choice.chosen.linkage is STATIC
    assert "environment ONNX_USE_PROTOBUF_SHARED_LIBS=ON" in choice.contradicts
    assert "so ONNX_USE_PROTOBUF_SHARED_LIBS=OFF it is" in choice.contradicts
    assert "no shared library" in choice.contradicts


def test_an_order_is_never_bent() -> None:
    assert choose([described("x", SHARED)], ORDER).chosen is None


@pytest.mark.parametrize(
    ("version", "asked", "words"),
    [
        ("3.19.4", None, "older than 3.20.2"),
        ("3.20.3", "3.20.2", "it is protobuf 3.20.3, and 3.20.2 is asked for"),
        ("25.1", None, "cannot be linked without abseil"),
    ],
)
def test_versions_that_cannot_be_used(version: str, asked: str | None, words: str) -> None:
    (reason,) = objections(described("x", version=version), replace(ANY, version=asked))
    assert words in reason


@pytest.mark.parametrize(
    ("version", "asked"), [("3.20.2", None), ("3.21.12", None), ("3.21.12", "3.21.12")]
)
def test_versions_that_can(version: str, asked: str | None) -> None:
    assert objections(described("x", version=version), replace(ANY, version=asked)) == ()


def test_an_old_one_that_is_asked_for_by_version_is_the_users_own_choice() -> None:
    assert objections(described("x", version="3.19.4"), replace(ANY, version="3.19.4")) == ()
