"""Programs are run, streamed, timed out and ended with everything they started."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from build_tools.process import SystemRunner, tail
from tests.build_tools.support import script

RUNNER = SystemRunner()
PYTHON = sys.executable


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie that nobody reaped yet is as dead as can be.
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until_gone(pid: int, seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not alive(pid)


def test_both_outputs_and_the_status_come_back():
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    result = RUNNER.run([PYTHON, "-c", code])
    assert (result.returncode, result.ok) == (3, False)
    assert (result.stdout, result.stderr) == ("out\n", "err\n")
    assert result.text == "out\nerr"
    assert result.argv[0] == PYTHON


def test_a_program_that_is_not_there_is_127_and_one_that_is_no_program_126(tmp_path):
    missing = RUNNER.run([tmp_path / "none"])
    assert missing.returncode == 127
    assert "none" in missing.stderr
    (tmp_path / "data").write_text("no program")
    assert RUNNER.run([tmp_path / "data"]).returncode == 126


def test_paths_with_blanks_and_letters_of_the_world_are_one_argument(tmp_path):
    tool = script(tmp_path / "ein Ordner mit ö" / "to ol", 'printf "%s|" "$@"')
    assert RUNNER.run([tool, tmp_path / "a b", "ü"]).stdout == f"{tmp_path / 'a b'}|ü|"


def test_the_environment_is_the_whole_environment(monkeypatch):
    monkeypatch.setenv("ONNXFORGE_TEST_SEEN", "yes")
    code = "import os; print(os.environ.get('ONNXFORGE_TEST_SEEN'))"
    assert RUNNER.run([PYTHON, "-c", code]).stdout.strip() == "yes"
    assert RUNNER.run([PYTHON, "-c", code], env={}).stdout.strip() == "None"
    assert SystemRunner({}).run([PYTHON, "-c", code]).stdout.strip() == "None"


def test_output_that_is_not_utf8_does_not_raise():
    code = "import sys; sys.stdout.buffer.write(b'\\xff\\xfeok\\r\\n')"
    assert RUNNER.run([PYTHON, "-c", code]).stdout.endswith("ok\n")


def test_a_program_that_runs_too_long_is_ended_with_its_children(tmp_path):
    pid_file = tmp_path / "pid"
    slow = script(tmp_path / "slow", f'sleep 60 & echo $! > "{pid_file}"; echo begun; wait')
    result = RUNNER.run([slow], timeout=1.0)
    assert result.returncode == 124
    assert "ended after 1 s" in result.stderr
    assert "begun" in result.stdout
    assert result.seconds < 30
    assert wait_until_gone(int(pid_file.read_text()))


def test_a_stream_goes_to_the_log_and_to_the_listener_line_by_line(tmp_path):
    log, lines = tmp_path / "logs" / "x.log", []
    code = "import sys; print('[1/2] a'); sys.stdout.flush(); print('bad', file=sys.stderr)"
    result = RUNNER.stream([PYTHON, "-c", code], log=log, on_line=lines.append)
    assert lines == ["[1/2] a", "bad"]
    assert result.ok
    assert result.stdout == "[1/2] a\nbad\n"
    assert log.read_text().startswith("$ ")
    assert log.read_text().endswith("[1/2] a\nbad\n")


def test_a_stream_keeps_only_the_end_in_memory(tmp_path):
    code = "print('\\n'.join(map(str, range(1000))))"
    result = RUNNER.stream([PYTHON, "-c", code], log=tmp_path / "l", on_line=lambda line: None)
    assert result.stdout.splitlines() == [str(number) for number in range(800, 1000)]
    assert tail(tmp_path / "l", 2) == "998\n999"


def test_a_stream_of_a_missing_program_says_so_in_the_log(tmp_path):
    result = RUNNER.stream([tmp_path / "none"], log=tmp_path / "l", on_line=lambda line: None)
    assert result.returncode == 127
    assert "No such file" in tail(tmp_path / "l")


def test_an_interrupt_ends_the_program_and_its_children(tmp_path):
    pid_file = tmp_path / "pid"
    slow = script(tmp_path / "slow", f'sleep 60 & echo $! > "{pid_file}"; echo begun; wait')

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RUNNER.stream([slow], log=tmp_path / "l", on_line=interrupt)
    assert wait_until_gone(int(pid_file.read_text()))


def test_the_tail_of_a_log_that_is_not_there_is_empty(tmp_path):
    assert tail(tmp_path / "none") == ""
