"""``cache list|verify|prune`` as a person and as a program see it."""

from __future__ import annotations

import json
import os
import time

import pytest

from build_tools.__main__ import main
from build_tools.cache import Cache
from build_tools.errors import CacheError, UsageError
from build_tools.pins import load_pins
from build_tools.record import Record
from tests.build_tools.source_worker import INPUTS


@pytest.fixture
def root(tmp_path):
    """A cache with a prefix and with what claims to be the archive of ONNX."""
    folder = tmp_path / "c"

    def install(path):
        (path / "libtoy.a").write_bytes(bytes(2_500_000))

    Cache(folder, Record()).prefix("toy", "1.0", INPUTS, install)
    return folder


@pytest.fixture
def run(root, capsys):
    def call(*arguments):
        code = main(["cache", *arguments, "--cache-dir", str(root)])
        return code, *capsys.readouterr()

    return call


def spoil(root):
    (library,) = root.glob("prefixes/*/libtoy.a")
    library.write_bytes(b"x" + bytes(2_499_999))


def test_list_shows_each_entry_and_the_sum(run, root):
    archive = root / "archives" / load_pins().pin("onnx").places[0].sha256
    archive.parent.mkdir()
    archive.write_bytes(b"12345")
    (root / "prefixes" / "half-1.0-dead").mkdir()
    code, out, _ = run("list")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split()[:4] == ["archive", "onnx", "1.23.2:", "onnx-1.23.2.tar.gz"]
    assert any("half-1.0-dead (unfinished)" in line for line in lines)
    assert any("toy-1.0-" in line and "2.5 MB" in line for line in lines)
    assert lines[-1] == f"{root}: 3 entries, 2.5 MB"


def test_list_for_a_program(run, root):
    code, out, _ = run("list", "--json")
    found = json.loads(out)
    assert (code, found["root"]) == (0, str(root))
    (entry,) = found["entries"]
    assert (entry["kind"], entry["size"], entry["finished"]) == ("prefix", 2_500_000, True)
    assert entry["inputs"]["compiler"] == "gcc 12"


def test_list_of_a_cache_that_is_not_there_is_empty(run, root, tmp_path):
    root.rename(tmp_path / "elsewhere")
    code, out, _ = run("list")
    assert (code, out) == (0, f"{root}: 0 entries, 0 B\n")
    assert not root.exists()


def test_verify_of_a_sound_cache(run, root):
    code, out, _ = run("verify")
    assert (code, out) == (0, f"{root}: 1 entries, all sound\n")


def test_verify_finds_and_removes_damage(run, root):
    spoil(root)
    code, out, err = run("verify")
    assert (code, out) == (CacheError.exit_code, "")
    assert "libtoy.a is changed" in err
    assert "makes them again" in err
    assert list((root / "prefixes").iterdir()) == []
    assert run("verify")[0] == 0


def test_verify_can_only_look(run, root):
    spoil(root)
    assert run("verify", "--keep")[0] == CacheError.exit_code
    assert list(root.glob("prefixes/*/libtoy.a"))


def test_verify_for_a_program(run, root):
    spoil(root)
    code, out, _ = run("verify", "--json")
    (entry,) = json.loads(out)["entries"]
    assert code == CacheError.exit_code
    assert entry["problems"] == ["libtoy.a is changed"]
    assert entry["removed"] is True


@pytest.mark.parametrize(
    ("age", "limit", "left"), [(5, "4d", 0), (5, "6d", 1), (5, "1w", 1), (1, "23h", 0)]
)
def test_prune_by_age(run, root, age, limit, left):
    (manifest,) = root.glob("prefixes/*.json")
    used = time.time() - age * 86400
    os.utime(manifest, (used, used))
    code, out, _ = run("prune", "--older-than", limit)
    assert code == 0
    assert len(list(root.glob("prefixes/*/libtoy.a"))) == left
    assert out.splitlines()[-1].startswith(f"{root}: {1 - left} entries removed")


def test_prune_keeps_what_is_in_use_unless_told_all(run, root):
    run("prune")
    assert list(root.glob("prefixes/*/libtoy.a"))
    code, out, _ = run("prune", "--all", "--json")
    assert (code, len(json.loads(out)["removed"])) == (0, 1)
    assert not list(root.glob("prefixes/*"))


def test_an_age_that_is_none_is_an_error(run):
    code, _, err = run("prune", "--older-than", "soon")
    assert code == UsageError.exit_code
    assert "soon" in err
