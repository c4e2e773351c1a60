"""An entry of the cache is whole or not there, whoever is killed and however many run at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from build_tools.cache import Cache, Kind
from build_tools.errors import CacheError, CompileError, DiskFullError
from build_tools.record import Record
from tests.build_tools import web as answers
from tests.build_tools.archives import sha256, tree
from tests.build_tools.source_bench import DATA, Bench, links_at, on_index, pin, release
from tests.build_tools.source_worker import INPUTS
from tests.build_tools.support import Watcher

ROOT = Path(__file__).resolve().parents[2]


def install(folder):
    (folder / "lib").mkdir()
    (folder / "lib" / "libtoy.a").write_bytes(b"library")
    (folder / "lib" / "libtoy.so").symlink_to("libtoy.a")
    (folder / "toy.pc").write_text(f"prefix={folder}", encoding="utf-8")


def must_not_run(_folder):
    raise AssertionError("was built although it is in the cache")


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "a cache", Record())


def again(cache, **options):
    """The same cache as the next run sees it."""
    return Cache(cache.root, Record(), **options)


# Prefixes


def test_what_was_built_once_is_found_by_the_next_run(cache):
    first = cache.prefix("toy", "1.0", INPUTS, install)
    second = again(cache).prefix("toy", "1.0", INPUTS, must_not_run)
    assert (first.hit, second.hit) == (False, True)
    assert first.path == second.path == cache.root / "prefixes" / f"toy-1.0-{first.key}"


def test_a_library_stays_where_it_was_installed(cache):
    prefix = cache.prefix("toy", "1.0", INPUTS, install)
    assert (prefix.path / "toy.pc").read_text(encoding="utf-8") == f"prefix={prefix.path}"


@pytest.mark.parametrize(
    ("version", "inputs"),
    [("1.1", INPUTS), ("1.0", {**INPUTS, "flags": "-O3"}), ("1.0", {**INPUTS, "more": ""})],
)
def test_any_other_input_is_another_entry(cache, version, inputs):
    first = cache.prefix("toy", "1.0", INPUTS, install)
    other = cache.prefix("toy", version, inputs, install)
    assert not other.hit
    assert other.path != first.path


def test_the_order_of_the_inputs_is_no_difference(cache):
    cache.prefix("toy", "1.0", INPUTS, install)
    backwards = dict(reversed(INPUTS.items()))
    assert again(cache).prefix("toy", "1.0", backwards, must_not_run).hit


def test_a_failed_build_leaves_nothing_and_says_its_own_error(cache):
    def fail(folder):
        install(folder)
        raise CompileError("does not compile")

    with pytest.raises(CompileError, match="does not compile"):
        cache.prefix("toy", "1.0", INPUTS, fail)
    assert list((cache.root / "prefixes").iterdir()) == []
    assert not again(cache).prefix("toy", "1.0", INPUTS, install).hit


def test_an_interrupted_build_leaves_nothing(cache):
    def interrupted(folder):
        install(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.prefix("toy", "1.0", INPUTS, interrupted)
    assert list((cache.root / "prefixes").iterdir()) == []


def test_a_build_that_installs_nothing_is_an_error(cache):
    with pytest.raises(CacheError, match="its folder is empty"):
        cache.prefix("toy", "1.0", INPUTS, lambda folder: (folder / "lib").mkdir())
    assert cache.entries() == ()


def test_force_builds_again_once_in_a_run(cache):
    cache.prefix("toy", "1.0", INPUTS, install)
    forced = again(cache, force=True)
    assert not forced.prefix("toy", "1.0", INPUTS, install).hit
    assert forced.prefix("toy", "1.0", INPUTS, must_not_run).hit


@pytest.mark.parametrize("damage", ["missing", "shorter", "no manifest", "bad manifest", "no tree"])
def test_visible_damage_is_repaired_by_building_again(cache, damage):
    prefix = cache.prefix("toy", "1.0", INPUTS, install)
    library = prefix.path / "lib" / "libtoy.a"
    manifest = prefix.path.with_name(prefix.path.name + ".json")
    if damage == "missing":
        library.unlink()
    elif damage == "shorter":
        library.write_bytes(b"lib")
    elif damage == "no manifest":
        manifest.unlink()
    elif damage == "bad manifest":
        manifest.write_text('{"schema": 1', encoding="utf-8")
    else:
        (prefix.path / "toy.pc").unlink()
        (prefix.path / "lib" / "libtoy.so").unlink()
        library.unlink()
    assert not again(cache).prefix("toy", "1.0", INPUTS, install).hit
    assert library.read_bytes() == b"library"


def test_a_cache_that_cannot_be_written_is_said_so(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CacheError) as caught:
        Cache(tmp_path / "file" / "c", Record()).prefix("toy", "1.0", INPUTS, must_not_run)
    assert "--cache-dir" in str(caught.value)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs to mount read-only")
def test_a_read_only_cache_is_read_and_not_written(tmp_path):
    root = tmp_path / "cache"
    Cache(root, Record()).prefix("toy", "1.0", INPUTS, install)
    bind = ["mount", "-o", "bind,ro", str(root), str(root)]
    if subprocess.run(bind, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        cache = Cache(root, Record())
        assert cache.prefix("toy", "1.0", INPUTS, must_not_run).hit
        with pytest.raises(CacheError, match=r"[Rr]ead-only"):
            cache.prefix("toy", "2.0", INPUTS, must_not_run)
    finally:
        subprocess.run(["umount", str(root)], check=True)


def test_a_full_device_is_said_so_and_nothing_is_left(small_disk):
    cache = Cache(small_disk, Record())

    def install_much(folder):
        (folder / "big.a").write_bytes(bytes(3_000_000))

    with pytest.raises(DiskFullError, match="no room left"):
        cache.prefix("toy", "1.0", INPUTS, install_much)
    assert list((small_disk / "prefixes").iterdir()) == []
    assert not cache.prefix("toy", "1.0", INPUTS, install).hit


# Sources


def test_a_source_is_fetched_and_unpacked_once(tmp_path, web):
    bench = Bench(tmp_path)
    cache = Cache(tmp_path, bench.record)
    wanted = pin(release(web.at("/f", answers.whole(DATA))))
    path = cache.source(wanted, bench.fetcher)
    assert sorted(tree(path)) == ["configure", "data.bin", "src/lib.cc"]
    web.at("/f", answers.status(500))
    (tmp_path / "archives" / sha256(DATA)).unlink()
    assert cache.source(wanted, bench.fetcher) == path
    bench.fetcher.close()


def test_one_place_has_one_tree_and_another_place_another(tmp_path, web):
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / on_index().filename).write_bytes(DATA)
    bench = Bench(tmp_path / "c", locations=(links_at(str(tmp_path / "links")),))
    cache = Cache(tmp_path / "c", bench.record)
    from_release = cache.source(pin(release(web.at("/f", answers.whole(DATA)))), bench.fetcher)
    from_index = cache.source(pin(on_index()), bench.fetcher)
    assert from_release != from_index
    assert tree(from_release) == tree(from_index)
    bench.fetcher.close()


# Killed, and two at once


def worker(*arguments):
    command = [sys.executable, "-m", "tests.build_tools.source_worker", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finished(process):
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return Path(out.strip())


def wait_for(condition):
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("did not happen within 20 s")


def kill(process):
    process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    process.communicate()


def test_of_two_processes_one_builds_and_the_other_waits(tmp_path):
    diary = tmp_path / "diary"
    both = [worker("prefix", tmp_path / "c", diary, 0.5) for _ in range(2)]
    paths = {finished(process) for process in both}
    assert len(paths) == 1
    assert len(diary.read_text(encoding="utf-8").splitlines()) == 1
    assert sorted(tree(paths.pop())) == ["lib/first.a", "lib/second.a"]


def test_of_two_threads_one_builds_and_the_other_says_that_it_waits(cache):
    gate, watcher, built = threading.Event(), Watcher(), []

    def slowly(folder):
        install(folder)
        built.append(folder)
        gate.wait(10)

    first = threading.Thread(target=lambda: cache.prefix("toy", "1.0", INPUTS, slowly))
    first.start()
    wait_for(lambda: built)
    waiting = Cache(cache.root, Record(observer=watcher))
    second = threading.Thread(target=lambda: waiting.prefix("toy", "1.0", INPUTS, must_not_run))
    second.start()
    wait_for(lambda: watcher.of("start"))
    gate.set()
    first.join()
    second.join()
    assert watcher.of("start") == [("toy 1.0: waiting for another run that is at it", None, 0)]


def test_a_build_killed_half_way_is_started_again(tmp_path):
    diary, cache = tmp_path / "diary", Cache(tmp_path / "c", Record())
    process = worker("prefix", cache.root, diary, 60)
    wait_for(lambda: list(cache.root.glob("prefixes/*/lib/first.a")))
    kill(process)
    (entry,) = cache.entries()
    assert not entry.finished
    path = finished(worker("prefix", cache.root, diary, 0))
    assert sorted(tree(path)) == ["lib/first.a", "lib/second.a"]
    assert len(diary.read_text(encoding="utf-8").splitlines()) == 2
    assert [entry.finished for entry in cache.entries()] == [True]


def test_while_one_waits_for_a_killed_one_it_takes_over(tmp_path):
    diary, root = tmp_path / "diary", tmp_path / "c"
    dying = worker("prefix", root, diary, 60)
    wait_for(lambda: list(root.glob("prefixes/*/lib/first.a")))
    waiting = worker("prefix", root, diary, 0)
    time.sleep(0.5)
    kill(dying)
    assert sorted(tree(finished(waiting))) == ["lib/first.a", "lib/second.a"]


def test_a_fetch_killed_half_way_goes_on_where_it_was(tmp_path, web):
    url = web.at("/f", answers.slow(DATA, chunks=40, pause=0.25), answers.whole(DATA))
    part = tmp_path / "archives" / f"{sha256(DATA)}.part"
    process = worker("fetch", tmp_path, url)
    wait_for(lambda: part.is_file() and part.stat().st_size > 0)
    kill(process)
    begun = part.stat().st_size
    assert 0 < begun < len(DATA)
    path = finished(worker("fetch", tmp_path, url))
    assert "src/lib.cc" in tree(path)
    assert web.asked[-1].range == f"bytes={begun}-"
    assert not part.exists()


def test_two_processes_fetch_one_file_once(tmp_path, web):
    url = web.at("/f", answers.slow(DATA, chunks=5, pause=0.1))
    both = [worker("fetch", tmp_path, url) for _ in range(2)]
    assert len({finished(process) for process in both}) == 1
    assert len(web.asked) == 1


# verify, prune


@pytest.fixture
def filled(tmp_path, web):
    """A cache with one archive, one source and one prefix."""
    bench = Bench(tmp_path / "c")
    cache = Cache(tmp_path / "c", bench.record)
    wanted = pin(release(web.at("/f", answers.whole(DATA))))
    cache.source(wanted, bench.fetcher)
    cache.prefix("toy", "1.0", INPUTS, install)
    yield cache, wanted, bench.fetcher
    bench.fetcher.close()


def paths_of(cache):
    return {entry.kind: entry.path for entry in cache.entries()}


def test_a_sound_cache_is_verified(filled):
    verdicts = filled[0].verify()
    assert [verdict.entry.kind for verdict in verdicts] == list(Kind)
    assert [verdict.problems for verdict in verdicts] == [(), (), ()]


@pytest.mark.parametrize(
    ("kind", "spoil", "problem"),
    [
        (Kind.ARCHIVE, lambda path: path.write_bytes(b"x" + DATA[1:]), "its sha256 is"),
        (
            Kind.SOURCE,
            lambda path: (path / "src/lib.cc").write_bytes(b"i" * 22),
            "lib.cc is changed",
        ),
        (Kind.SOURCE, lambda path: (path / "configure").unlink(), "configure is missing"),
        (Kind.PREFIX, lambda path: (path / "lib/libtoy.a").write_bytes(b"LIBRARY"), "is changed"),
        (Kind.PREFIX, lambda path: (path / "lib/extra.a").write_bytes(b""), "extra.a was added"),
        (
            Kind.PREFIX,
            lambda path: path.with_name(path.name + ".json").write_text("{}", encoding="utf-8"),
            "its manifest cannot be read",
        ),
    ],
)
def test_damage_is_found_taken_out_and_made_again(filled, kind, spoil, problem):
    cache, wanted, fetcher = filled
    spoil(paths_of(cache)[kind])
    bad = [verdict for verdict in cache.verify() if verdict.problems]
    assert [(verdict.entry.kind, verdict.removed) for verdict in bad] == [(kind, True)]
    assert problem in bad[0].problems[0]
    assert kind not in paths_of(cache)
    cache.source(wanted, fetcher)
    fetcher.fetch(wanted)
    cache.prefix("toy", "1.0", INPUTS, install)
    assert not any(verdict.problems for verdict in cache.verify())
    assert set(paths_of(cache)) == set(Kind)


def test_verify_can_leave_the_damage_in_place(filled):
    cache = filled[0]
    path = paths_of(cache)[Kind.ARCHIVE]
    path.write_bytes(b"x")
    assert [v.removed for v in cache.verify(remove=False)] == [False] * 3
    assert path.exists()


def test_byte_code_that_python_leaves_in_a_source_is_no_damage(filled):
    cache = filled[0]
    folder = paths_of(cache)[Kind.SOURCE] / "src" / "__pycache__"
    folder.mkdir()
    (folder / "x.cpython-311.pyc").write_bytes(b"x")
    assert not any(verdict.problems for verdict in cache.verify())


def test_prune_drops_what_was_not_used_for_long(filled):
    cache, _wanted, _fetcher = filled
    long_ago = time.time() - 40 * 86400
    for path in cache.root.rglob("*"):
        os.utime(path, (long_ago, long_ago), follow_symlinks=False)
    again(cache).prefix("toy", "1.0", INPUTS, must_not_run)  # using it makes it young
    removed = cache.prune(unused_for=30 * 86400)
    assert {entry.kind for entry in removed} == {Kind.ARCHIVE, Kind.SOURCE}
    assert set(paths_of(cache)) == {Kind.PREFIX}
    assert sorted(path.name for path in (cache.root / "sources").iterdir()) == []


def test_prune_all_leaves_nothing(filled):
    cache = filled[0]
    assert len(cache.prune(unused_for=0)) == 3
    assert cache.entries() == ()


def test_prune_sweeps_up_after_killed_runs_but_keeps_a_transfer_to_go_on_with(filled):
    cache = filled[0]
    stale = cache.root / "prefixes" / "toy-9.9-dead"
    stale.mkdir()
    (stale / "half.a").write_bytes(b"ha")
    half_unpacked = cache.root / "sources" / "lib-9.9-dead.partial"
    half_unpacked.mkdir()
    part = cache.root / "archives" / ("0" * 64 + ".part")
    part.write_bytes(b"begun")
    removed = cache.prune(unused_for=86400)
    assert {entry.path for entry in removed} == {stale, half_unpacked}
    assert part.exists()
    assert len(cache.entries()) == 4


def test_prune_leaves_alone_what_another_run_is_making(tmp_path):
    root = tmp_path / "c"
    process = worker("prefix", root, tmp_path / "diary", 1.5)
    wait_for(lambda: list(root.glob("prefixes/*/lib/first.a")))
    assert Cache(root, Record()).prune(unused_for=0) == ()
    assert Cache(root, Record()).verify() == ()
    assert sorted(tree(finished(process))) == ["lib/first.a", "lib/second.a"]


def test_backup_programs_are_told_that_this_is_a_cache(filled):
    text = (filled[0].root / "CACHEDIR.TAG").read_text(encoding="ascii")
    assert text.startswith("Signature: 8a477f597d28d172789f06886806bc55")


def test_a_manifest_says_what_the_entry_was_made_from(filled):
    path = paths_of(filled[0])[Kind.PREFIX]
    manifest = json.loads(path.with_name(path.name + ".json").read_text(encoding="utf-8"))
    assert manifest["inputs"] == {**INPUTS, "name": "toy", "version": "1.0"}
    assert manifest["files"]["lib/libtoy.a"] == {"size": 7, "sha256": sha256(b"library")}
    assert manifest["files"]["lib/libtoy.so"] == {"link": "libtoy.a"}
