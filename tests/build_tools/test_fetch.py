"""An archive comes from the first place that has the pinned bytes; nothing else is kept."""

from __future__ import annotations

import socket
import time

import pytest

from build_tools.errors import (
    CacheError,
    ChecksumError,
    ConfigError,
    DiskFullError,
    NetworkError,
    OfflineError,
    PinError,
)
from build_tools.fetch import resolve, resolve_default
from tests.build_tools import web as answers
from tests.build_tools.archives import sha256, source_archive
from tests.build_tools.source_bench import (
    DATA,
    JSON_PAGE,
    Bench,
    index_at,
    links_at,
    on_index,
    page,
    pin,
    pins,
    release,
)

OTHER = source_archive(size=9_000)
DEAD = "http://127.0.0.1:9/lib-1.0.tar.gz"  # the discard port: nobody listens


@pytest.fixture
def bench(tmp_path):
    benches = []

    def make(**options):
        made = Bench(tmp_path / "cache", **options)
        benches.append(made)
        return made

    yield make
    for made in benches:
        made.fetcher.close()


@pytest.fixture
def no_sockets(monkeypatch):
    """Nothing may be connected to, nor any name looked up."""

    used = []

    def refuse(*arguments, **_options):
        used.append(arguments)
        raise OSError("no socket may be used here")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    yield
    assert used == []


def test_an_archive_is_fetched_checked_and_kept(bench, web):
    made = bench()
    archive = made.fetcher.fetch(pin(release(web.at("/f", answers.whole(DATA)))))
    assert archive.path.read_bytes() == DATA
    assert made.kept() == [sha256(DATA)]
    assert archive.origin == f"{web.url}/f"
    assert [step.name for step in made.record.steps] == ["lib 1.0: fetch"]
    assert made.watcher.of("progress")[-1][1:3] == (len(DATA), len(DATA))


def test_the_second_time_it_comes_from_the_cache(bench, web, no_sockets):
    pass_one = pin(release("http://unused.example/f"))
    folder = bench().cache_dir / "archives"
    folder.mkdir(parents=True)
    (folder / sha256(DATA)).write_bytes(DATA)
    archive = bench().fetcher.fetch(pass_one)
    assert archive.origin == "the cache"


def test_a_damaged_archive_in_the_cache_is_fetched_again(bench, web):
    made = bench()
    wanted = pin(release(web.at("/f", answers.whole(DATA))))
    path = made.fetcher.fetch(wanted).path
    path.write_bytes(DATA[:-1])
    assert made.fetcher.fetch(wanted).path.read_bytes() == DATA
    assert len(web.asked) == 2
    assert "is damaged" in made.record.warnings[0]


# Wrong bytes


def test_a_wrong_digest_names_file_expected_got_and_place_and_keeps_nothing(bench, web):
    made = bench()
    wanted = pin(release(web.at("/f", answers.whole(OTHER))))
    with pytest.raises(ChecksumError) as caught:
        made.fetcher.fetch(wanted)
    for part in ("lib-1.0.tar.gz", sha256(DATA), sha256(OTHER), f"{web.url}/f"):
        assert part in str(caught.value)
    assert made.kept() == []


def test_a_log_in_page_instead_of_the_file_is_a_wrong_digest(bench, web):
    made = bench()
    with pytest.raises(ChecksumError):
        made.fetcher.fetch(pin(release(web.at("/f", answers.whole(b"<html>Log in</html>")))))


def test_after_wrong_bytes_at_one_place_the_next_is_tried_aloud(bench, web):
    made = bench()
    wrong = release(web.at("/wrong", answers.whole(OTHER)))
    right = release(web.at("/right", answers.whole(DATA)))
    assert made.fetcher.fetch(pin(wrong, right)).origin.endswith("/right")
    assert "/wrong" in made.record.warnings[0]


def test_a_truncated_archive_is_never_taken_for_a_whole_one(bench, web):
    made = bench()
    with pytest.raises(NetworkError, match="cannot be had"):
        made.fetcher.fetch(pin(release(web.at("/f", answers.cut(DATA, 100)), size=True)))
    assert made.kept() == [sha256(DATA) + ".part"]
    short = pin(release(web.at("/short", answers.whole(DATA[:-10]))))
    with pytest.raises(ChecksumError):
        made.fetcher.fetch(short)


def test_what_an_earlier_run_left_of_another_file_does_no_harm(bench, web):
    made = bench()
    part = made.cache_dir / "archives" / f"{sha256(DATA)}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 777)
    wanted = pin(release(web.at("/f", answers.whole(DATA)), size=True))
    assert made.fetcher.fetch(wanted).path.read_bytes() == DATA
    assert [asked.range for asked in web.asked] == ["bytes=777-", None]


