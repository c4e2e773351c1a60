"""Sources that are not pinned, not there, or cannot be had."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from build_tools.config import BuildConfig, default_cache_dir
from build_tools.doctor import basics, reach, trees
from build_tools.doctor.basics import Source
from build_tools.doctor.facts import Reach
from build_tools.errors import OfflineError, PinError
from build_tools.fetch import resolve as fetch
from build_tools.pins import load_pins
from build_tools.sources import resolve
from tests.build_tools.doctor.cases import (
    FATAL,
    NOTE,
    ROOT,
    WARNING,
    cmake,
    findings,
    make_facts,
    only,
    outcome,
    project,
    severities,
    upstream,
)
from tests.build_tools.site import make_site
from tests.build_tools.support import make_host, write_tree

if TYPE_CHECKING:
    from pathlib import Path


def needed(*arguments: str | Path):
    """The sources that a build with these settings needs."""
    return basics.sources(resolve([*map(str, arguments)], {}, {}).config)


def test_release_not_pinned(tmp_path):
    missing = needed("--onnx-version", "1.99.0")
    assert isinstance(missing, PinError)
    facts = make_facts("--onnx-version", "1.99.0", sources=missing)
    finding = only("release-not-pinned", facts)
    assert finding.severity is FATAL
    assert "1.23.2" in finding.evidence
    assert findings("release-not-pinned", upstream(facts)) == ()
    site = make_site(tmp_path, "--onnx-version", "1.99.0", probed=default_cache_dir())
    with pytest.raises(PinError, match=r"onnx 1\.99\.0 is not pinned"):
        fetch(site.pins, "onnx", site.fetcher, "1.99.0")


def test_release_unknown():
    """Upstream's build of a release that nothing is known of is not said to be fine."""
    ancient, none = (make_facts("--onnx-version", text) for text in ("1.2.3", "abc"))
    assert (
        "first release that is known is 1.13.0"
        in only("release-unknown", upstream(ancient)).evidence
    )
    assert "no version" in only("release-unknown", upstream(none)).evidence
    assert findings("release-unknown", ancient) == ()
    assert findings("release-unknown", upstream(make_facts())) == ()


def test_release_too_old():
    """1.17 is pinned, for upstream's own wheel; the engine cannot be compiled with it."""
    facts = make_facts("--onnx-version", "1.17.0")
    assert only("release-too-old", facts).severity is FATAL
    assert findings("release-too-old", upstream(facts)) == ()
    assert findings("release-too-old", make_facts()) == ()
    needs = (ROOT / "cpp/io/inference.cc").read_text(encoding="utf-8")
    assert "hasOutput" in needs, "is it still true that old releases cannot be used?"


class TestUnreachable:
    def test_sources_unreachable_offline(self, tmp_path):
        given = ("--offline", "--cache-dir", tmp_path)
        sources = needed(*given)
        assert [source.pin.name for source in sources] == ["protobuf", "onnx", "highway", "magika"]
        assert not any(source.usable for source in sources)
        facts = make_facts(*given, sources=sources)
        found = findings("sources-unreachable", facts)
        assert [finding.severity for finding in found] == [FATAL] * 4
        site = make_site(tmp_path, *given, probed=default_cache_dir())
        with pytest.raises(OfflineError):
            fetch(site.pins, "onnx", site.fetcher, None)

    def test_what_is_in_a_folder_is_at_hand(self, tmp_path):
        pin = load_pins().pin("highway")
        size = pin.places[0].size
        (tmp_path / "anything.tar.gz").write_bytes(bytes(size or 10))
        (tmp_path / pin.places[0].filename).write_text("not the one")
        config = BuildConfig(cache_dir=tmp_path / "cache", archives=(tmp_path,), smoke=False)
        assert [source.at_hand for source in basics.sources(config)] == ["", "", ""]
        kept = tmp_path / "cache/archives" / pin.places[0].sha256
        write_tree(kept.parent, {kept.name: ""})
        assert [source.at_hand for source in basics.sources(config)] == ["", "", "the cache"]

    def test_sources_unreachable_because_no_host_answers(self, tmp_path):
        """A real host, this one, at a port where nobody listens."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environ = {
            "PIP_INDEX_URL": f"http://127.0.0.1:{port}/simple",
            "PIP_CONFIG_FILE": "/dev/null",
        }
        sources = needed("--cache-dir", tmp_path)
        config = BuildConfig(cache_dir=tmp_path)
        asking = reach.questions(sources, config, make_host(environ=environ))
        index = next(iter(asking))()
        assert "cannot be reached" in index.problem
        assert "onnx 1.23.2" in index.needed_for
        facts = make_facts("--cache-dir", tmp_path, sources=sources, reaches=(index,))
        found = findings("sources-unreachable", facts)
        fatal = [finding for finding in found if finding.severity is FATAL]
        assert any("onnx 1.23.2" in finding.what for finding in fatal)
        assert any("--archives" in fix for fix in fatal[0].fix)

    def test_a_substitute_is_enough(self):
        pins = load_pins()
        protobuf = pins.pin("protobuf")
        others = tuple(Source(pin=pin, at_hand="") for pin in pins.substitutes(protobuf))
        source = Source(pin=protobuf, at_hand="", substitutes=others)
        dead = Reach(name="host", problem="it is dead", needed_for=(str(protobuf),))
        alive = Reach(name="index", problem="", needed_for=(str(others[-1].pin),))
        facts = make_facts(sources=(source,), reaches=(dead, alive))
        assert severities("sources-unreachable", facts) == [NOTE]
        lonely = make_facts(sources=(source,), reaches=(dead,))
        assert severities("sources-unreachable", lonely) == [FATAL, NOTE]

    def test_what_upstream_fetches_in_the_middle(self):
        dead = Reach(name="github.com", problem="it is dead")
        facts = upstream(make_facts("--onnx-version", "1.20.0", reaches=(dead,)))
        found = findings("sources-unreachable", facts)
        assert [finding.severity for finding in found] == [NOTE, WARNING]
        assert "protobuf 31.1 and nanobind" in found[1].what


def test_submodules_missing(tmp_path):
    """An archive of a tag: the folders of the submodules are there and empty."""
    tree = write_tree(tmp_path, {"onnx/onnx.in.proto": "", "VERSION_NUMBER": "1.13.1\n"})
    (tree / "third_party/pybind11").mkdir(parents=True)
    found = tuple(trees.source_trees(make_host(), tree))
    assert found[0].empty_submodules == ("third_party/pybind11",)
    facts = make_facts(source_trees=found)
    assert only("submodules-missing", upstream(facts)).severity is FATAL
    assert only("submodules-missing", facts).severity is NOTE
    source = project(
        tree,
        "cmake_minimum_required(VERSION 3.26)\nproject(x NONE)\n"
        "add_subdirectory(third_party/pybind11)\n",
    )
    assert "does not contain a CMakeLists.txt file" in " ".join(cmake(source).stderr.split())
    write_tree(tree, {"third_party/pybind11/CMakeLists.txt": ""})
    whole = tuple(trees.source_trees(make_host(), tree))
    assert findings("submodules-missing", make_facts(source_trees=whole)) == ()
    assert outcome("submodules-missing", make_facts()).not_applicable
