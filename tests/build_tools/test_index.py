"""A pinned file is found on indexes and in folders of links of every form."""

from __future__ import annotations

import base64

import pytest

from build_tools.index import Found, Missed, PackageIndex
from build_tools.index_settings import IndexSettings, Location
from build_tools.transfer import Hosts
from tests.build_tools import web as answers
from tests.build_tools.archives import sha256
from tests.build_tools.source_bench import (
    DATA,
    HURRY,
    JSON_PAGE,
    index_at,
    links_at,
    on_index,
    page,
)

PLACE = on_index()
NAME = PLACE.filename
PROJECT = "/simple/carrier-pigeon/"


@pytest.fixture
def look_up():
    indexes = []

    def run(*locations, offline=False, **settings):
        index = PackageIndex(
            IndexSettings(locations=locations, timeout=2, **settings), Hosts(), HURRY
        )
        indexes.append(index)
        return list(index.look_up(PLACE, offline=offline))

    yield run
    for index in indexes:
        index.close()


def found_url(results):
    (result,) = results
    assert isinstance(result, Found), result
    return result.url


def reason(results):
    (result,) = results
    assert isinstance(result, Missed), result
    return result.reason


def test_a_page_in_json(look_up, web):
    data = page(("other-1.tar.gz", "x", ""), (NAME, f"../../files/{NAME}", PLACE.sha256))
    web.at(PROJECT, answers.whole(data, JSON_PAGE))
    assert found_url(look_up(index_at(web.url + "/simple/"))) == f"{web.url}/files/{NAME}"
    assert JSON_PAGE in web.asked[0].accept


@pytest.mark.parametrize("fragment", ["", f"#sha256={PLACE.sha256}", "#md5=abc"])
def test_a_page_in_html(look_up, web, fragment):
    html = (
        f'<!DOCTYPE html><html><head><base href="{web.url}/pool/"></head><body>'
        f'<a href="other-1.tar.gz">other</a><a href="{NAME}{fragment}" data-yanked="">x</a></body>'
    )
    web.at(PROJECT, answers.whole(html.encode(), "text/html; charset=utf-8"))
    assert found_url(look_up(index_at(web.url + "/simple"))) == f"{web.url}/pool/{NAME}"


def test_an_index_on_this_machine(look_up, tmp_path):
    folder = tmp_path / "my simple" / "carrier-pigeon"
    folder.mkdir(parents=True)
    (folder / "index.html").write_text(f'<a href="../files/{NAME}">x</a>', encoding="utf-8")
    url = found_url(look_up(index_at((tmp_path / "my simple").as_uri()), offline=True))
    assert url == (tmp_path / "my simple" / "files" / NAME).as_uri()
    assert url == found_url(look_up(index_at(str(tmp_path / "my simple")), offline=True))


@pytest.mark.parametrize("form", ["path", "address", "page", "file"])
def test_links_on_this_machine(look_up, tmp_path, form):
    (tmp_path / NAME).write_bytes(DATA)
    (tmp_path / "links.html").write_text(f'<a href="{NAME}">x</a>', encoding="utf-8")
    url = {
        "path": str(tmp_path),
        "address": tmp_path.as_uri(),
        "page": str(tmp_path / "links.html"),
        "file": str(tmp_path / NAME),
    }[form]
    assert found_url(look_up(links_at(url), offline=True)) == (tmp_path / NAME).as_uri()


def test_a_page_of_links_on_the_network(look_up, web):
    web.at("/links", answers.whole(f'<a href="/f/{NAME}">x</a>'.encode(), "text/html"))
    assert found_url(look_up(links_at(web.url + "/links"))) == f"{web.url}/f/{NAME}"


def test_every_location_says_why_it_does_not_have_the_file(look_up, web, tmp_path):
    web.at(PROJECT, answers.whole(page(), JSON_PAGE))
    web.at("/gone/carrier-pigeon/", answers.status(410))
    web.at("/login/carrier-pigeon/", answers.whole(b"Log in", "text/plain"))
    web.at("/broken/carrier-pigeon/", answers.whole(b"{", JSON_PAGE))
    locations = [index_at(f"{web.url}/{name}") for name in ("simple", "gone", "login", "broken")]
    results = look_up(links_at(str(tmp_path)), *locations, index_at("https://127.0.0.1:1/x"))
    reasons = [result.reason for result in results]
    expected = ("no carrier", "no carrier", "410", "Content-Type", "makes no sense", "refused")
    assert len(reasons) == len(expected)
    for text, part in zip(reasons, expected, strict=True):
        assert part in text
        assert "a test" in text


def test_a_file_of_another_digest_is_not_taken(look_up, web):
    other = sha256(b"other")
    web.at(PROJECT, answers.whole(page((NAME, NAME, other)), JSON_PAGE))
    (result,) = look_up(index_at(web.url + "/simple"))
    assert isinstance(result, Missed)
    assert result.other_file
    assert other in result.reason


def test_an_index_in_trouble_is_asked_again(look_up, web):
    good = answers.whole(page((NAME, NAME, "")), JSON_PAGE)
    web.at(PROJECT, answers.status(503), answers.cut(page((NAME, NAME, "")), 5), good)
    assert found_url(look_up(index_at(web.url + "/simple")))
    assert len(web.asked) == 3


def test_a_page_is_asked_for_once_in_a_run(web):
    web.at(PROJECT, answers.status(404))
    index = PackageIndex(IndexSettings(locations=(index_at(web.url + "/simple"),)), Hosts(), HURRY)
    for _ in range(3):
        assert isinstance(next(index.look_up(PLACE, offline=False)), Missed)
    index.close()
    assert len(web.asked) == 1


def test_offline_nothing_on_the_network_is_asked(look_up, web):
    assert "--offline" in reason(look_up(index_at(web.url + "/simple"), offline=True))
    assert web.asked == []


def test_without_any_location_the_reason_is_said(look_up):
    assert "no index" in reason(look_up())


def test_credentials_in_the_address_are_used_and_not_shown(look_up, web):
    login = base64.b64encode(b"me:p@ss").decode()
    good = answers.whole(page((NAME, NAME, "")), JSON_PAGE)
    web.at(PROJECT, answers.with_login(login, good))
    url = f"http://me:p%40ss@127.0.0.1:{web.port}/simple"
    (result,) = look_up(Location(url=url, origin="a test"))
    assert isinstance(result, Found)
    assert "p%40ss" not in result.origin
    wrong = f"http://me:wrong@127.0.0.1:{web.port}/simple"
    message = reason(look_up(Location(url=wrong, origin="a test")))
    assert "401" in message
    assert "wrong" not in message


def test_credentials_come_from_netrc(look_up, web, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password pw\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    login = base64.b64encode(b"me:pw").decode()
    good = answers.whole(page((NAME, NAME, "")), JSON_PAGE)
    web.at(PROJECT, answers.with_login(login, good))
    assert found_url(look_up(index_at(web.url + "/simple")))


def test_an_address_without_tls_must_be_trusted(look_up, web):
    # localhost is trusted by itself; another name is not, as in pip.
    plain = index_at(f"http://localhost.example:{web.port}/simple")
    assert "trusted" in reason(look_up(plain))
    assert "cannot be reached" in reason(look_up(plain, trusted_hosts=("localhost.example",)))