def test_a_transfer_that_broke_off_is_gone_on_with_by_the_next_run(bench, web):
    url = web.at("/f", answers.cut(DATA, 5_000), *[answers.status(500)] * 3)
    with pytest.raises(NetworkError):
        bench().fetcher.fetch(pin(release(url)))
    web.at("/f", answers.whole(DATA))
    made = bench()
    assert made.fetcher.fetch(pin(release(url))).path.read_bytes() == DATA
    assert web.asked[-1].range == "bytes=5000-"
    assert made.kept() == [sha256(DATA)]


# Several places


def test_a_dead_release_host_is_asked_once_and_the_index_has_it(bench, web):
    place = on_index()
    listed = page((place.filename, f"/files/{place.filename}", place.sha256))
    web.at("/simple/carrier-pigeon/", answers.whole(listed, JSON_PAGE))
    web.at(f"/files/{place.filename}", answers.whole(DATA))
    made = bench(locations=(index_at(web.url + "/simple"),))
    clock = time.perf_counter()
    archive = made.fetcher.fetch(pin(release(DEAD), place))
    assert time.perf_counter() - clock < 2
    assert archive.place == place
    assert made.hosts.is_dead(DEAD)


def test_places_of_a_dead_host_come_last_from_then_on(bench, web):
    made = bench()
    alive = release(web.at("/f", answers.whole(OTHER)), OTHER)
    with pytest.raises(NetworkError):
        made.fetcher.fetch(pin(release(DEAD)))
    made.fetcher.fetch(pin(release(DEAD, b"a third one"), alive))
    assert made.watcher.of("start") == [("lib 1.0: fetch", None, 0)]


def test_a_missing_file_names_every_place_and_the_way_out(bench, web, tmp_path):
    made = bench(locations=(index_at(web.url + "/simple"), links_at(str(tmp_path))))
    places = (release(web.url + "/gone"), release(DEAD), on_index())
    with pytest.raises(NetworkError) as caught:
        made.fetcher.fetch(pin(*places))
    text = str(caught.value)
    for part in ("/gone: answer 404", "127.0.0.1 port 9", "/simple", str(tmp_path), "--archives"):
        assert part in text
    assert sha256(DATA) in text


def test_an_index_file_of_another_digest_is_a_wrong_digest(bench, web):
    place = on_index()
    listed = page((place.filename, place.filename, sha256(OTHER)))
    web.at("/simple/carrier-pigeon/", answers.whole(listed, JSON_PAGE))
    with pytest.raises(ChecksumError) as caught:
        bench(locations=(index_at(web.url + "/simple"),)).fetcher.fetch(pin(place))
    assert sha256(OTHER) in str(caught.value)
    assert len(web.asked) == 1  # a file that is said to be another one is not downloaded


def test_credentials_are_in_no_error_warning_or_progress(bench, web):
    url = f"http://me:secret@127.0.0.1:{web.port}"
    web.at("/f", answers.whole(OTHER))
    made = bench(locations=(index_at(url + "/simple"), links_at(url + "/links")))
    with pytest.raises(ChecksumError) as caught:
        made.fetcher.fetch(pin(release(url + "/f"), on_index()))
    shown = f"{caught.value} {made.record.warnings} {made.watcher.seen}"
    assert "secret" not in shown
    assert "***@127.0.0.1" in shown


# The user's own archives


def test_own_archives_are_known_by_their_digest_under_any_name(bench, tmp_path, no_sockets):
    own = tmp_path / "own archives"
    own.mkdir()
    (own / "renamed by someone.bin").write_bytes(DATA)
    (own / "README").write_bytes(b"x")
    (own / "folder").mkdir()
    for place in (release("https://unused.example/f"), on_index()):
        made = bench(archives=(own,))
        archive = made.fetcher.fetch(pin(place))
        assert archive.path.read_bytes() == DATA
        assert archive.origin in {str(own / "renamed by someone.bin"), "the cache"}
    assert made.kept() == [sha256(DATA)]


def test_an_own_archive_of_the_right_name_with_other_bytes_is_said_so(bench, tmp_path):
    (tmp_path / "lib-1.0.tar.gz").write_bytes(OTHER)
    made = bench(archives=(tmp_path,), offline=True)
    with pytest.raises(ChecksumError) as caught:
        made.fetcher.fetch(pin(release("https://unused.example/f")))
    assert str(tmp_path / "lib-1.0.tar.gz") in str(caught.value)
    assert sha256(OTHER) in str(caught.value)


def test_a_folder_of_archives_that_is_not_there_is_an_error_at_once(bench, tmp_path):
    with pytest.raises(ConfigError, match="no such folder"):
        bench(archives=(tmp_path / "none",))


# Offline


