"""A transfer goes on where it broke off, gives up where nothing helps, and never hangs."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack

import pytest

from build_tools import transfer
from build_tools.errors import CacheError, DiskFullError
from build_tools.index_settings import IndexSettings
from build_tools.transfer import Hosts, Patience, TransferFailed, connect, download
from tests.build_tools import web as answers
from tests.build_tools.archives import source_archive

DATA = source_archive()
SIZE = len(DATA)


class Pauses(list):
    """Remembers how long was waited, instead of waiting."""

    def patience(self, tries=4):
        return Patience(tries=tries, first_pause=0.5, sleep=self.append)


@pytest.fixture
def pauses():
    return Pauses()


@pytest.fixture
def get(tmp_path, pauses):
    client = connect(IndexSettings(locations=(), timeout=0.6))
    part = tmp_path / "file.part"
    seen = []

    def run(url, *, size=SIZE, tries=4, begun=b"", into=part):
        if begun:
            into.write_bytes(begun)
        download(
            client,
            url,
            into,
            size=size,
            progress=lambda done, total: seen.append((done, total)),
            patience=pauses.patience(tries),
        )
        return into.read_bytes()

    run.part, run.seen = part, seen
    yield run
    client.close()


def test_a_whole_file_arrives_and_its_progress_is_told(get, web):
    assert get(web.at("/f", answers.whole(DATA))) == DATA
    assert get.seen[-1] == (len(DATA), len(DATA))
    assert [asked.range for asked in web.asked] == [None]


def test_a_broken_transfer_goes_on_where_it_broke_off(get, web, pauses):
    url = web.at("/f", answers.cut(DATA, 10_000), answers.cut(DATA, 10_000), answers.whole(DATA))
    assert get(url) == DATA
    assert [asked.range for asked in web.asked] == [None, "bytes=10000-", "bytes=20000-"]
    assert pauses == [0.5, 0.5]  # each try brought something new


def test_what_an_earlier_run_has_brought_is_kept(get, web):
    assert get(web.at("/f", answers.whole(DATA)), begun=DATA[:12_345]) == DATA
    assert [asked.range for asked in web.asked] == ["bytes=12345-"]


def test_a_file_that_is_all_there_is_not_asked_for(get, web):
    assert get(web.at("/f", answers.status(500)), begun=DATA) == DATA
    assert web.asked == []


def test_a_server_without_ranges_begins_again(get, web):
    url = web.at("/f", answers.cut(DATA, 9_000, ranges=False), answers.without_ranges(DATA))
    assert get(url) == DATA


def test_a_range_that_is_out_of_range_begins_again(get, web):
    url = web.at("/f", answers.status(416), answers.whole(DATA))
    assert get(url, size=None, begun=b"x" * 99) == DATA
    assert [asked.range for asked in web.asked] == ["bytes=99-", None]


def test_a_file_of_unknown_length_arrives(get, web):
    assert get(web.at("/f", answers.without_length(DATA)), size=None) == DATA
    assert get.seen[-1] == (len(DATA), None)


def test_a_short_answer_of_unknown_length_is_noticed_by_the_pinned_length(get, web):
    url = web.at("/f", answers.without_length(DATA[:5000]), answers.whole(DATA))
    assert get(url) == DATA


def test_an_endless_answer_is_cut_off_and_thrown_away(get, web):
    url = web.at("/f", answers.without_length(DATA + bytes(5_000_000)))
    with pytest.raises(TransferFailed, match="more than the"):
        get(url)
    assert not get.part.exists()


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_a_server_in_trouble_is_asked_again_ever_more_slowly(get, web, pauses, code):
    url = web.at("/f", *[answers.status(code)] * 3, answers.whole(DATA))
    assert get(url) == DATA
    assert pauses == [0.5, 1.0, 2.0]


def test_a_server_that_names_a_time_is_left_alone_that_long_but_not_for_ever(get, web, pauses):
    later = (answers.status(503, Retry_After="7"), answers.status(503, Retry_After="86400"))
    assert get(web.at("/f", *later, answers.whole(DATA))) == DATA
    assert pauses == [7.0, 20.0]


def test_a_server_that_stays_in_trouble_is_given_up(get, web, pauses):
    with pytest.raises(TransferFailed, match="503"):
        get(web.at("/f", answers.status(503)))
    assert len(web.asked) == 4
    assert len(pauses) == 3


def test_a_server_that_breaks_off_for_ever_is_given_up_with_what_there_is(get, web):
    stuck = answers.cut(DATA, 0)
    with pytest.raises(TransferFailed):
        get(web.at("/f", answers.cut(DATA, 7000), stuck))
    assert get.part.read_bytes() == DATA[:7000]


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_a_refusal_is_not_asked_again(get, web, code):
    with pytest.raises(TransferFailed, match=str(code)):
        get(web.at("/f", answers.status(code)))
    assert len(web.asked) == 1


def test_a_redirect_is_followed(get, web):
    web.at("/there", answers.whole(DATA))
    assert get(web.at("/here", answers.moved("/there"))) == DATA


def test_redirects_in_a_circle_end(get, web):
    with pytest.raises(TransferFailed):
        get(web.at("/circle", answers.moved("/circle")))


def test_a_slow_server_gets_its_time(get, web):
    # Longer in all than the time limit, which is for a server that has stopped sending.
    assert get(web.at("/f", answers.slow(DATA, chunks=8, pause=0.15))) == DATA
    assert len(web.asked) == 1


def test_a_server_that_falls_silent_is_left_and_asked_for_the_rest(get, web):
    url = web.at("/f", answers.silent(DATA, 4000, 3.0), answers.whole(DATA))
    clock = time.perf_counter()
    assert get(url) == DATA
    assert time.perf_counter() - clock < 2.5
    assert web.asked[1].range == "bytes=4000-"


def test_a_file_on_this_machine_arrives(get, tmp_path):
    (tmp_path / "a b.tar.gz").write_bytes(DATA)
    assert get((tmp_path / "a b.tar.gz").as_uri()) == DATA


def test_a_full_device_gives_its_room_back(get, web, small_disk):
    big = bytes(3_000_000)
    with pytest.raises(DiskFullError, match="no room left"):
        get(web.at("/f", answers.whole(big)), size=len(big), into=small_disk / "f.part")
    assert list(small_disk.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_said_so(get, web, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CacheError):
        get(web.at("/f", answers.whole(DATA)), into=tmp_path / "file" / "f.part")


# Hosts


@pytest.fixture
def closed_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}/f"


@pytest.fixture
def swallowing(monkeypatch):
    """An address that swallows every packet, as a fire-wall does."""
    monkeypatch.setattr(transfer, "CONNECT_SECONDS", 0.4)
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(8):  # once the queue is full, the system answers nobody
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(address)
        time.sleep(0.05)
        yield f"http://127.0.0.1:{address[1]}/f"


def seconds_to_fail(hosts, url):
    clock = time.perf_counter()
    with pytest.raises(TransferFailed) as caught:
        hosts.check(url)
    assert caught.value.unreachable
    return time.perf_counter() - clock


def test_a_host_that_refuses_is_known_at_once(closed_port):
    hosts = Hosts()
    assert not hosts.is_dead(closed_port)
    assert seconds_to_fail(hosts, closed_port) < 1
    assert hosts.is_dead(closed_port)


def test_a_fire_wall_costs_the_time_limit_once(swallowing):
    hosts = Hosts()
    assert 0.3 < seconds_to_fail(hosts, swallowing) < 2
    assert seconds_to_fail(hosts, swallowing) < 0.2


def test_the_time_limit_is_at_most_five_seconds():
    assert transfer.CONNECT_SECONDS <= 5


def test_a_name_that_cannot_be_looked_up_in_time_is_given_up(monkeypatch):
    monkeypatch.setattr(transfer, "CONNECT_SECONDS", 0.2)
    done = threading.Event()

    def never(*_args, **_options):
        done.wait(10)
        raise OSError("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", never)
    assert seconds_to_fail(Hosts(), "https://release.example/f") < 1
    done.set()


def test_a_live_host_passes(web):
    hosts = Hosts()
    hosts.check(web.url + "/f")
    assert not hosts.is_dead(web.url)


def test_a_host_that_was_dead_before_gets_less_time_but_another_chance(
    tmp_path, swallowing, web, monkeypatch
):
    memory = tmp_path / "cache" / "hosts.json"
    seconds_to_fail(Hosts(memory=memory), swallowing)
    monkeypatch.setattr(transfer, "CONNECT_SECONDS", 30)
    monkeypatch.setattr(transfer, "_KNOWN_DEAD_SECONDS", 0.2)
    assert seconds_to_fail(Hosts(memory=memory), swallowing) < 1
    memory.write_text(f'{{"127.0.0.1:{web.port}": {time.time()}}}', encoding="utf-8")
    Hosts(memory=memory).check(web.url)
    assert memory.read_text(encoding="utf-8") == "{}"


def test_a_damaged_memory_is_no_harm(tmp_path, web):
    memory = tmp_path / "hosts.json"
    memory.write_text("[1", encoding="utf-8")
    Hosts(memory=memory).check(web.url)


def test_with_a_proxy_the_proxy_is_what_must_answer(web, closed_port):
    Hosts(proxy=web.url).check("https://release.example/f")
    assert seconds_to_fail(Hosts(proxy=closed_port), "https://release.example/f") < 1


def test_a_proxy_of_the_environment_counts_unless_it_is_ruled_out(web, monkeypatch, closed_port):
    for name in ("no_proxy", "NO_PROXY", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", closed_port)
    seconds_to_fail(Hosts(), web.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    Hosts().check(web.url)


def test_requests_go_through_the_proxy_of_pips_settings(web, tmp_path):
    web.at("http://release.example/f", answers.whole(DATA))
    client = connect(IndexSettings(locations=(), proxy=web.url))
    part = tmp_path / "f.part"
    download(
        client,
        "http://release.example/f",
        part,
        size=None,
        progress=lambda *_: None,
        patience=Patience(),
    )
    client.close()
    assert part.read_bytes() == DATA


def test_a_failure_never_shows_credentials():
    assert "secret" not in str(TransferFailed("https://me:secret@h/x: answer 404"))
