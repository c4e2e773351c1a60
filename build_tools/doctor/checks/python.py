"""The Python that is built for: its headers, its modules, its ABI, and who shadows whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_tools.doctor.model import Check, Finding, fatal, note, warning
from build_tools.doctor.packages import PYTHON_HEADERS, install
from build_tools.doctor.upstream_build import from_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from build_tools.doctor.basics import Basics
    from build_tools.doctor.facts import Facts

_NO_TARGET = "no Python answers"
_OURS = "it builds for the Python that runs it"


def _target_answers(facts: Facts) -> str:
    target = facts.target
    return "" if target is not None and not target.problem else _NO_TARGET


def _headers(facts: Facts) -> Iterator[Finding]:
    yield from _own_headers(facts)
    target = facts.target
    if target is None:
        return
    if target.problem:
        what = f"{target.path} does not say what it is"
        yield fatal(what, target.problem, "nox -s doctor -- --python PATH", spared=_OURS)
        return
    if not target.has_headers:
        yield fatal(
            f"the headers of {target.path} ({target.version}) are missing",
            f"{target.include_dir}/Python.h: no such file",
            *_install(facts, target.version),
            spared=_OURS,
        )
    yield from _others(facts)


def _others(facts: Facts) -> Iterator[Finding]:
    """Yield Pythons that CMake may take instead of the one that is built for."""
    target = facts.target
    assert target is not None
    others = [
        entry
        for entry in facts.pythons
        if entry.origin == "PATH" and entry.has_headers and entry.version != target.version
    ]
    if others:
        said = ", ".join(f"{entry.path} is {entry.version}" for entry in others)
        yield warning(
            f"CMake may take another Python than {target.path} ({target.version})",
            said,
            from_source(
                facts, f"-DPython3_EXECUTABLE={target.path}", f"-DPython_EXECUTABLE={target.path}"
            ),
            spared="it names the interpreter to CMake by every name that there is",
        )


def _own_headers(basics: Basics) -> Iterator[Finding]:
    python = basics.host.python
    if basics.python_headers is None and not basics.upstream:
        yield fatal(
            f"the headers of the Python that the wheel is made for are missing ({python.version})",
            f"{python.include_dir}/Python.h: no such file",
            *_install(basics, python.version),
        )


def _install(basics: Basics, version: str) -> tuple[str, ...]:
    minor = ".".join(version.split(".")[:2])
    commands = install(PYTHON_HEADERS, basics.package_manager, minor)
    return (*commands, f"uv python install {minor}  (it comes with its headers)")


def _distutils(facts: Facts) -> Iterator[Finding]:
    target, release = facts.target, facts.release
    assert target is not None
    if release is None or not release.imports_distutils or target.has_distutils:
        return
    yield fatal(
        f"setup.py of ONNX {facts.config.onnx_version} imports distutils, and {target.path} has "
        f"none",
        f"import distutils fails in Python {target.version}; only setuptools could stand in",
        f"{target.path} -m pip install setuptools",
        spared="it does not run setup.py",
    )


def _no_wheel(facts: Facts) -> Iterator[Finding]:
    target, release, host = facts.target, facts.release, facts.host
    assert target is not None
    if release is None:
        return
    why = _why_no_wheel(facts)
    if why:
        version = facts.config.onnx_version
        yield note(
            f"pip install onnx=={version} would compile: there is no wheel for {why}",
            f"ONNX {version} has wheels for {', '.join(release.wheels)} on manylinux (x86_64, "
            f"aarch64), macOS and Windows; this is {target.abi} on {host.system} {host.machine}",
        )


def _why_no_wheel(facts: Facts) -> str:
    """Return what the release has no wheels for; empty where it has one."""
    target, release, host = facts.target, facts.release, facts.host
    assert target is not None
    assert release is not None
    if "musl" in target.soabi:
        return "musl"
    if host.system == "linux" and host.machine not in ("x86_64", "aarch64"):
        return host.machine
    if host.system == "windows" and host.machine == "arm64" and not release.windows_arm64:
        return "Windows on ARM"
    return "" if fits(target.abi, release.wheels) else target.abi


def fits(abi: str, wheels: tuple[str, ...]) -> bool:
    """Say whether one of the wheels is for a Python with this ABI."""
    interpreter = abi.removesuffix("t")
    if f"{interpreter}-{abi}" in wheels or f"{abi}-{abi}m" in wheels:
        return True
    if abi.endswith("t") or not abi[3:].isdigit():
        return False  # the stable ABI does not cover Pythons without the lock
    stable = [int(name[3:-5]) for name in wheels if name.endswith("-abi3")]
    return any(int(abi[3:]) >= least for least in stable)


def _free_threaded(facts: Facts) -> Iterator[Finding]:
    target, release = facts.target, facts.release
    assert target is not None
    if release is None:
        return
    stable = [name for name in release.wheels if name.endswith("-abi3")]
    if stable and not fits(target.abi, release.wheels):
        yield warning(
            f"{target.path} is free-threaded ({target.abi}), and wheels of the stable ABI do not "
            f"fit",
            f"ONNX {facts.config.onnx_version} has {', '.join(release.wheels)}",
            f"pip install onnx  (with a Python of {', '.join(release.wheels)})",
        )
    elif not fits(target.abi, release.wheels):
        yield warning(
            f"ONNX {facts.config.onnx_version} knows no free-threaded Python ({target.abi})",
            f"it has {', '.join(release.wheels)}",
            "use a Python with the lock, or a newer ONNX",
        )


def _shadowed(facts: Facts) -> Iterator[Finding]:
    for tree in facts.source_trees:
        yield warning(
            f"import onnx takes the sources in {tree.path} for the package",
            f"{tree.origin} is {tree.path}, and has onnx/onnx.in.proto",
            "cd /  (and import from there)",
            "python -P -c 'import onnx'  (Python 3.11 and later)",
            *(("unset PYTHONPATH",) if tree.origin == "PYTHONPATH" else ()),
            spared="it tries the wheel in an empty folder, in isolated mode",
        )


CHECKS = (
    Check(
        identifier="python-headers",
        title="Python's headers are missing, or those of another Python are taken",
        symptoms=(
            "Could NOT find Python3 (missing: Development.Module)",
            "fatal error: Python.h: No such file or directory",
            "LNK1104: cannot open file 'python36.lib'",
        ),
        cause="The package with the headers is not installed; or CMake, asked for interpreter and "
        "headers one by one, takes them from two Pythons, which gives a wrong file name or a "
        "crash.",
        look="Each Python is asked where its headers are, and Python.h is looked for there.",
        cure="The interpreter that runs the build is named to CMake; missing headers are an error "
        "before anything is compiled.",
        examine=_headers,
        preflight=_own_headers,
    ),
    Check(
        identifier="distutils-missing",
        title="An old setup.py imports distutils",
        symptoms=("ModuleNotFoundError: No module named 'distutils'",),
        cause="Python 3.12 has no distutils; setup.py of ONNX 1.13 and 1.14 imports it first.",
        look="The Python that is built for is asked to import it.",
        cure="setup.py is not used; CMake is driven directly.",
        examine=_distutils,
        applies=_target_answers,
    ),
    Check(
        identifier="no-wheel-for-this-python",
        title="pip install onnx starts to compile",
        symptoms=(
            "Building wheels for collected packages: onnx",
            "error: subprocess-exited-with-error",
        ),
        cause="There is no wheel for this Python, processor or C library.",
        look="The wheels of every release are known; the Python is asked for its ABI.",
        cure="The wheel is built here, for the Python that runs the build.",
        examine=_no_wheel,
        applies=lambda facts: (
            _target_answers(facts)
            or ("" if facts.release else f"nothing is known of ONNX {facts.config.onnx_version}")
        ),
    ),
    Check(
        identifier="free-threaded-abi",
        title="A wheel of the stable ABI on a Python without the lock",
        symptoms=("onnx-….whl is not a supported wheel on this platform.",),
        cause="abi3 does not cover free-threaded Pythons, each of which needs wheels of its own.",
        look="The Python is asked; the wheels of every release are known.",
        cure="The wheel has the ABI of the Python that runs the build.",
        examine=_free_threaded,
        applies=lambda facts: (
            _target_answers(facts)
            or (
                ""
                if facts.target and facts.target.free_threaded
                else "the Python that is built for has the global interpreter lock"
            )
        ),
    ),
    Check(
        identifier="source-tree-shadows",
        title="The sources stand in for the installed package",
        symptoms=(
            "ModuleNotFoundError: No module named 'onnx.onnx_cpp2py_export'",
            "ImportError: cannot import name 'ONNX_ML' from 'onnx.onnx_cpp2py_export' (unknown "
            "location)",
        ),
        cause="Python looks into the current folder first, and that is a clone of ONNX.",
        look="The current folder, the shell's and those of PYTHONPATH are searched for "
        "onnx.in.proto.",
        cure="The wheel is tried in an empty folder, in isolated mode.",
        examine=_shadowed,
    ),
)