def test_offline_uses_no_socket(bench, no_sockets):
    made = bench(locations=(index_at("https://index.example/simple"),), offline=True)
    with pytest.raises(OfflineError) as caught:
        made.fetcher.fetch(pin(release("https://release.example/f"), on_index()))
    assert "release.example" in str(caught.value)
    assert "index.example" in str(caught.value)


def test_offline_folders_of_links_on_this_machine_still_count(bench, tmp_path, no_sockets):
    (tmp_path / on_index().filename).write_bytes(DATA)
    made = bench(locations=(links_at(str(tmp_path)),), offline=True)
    assert made.fetcher.fetch(pin(on_index())).path.read_bytes() == DATA


# A cache that says no


def test_a_cache_that_cannot_be_written_is_said_so(tmp_path, web):
    (tmp_path / "file").write_bytes(b"")
    made = Bench(tmp_path / "file" / "cache")
    with pytest.raises(CacheError) as caught:
        made.fetcher.fetch(pin(release(web.at("/f", answers.whole(DATA)))))
    assert "--cache-dir" in str(caught.value)
    assert web.asked == []


def test_a_full_cache_is_said_so_and_nothing_is_left(small_disk, web):
    big = bytes(3_000_000)
    made = Bench(small_disk / "cache")
    with pytest.raises(DiskFullError):
        made.fetcher.fetch(pin(release(web.at("/f", answers.whole(big)), big)))
    made.fetcher.close()
    assert made.kept() == []


@pytest.fixture
def big_archive(tmp_path):
    path = tmp_path / "own" / "lib-1.0.tar.gz"
    path.parent.mkdir()
    path.write_bytes(bytes(3_000_000))
    return path


def test_a_full_cache_is_said_so_for_own_archives_too(big_archive, small_disk):
    made = Bench(small_disk / "cache", archives=(big_archive.parent,))
    with pytest.raises(DiskFullError):
        made.fetcher.fetch(pin(release("https://unused.example/f", big_archive.read_bytes())))
    assert made.kept() == []


# Which version


def three_pins(default_url, other_url, third_url=DEAD):
    return pins(
        pin(release(default_url), version="3.20.2", default=True),
        pin(release(third_url, b"third"), version="3.20.3", substitute_for="3.20.2"),
        pin(release(other_url, OTHER), version="3.21.12", substitute_for="3.20.2"),
    )


def test_the_default_is_taken_where_it_can_be_had(bench, web):
    made = bench()
    choice = resolve_default(
        three_pins(web.at("/f", answers.whole(DATA)), DEAD), "lib", made.fetcher
    )
    assert (choice.pin.version, choice.substituted) == ("3.20.2", False)
    assert made.record.warnings == []


def test_the_nearest_release_stands_in_with_one_clear_warning(bench, web):
    made = bench()
    both = three_pins(DEAD, web.at("/other", answers.whole(OTHER)))
    choice = resolve_default(both, "lib", made.fetcher)
    assert (choice.pin.version, choice.substituted) == ("3.21.12", True)
    (warning,) = made.record.warnings
    for part in ("lib 3.20.2, the default, cannot be had", "lib 3.21.12", DEAD, "--archives"):
        assert part in warning
    assert "127.0.0.1 port 9" in choice.reason


def test_offline_what_is_in_the_cache_stands_in(bench, web):
    both = three_pins(DEAD, web.at("/other", answers.whole(OTHER)))
    resolve_default(both, "lib", bench().fetcher)
    assert resolve_default(both, "lib", bench(offline=True).fetcher).pin.version == "3.21.12"


def test_wrong_bytes_are_no_reason_to_take_another_version(bench, web):
    both = three_pins(
        web.at("/f", answers.whole(b"tampered")), web.at("/other", answers.whole(OTHER))
    )
    with pytest.raises(ChecksumError):
        resolve_default(both, "lib", bench().fetcher)


def test_when_nothing_can_be_had_every_place_of_every_version_is_named(bench, web):
    with pytest.raises(NetworkError) as caught:
        resolve_default(three_pins(DEAD, web.url + "/gone"), "lib", bench().fetcher)
    assert "127.0.0.1 port 9" in str(caught.value)
    assert "/gone: answer 404" in str(caught.value)


def test_a_version_asked_for_is_that_version_or_an_error_that_names_every_place(bench, web):
    both = three_pins(DEAD, web.at("/other", answers.whole(OTHER)))
    made = bench()
    with pytest.raises(NetworkError, match=r"lib 3\.20\.2 cannot be had") as caught:
        resolve(both, "lib", made.fetcher, "3.20.2")
    assert DEAD in str(caught.value)
    assert resolve(both, "lib", made.fetcher, "3.21.12").pin.version == "3.21.12"
    with pytest.raises(PinError):
        resolve(both, "lib", made.fetcher, "3.99")
