"""The wheel tried in fresh environments, with the lowest and the highest protobuf it allows."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.version import Version

from build_tools.errors import SmokeError
from build_tools.upstream.environment import install, make_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from packaging.specifiers import SpecifierSet

    from build_tools.context import Context
    from build_tools.host import PythonFacts
    from build_tools.upstream.environment import Environment

PROGRAM = Path(__file__).with_name("trial_program.py")


def available_protobufs(context: Context) -> tuple[Version, ...]:
    """Return the releases of the Python protobuf that the package index has, lowest first."""
    python = context.host.python.executable
    command: list[str | Path] = [python, "-m", "pip", "--disable-pip-version-check"]
    command += ["index", "versions", "--json", "protobuf"]
    said = context.runner.run(command, env=context.host.environ)
    try:
        versions = [Version(text) for text in json.loads(said.stdout)["versions"]]
    except (ValueError, KeyError) as error:
        raise SmokeError(
            "it cannot be found out which releases of the Python protobuf there are",
            looked=[f"{said.command}\n{said.text}"],
            fix="see that pip can reach its index; --no-smoke leaves the trial out",
        ) from error
    return tuple(sorted(versions))


def extremes(versions: Sequence[Version], allowed: SpecifierSet) -> tuple[Version, ...]:
    """Return the lowest and the highest version that is allowed; raises SmokeError for none."""
    inside = [version for version in versions if allowed.contains(version)]
    if not inside:
        raise SmokeError(
            f"no release of the Python protobuf is in the range {allowed}",
            looked=[f"the package index has {versions[0]} to {versions[-1]}"] if versions else [],
            fix="give a range that holds one with --protobuf-runtime",
        )
    return tuple(dict.fromkeys((inside[0], inside[-1])))


def try_wheel(
    wheel: Path,
    python: PythonFacts,
    protobufs: Sequence[Version],
    library_dirs: Sequence[Path],
    context: Context,
) -> list[dict[str, Any]]:
    """Use the wheel under each Python protobuf, alone in a fresh environment and an empty folder.

    Returns what was seen each time; raises SmokeError where it does not work.
    """
    seen = []
    for version in protobufs:
        with (
            tempfile.TemporaryDirectory(prefix="onnxforge trial ") as room,
            context.record.step(f"{wheel.name}: try with protobuf {version}"),
        ):
            environment = make_environment(Path(room) / "environment", python, context)
            install(environment, (str(wheel), f"protobuf=={version}"), context)
            seen.append(_run(environment, Path(room), wheel, library_dirs, context))
    lines = (f"protobuf {entry['protobuf']}, numpy {entry['numpy']}" for entry in seen)
    context.record.prove(
        "installed alone, it makes, checks, infers, converts, saves and loads a model",
        f"Python {python.version}: {'; '.join(lines)}; {seen[0]['schemas']} operator schemas",
    )
    return seen


def _run(
    environment: Environment,
    room: Path,
    wheel: Path,
    library_dirs: Sequence[Path],
    context: Context,
) -> dict[str, Any]:
    empty = room / "empty folder"
    empty.mkdir()
    environ = dict(context.host.environ)
    if library_dirs:
        environ["LD_LIBRARY_PATH"] = context.host.path_separator.join(map(str, library_dirs))
    # Isolated mode: a folder named onnx in the working directory cannot stand in for the package.
    command: list[str | Path] = [environment.python, "-I", "-B", PROGRAM]
    said = context.runner.run(command, cwd=empty, env=environ, timeout=300)
    if not said.ok:
        raise SmokeError(
            f"{wheel.name} does not work",
            looked=[f"{said.command}\n{said.text}"],
            fix="the traceback above names the step; --no-smoke leaves the trial out",
        )
    seen: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
    return seen
