"""The command line: help a person can read, and errors as exit codes."""

from __future__ import annotations

import errno
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from build_tools import __main__ as entry
from build_tools.errors import CompileError, DiskFullError, error_kinds

ROOT = Path(entry.__file__).resolve().parent.parent


@pytest.fixture
def verb(monkeypatch):
    """Adds a verb whose function the test gives."""

    def add(function, fields=None):
        module = types.ModuleType("build_tools_test_verb", "Does what the test says.\n\nMore.")
        module.add_arguments = lambda parser: parser.add_argument("--times", type=int, default=1)
        module.main = function
        monkeypatch.setitem(sys.modules, module.__name__, module)
        line = entry.Verb("tested", module.__name__, "For this test.", fields)
        others = (other for other in entry.VERBS if other.name != line.name)
        monkeypatch.setattr(entry, "VERBS", (*others, line))

    return add


def fails(error):
    def function(resolved, args, context):
        raise error

    return function


def test_without_a_verb_the_overview_is_shown(capsys):
    assert entry.main([]) == 2
    assert entry.main(["--help"]) == 0
    shown = capsys.readouterr().out
    for line in entry.VERBS:
        assert line.summary in shown
    for kind in error_kinds():
        assert f"\n  {kind.exit_code:<10}" in shown


def test_a_verb_gets_its_settings_arguments_and_context(verb, monkeypatch):
    monkeypatch.setenv("ONNXFORGE_JOBS", "3")
    got = []
    verb(lambda *parts: got.append(parts) or 5)
    assert entry.main(["tested", "--times", "2", "--protobuf", "shared"]) == 5
    ((resolved, args, context),) = got
    assert (resolved.config.jobs, args.times) == (3, 2)
    assert resolved.origins["protobuf"] == "--protobuf on the command line"
    assert context.runner.run([sys.executable, "-c", "print(1)"]).stdout == "1\n"


@pytest.mark.parametrize("kind", error_kinds(), ids=lambda kind: kind.__name__)
def test_every_error_becomes_its_exit_code(verb, capsys, kind):
    verb(fails(kind("it broke", fix="mend it")))
    assert entry.main(["tested"]) == kind.exit_code
    assert capsys.readouterr().err == "error: it broke\nwhat to do:\n  - mend it\n"


def test_an_error_is_json_where_json_was_asked_for(verb, capsys):
    verb(fails(DiskFullError("full", looked=["/"], fix="free it")))
    assert entry.main(["tested", "--json"]) == 31
    assert json.loads(capsys.readouterr().out)["error"] == {
        "kind": "DiskFullError",
        "exit_code": 31,
        "what": "full",
        "looked": ["/"],
        "fix": ["free it"],
    }


def test_a_defect_is_70_with_its_traceback(verb, capsys):
    verb(fails(ZeroDivisionError("oops")))
    assert entry.main(["tested"]) == 70
    assert "ZeroDivisionError: oops" in capsys.readouterr().err


def test_a_full_disk_anywhere_is_31_and_any_other_system_error_a_defect(verb, capsys):
    verb(fails(OSError(errno.ENOSPC, "No space left on device", "/cache/x")))
    assert entry.main(["tested"]) == 31
    assert "/cache/x" in capsys.readouterr().err
    verb(fails(OSError(errno.EIO, "I/O error")))
    assert entry.main(["tested"]) == 70


def test_an_interrupt_is_130(verb, capsys):
    verb(fails(KeyboardInterrupt()))
    assert entry.main(["tested"]) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        (["cahce"], 2, "did you mean cache?"),
        (["tested", "--tims", "2"], 2, "--times"),
        (["tested", "--times", "x"], 2, "invalid int value"),
        (["tested", "--jobs", "many"], 3, "--jobs is not a whole number"),
    ],
)
def test_a_wrong_command_line(verb, capsys, arguments, code, hint):
    verb(lambda *parts: 0)
    assert entry.main(arguments) == code
    assert hint in capsys.readouterr().err


def test_warnings_about_the_environment_are_shown_on_standard_error(verb, capsys, monkeypatch):
    monkeypatch.setenv("PATH", f'"/quoted":{os.environ["PATH"]}')
    verb(lambda *parts: 0)
    assert entry.main(["tested"]) == 0
    shown = capsys.readouterr()
    assert "warning: PATH contains quotation marks" in shown.err
    assert shown.out == ""


def test_a_verbs_help_names_its_own_arguments_and_only_its_settings(verb, capsys):
    verb(lambda *parts: 0, fields=("json",))
    with pytest.raises(SystemExit) as ended:
        entry.main(["tested", "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "Does what the test says." in shown
    assert "--times" in shown
    assert "--json" in shown
    assert "--jobs" not in shown


def test_every_verb_is_there_and_can_explain_itself():
    for line in entry.VERBS:
        module = importlib.import_module(line.module)
        assert callable(getattr(module, line.function))
        assert "usage:" in entry._parser(line, module.add_arguments, module.__doc__).format_help()


def test_as_a_program_from_any_folder(tmp_path):
    shown = subprocess.run(
        [sys.executable, "-m", "build_tools", "--help"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.startswith("usage: python -m build_tools VERB")


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs the signals of POSIX")
def test_a_polite_end_from_outside_also_ends_what_was_started(tmp_path):
    """SIGTERM while a program runs: exit code 130, and the program is gone."""
    pid_file, code = tmp_path / "pid", tmp_path / "main.py"
    code.write_text(
        "import sys, types\n"
        "from build_tools import __main__ as entry\n"
        "module = types.ModuleType('verb_for_test')\n"
        "module.add_arguments = lambda parser: None\n"
        f"script = 'echo $$ > \"{pid_file}\"; exec sleep 60'\n"
        "def main(resolved, args, context):\n"
        "    return context.runner.run(['sh', '-c', script]).returncode\n"
        "module.main = main\n"
        "sys.modules['verb_for_test'] = module\n"
        "entry.VERBS = (entry.Verb('tested', 'verb_for_test', 'x'),)\n"
        "sys.exit(entry.main(['tested']))\n",
        encoding="utf-8",
    )
    child = subprocess.Popen([sys.executable, code], env={**os.environ, "PYTHONPATH": str(ROOT)})
    until = time.monotonic() + 20
    while time.monotonic() < until and not (pid_file.exists() and pid_file.read_text().strip()):
        time.sleep(0.02)
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=20) == 130
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_long_errors_keep_their_shape(verb, capsys):
    verb(fails(CompileError("x", looked=["the end of l:\na\nb"])))
    entry.main(["tested"])
    assert capsys.readouterr().err == "error: x\nlooked at:\n  - the end of l:\n    a\n    b\n"
