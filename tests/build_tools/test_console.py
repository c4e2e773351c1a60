"""What a person sees: plain lines in a log, progress on a terminal."""

from __future__ import annotations

import io

import pytest

from build_tools import console
from build_tools.console import LiveConsole, PlainConsole, make_console
from build_tools.record import Record


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "kind"),
    [
        (Terminal(), {}, LiveConsole),
        (Terminal(), {"CI": "true"}, PlainConsole),
        (Terminal(), {"TERM": "dumb"}, PlainConsole),
        (io.StringIO(), {}, PlainConsole),
    ],
)
def test_progress_is_live_only_where_a_person_watches(stream, environ, kind):
    assert isinstance(make_console(stream, environ, verbose=False), kind)


def play(observer) -> None:
    record = Record(observer=observer)
    record.decide("compiler", "GCC 12 [x86]", "the first on PATH", "PATH")
    record.prove("hidden", "1 name")
    record.prove("small", "9 MB", ok=False)
    record.warn("careful")
    with record.step("protobuf"), record.step("protobuf: compile", total=208) as step:
        step.advance(100, detail="arena.cc")
    with record.step("onnx") as step:
        step.cached()
    with pytest.raises(ValueError, match="x"), record.step("wheel"):
        raise ValueError("x")


def test_plain_lines():
    stream = io.StringIO()
    play(PlainConsole(stream=stream))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "  compiler: GCC 12 [x86]"
    assert lines[1] == "  NOT PROVED: small - 9 MB"
    assert lines[2] == "warning: careful"
    assert lines[3:5] == ["> protobuf", "  > protobuf: compile (208 units)"]
    assert lines[5].startswith("  < protobuf: compile: 0.")
    assert "< onnx: from the cache" in lines
    assert lines[-1].startswith("< wheel: failed after 0.")


def test_plain_and_verbose_gives_reasons_and_proofs():
    stream = io.StringIO()
    play(PlainConsole(stream=stream, verbose=True))
    assert "  compiler: GCC 12 [x86] - the first on PATH [PATH]\n" in stream.getvalue()
    assert "  proved: hidden - 1 name\n" in stream.getvalue()


def test_plain_progress_comes_every_ten_seconds(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(console.time, "monotonic", lambda: float(next(clock)))
    stream = io.StringIO()
    with Record(observer=PlainConsole(stream=stream)).step("compile", total=30) as step:
        for done in range(1, 31):
            step.advance(done, detail=f"{done}.cc")
    progress = [line for line in stream.getvalue().splitlines() if "/30" in line]
    assert progress == [
        "    compile: 10/30, 10 s 10.cc",
        "    compile: 20/30, 20 s 20.cc",
        "    compile: 30/30, 30 s 30.cc",
    ]


def test_a_terminal_shows_the_same_facts_and_no_markup_is_taken_from_texts():
    stream = Terminal()
    play(LiveConsole(stream, verbose=True))
    shown = stream.getvalue()
    for text in ("GCC 12 [x86]", "careful", "proved: hidden", "NOT PROVED", "onnx: from the cache"):
        assert text in shown
    assert "wheel: failed after" in shown


def test_a_terminal_shows_done_of_total():
    stream = Terminal()
    live = LiveConsole(stream)
    record = Record(observer=live)
    with record.step("compile", total=208) as step:
        step.advance(100, detail="arena.cc")
        live._progress.refresh()
    assert "100/208" in stream.getvalue()
    assert "arena.cc" in stream.getvalue()
