"""The page: whole, safe and in need of nothing else."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from build_tools.report_page import render
from tests.build_tools.reports import command, made_report, step

_VOID = {"meta", "input", "link", "br"}


class Checker(HTMLParser):
    """Collects tags, addresses and text; knows whether every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.bars: list[dict[str, str]] = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.addresses += [value for name, value in attrs if name in {"src", "href", "action"}]
        if "bar" in (values.get("class") or "").split():
            self.bars.append(values)
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def parsed(**changes) -> Checker:
    checker = Checker()
    checker.feed(render(made_report(**changes)))
    checker.close()
    assert checker.open == []
    return checker


def test_it_needs_nothing_from_elsewhere():
    page = render(made_report())
    assert parsed().addresses == []
    assert "default-src 'none'" in page
    assert not re.search(r"@import|url\(|https?://", page)


def test_it_answers_the_readers_questions():
    text = parsed().text
    for wanted in (
        "3 min 20 s",
        "everything, from an empty cache",
        "1 of 1",
        "2.3 MB",
        "GCC <12>",
        "only PyInit_* is exported",
        "protobuf 3.20.2 cannot be had & 3.21.12 is used",
        "from the cache",
        "CMakeFiles/x.dir/descriptor.cc.o",
        "--protobuf on the command line",
    ):
        assert wanted in text


def test_hostile_names_stay_text():
    bad = '"><script>alert(1)</script>'
    proofs = [{"claim": bad, "evidence": bad, "ok": False}]
    page = render(made_report(proofs=proofs, commands=[command("p", bad, 0, 1, 0)]))
    assert "<script>alert" not in page
    assert "broken" in page


def test_each_step_and_command_is_a_bar_at_its_place():
    bars = parsed().bars
    assert len(bars) == 5
    places = {bar["title"].partition("\n")[0]: bar["style"] for bar in bars}
    assert places["protobuf 3.21.12"] == "left:0.5000%;width:25.0000%"
    assert places["protobuf 3.21.12: CMakeFiles/x.dir/descriptor.cc.o"] == (
        "left:1.0000%;width:15.0000%"
    )


@pytest.mark.parametrize("count", [0, 1, 7])
def test_any_number_of_projects_has_colours(count):
    commands = [command(f"p{n}", "x.o", n, 1.0, 0) for n in range(count)]
    bars = parsed(commands=commands, steps=[]).bars
    assert len({bar["class"].split()[1] for bar in bars}) == min(count, 4)


def test_a_run_without_compiling_says_so():
    checker = parsed(commands=[], steps=[step("nothing", 0.0, 0.0)], seconds=0.0)
    assert "Nothing had to be compiled." in checker.text
    assert "Slowest commands" not in checker.text
