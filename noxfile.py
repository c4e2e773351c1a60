"""Sessions: each makes its environment and calls ``python -m build_tools`` or a test tool.

``nox -l`` lists them; what stands after ``--`` goes to the tool, e.g. ``nox -s build -- --help``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["build"]
PROJECT = nox.project.load_toml("pyproject.toml")


def prepare(session: nox.Session, group: str) -> None:
    """Install a dependency group of pyproject.toml, unless the environment has just that."""
    wanted = nox.project.dependency_groups(PROJECT, group)
    digest = hashlib.sha256("\n".join(wanted).encode()).hexdigest()
    installed = Path(session.virtualenv.location) / f"{group}.installed"
    if not installed.exists() or installed.read_text(encoding="utf-8") != digest:
        installed.unlink(missing_ok=True)
        options, environment = where_from(session)
        session.install("--disable-pip-version-check", *options, *wanted, env=environment)
        installed.write_text(digest, encoding="utf-8")


def where_from(session: nox.Session) -> tuple[list[str], dict[str, str]]:
    """Say where pip takes packages from: as it is set, or with --bundle FILE that file alone."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--bundle", default=os.environ.get("ONNXFORGE_BUNDLE"))
    file = parser.parse_known_args(session.posargs)[0].bundle
    if not file:
        return [], {}
    folder = Path(session.virtualenv.location, "bundle").absolute()
    session.run("python", "-m", "build_tools.unbundle_program", file, str(folder))
    found = ["--no-index", "--find-links", str(folder / "wheels")]
    return found, {"PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}


def install_wheel(session: nox.Session) -> None:
    """Build the wheel, or find that nothing has changed, and install it."""
    session.run("python", "-m", "build_tools", "build")
    made = json.loads(Path("dist/build-report.json").read_text(encoding="utf-8"))["wheel"]
    session.install("--quiet", "--no-deps", "--force-reinstall", f"dist/{made['file']}")


@nox.session
def build(session: nox.Session) -> None:
    """Build, prove and try the wheel: dist/*.whl and its report; -- --help lists the options."""
    prepare(session, "builder")
    session.run("python", "-m", "build_tools", "build", *session.posargs)


@nox.session
def onnx(session: nox.Session) -> None:
    """Build and prove upstream's own onnx package: any release, Python and protobuf; -- --help."""
    prepare(session, "builder")
    session.run("python", "-m", "build_tools", "onnx", *session.posargs)


@nox.session
def audit(session: nox.Session) -> None:
    """Prove any wheel: -- WHEEL…; symbols, linkage, tag, hardening, paths, names; text or SARIF."""
    prepare(session, "builder")
    session.run("python", "-m", "build_tools", "audit", *session.posargs)


@nox.session
def bundle(session: nox.Session) -> None:
    """Write one file with all sources and packages of a build: -- [FILE]; then -- --bundle FILE."""
    prepare(session, "builder")
    session.run("python", "-m", "build_tools", "bundle", *session.posargs)


@nox.session
def reproduce(session: nox.Session) -> None:
    """Make a wheel again from its own record, elsewhere, and compare the bytes: -- WHEEL."""
    prepare(session, "builder")
    session.run("python", "-m", "build_tools", "reproduce", *session.posargs)


@nox.session
def wheels(session: nox.Session) -> None:
    """Build the wheel matrix from this machine: -- --target TAG… --python X.Y… --test."""
    prepare(session, "wheels")
    session.run("python", "-m", "build_tools", "wheels", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Build, install the wheel and run every test, C++ and Python; -- goes to pytest."""
    prepare(session, "tests")
    install_wheel(session)
    session.run("python", "-m", "build_tools", "develop")
    session.run("python", "docs/make.py", "--check")
    spread = ("--numprocesses=auto", "--maxprocesses=8", "--dist=loadfile")
    session.run("pytest", *spread, "--no-loadscope-reorder", *session.posargs)


@nox.session
def conformance(session: nox.Session) -> None:
    """Run ONNX's backend test-suite on every tier and write docs/conformance.md; -- --check.

    The suite is that of the onnx wheel in dist/ that `nox -s onnx` has built for this Python, else
    that of the published one.
    """
    prepare(session, "tests")
    install_wheel(session)
    report = json.loads(Path("dist/build-report.json").read_text(encoding="utf-8"))
    tag = report["wheel"]["file"].split("-")[2]
    own = sorted(Path("dist").glob(f"onnx-{report['onnx']['version']}-{tag}-*.whl"))
    if own:
        session.install("--quiet", "--no-deps", "--force-reinstall", str(own[-1]))
    session.run("python", "-m", "tests.conformance", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Remake the generated pages of docs/; -- --check only compares."""
    prepare(session, "docs")
    install_wheel(session)
    session.run("python", "docs/make.py", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and types: ruff, mypy, clang-format and clang-tidy; changes nothing."""
    prepare(session, "lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    workflows = sorted(str(path) for path in Path(".github/workflows").glob("*.yml"))
    session.run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows)
    session.run("clang-format", "--dry-run", "--Werror", *cpp_files())
    configure = ("develop", "--stop-after", "configure", "--build-dir", "build/lint")
    # clang-tidy wants a command for each file, not for several at once.
    session.run("python", "-m", "build_tools", *configure, "--cmake-arg=-DONNXFORGE_UNITY=OFF")
    layers = "/cpp/(base|bindings|io|ir|kernels|passes|runtime)/"
    session.run("run-clang-tidy.py", "-quiet", "-p", "build/lint/dev", layers, *session.posargs)


@nox.session(name="format")
def format_(session: nox.Session) -> None:
    """Rewrite Python and C++ in the project's style."""
    prepare(session, "lint")
    session.run("ruff", "check", "--fix", "--exit-zero")
    session.run("ruff", "format")
    session.run("clang-format", "-i", *cpp_files())


@nox.session
def doctor(session: nox.Session) -> None:
    """Say what is on this machine, what a build would use, and what will fail; builds nothing."""
    prepare(session, "builder")
    session.run("python", "-m", "build_tools", "doctor", *session.posargs)


@nox.session
def cache(session: nox.Session) -> None:
    """Look after fetched sources and built libraries: -- list, verify or prune."""
    prepare(session, "builder")
    session.run("python", "-m", "build_tools", "cache", *(session.posargs or ["list"]))


@nox.session
def bench(session: nox.Session) -> None:
    """Measure: -- engine (against onnxruntime; the default), build or protobuf, and options."""
    subject, options = "engine", list(session.posargs)
    if options and options[0] in ("engine", "build", "protobuf"):
        subject = options.pop(0)
    prepare(session, "bench")
    if subject == "engine":
        install_wheel(session)
    session.run("python", f"benchmarks/{subject}.py", *options)


def cpp_files() -> list[str]:
    """Return every C++ source and header of the project."""
    folders = [Path("cpp"), Path("tests/cpp")]
    return sorted(
        str(path) for folder in folders for path in folder.rglob("*.[ch]*") if path.is_file()
    )
