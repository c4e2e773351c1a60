"""Where compilers may be: ``--compiler``, CC and CXX, then PATH. Finds; judges nothing.

A compiler that somebody named is the only candidate, so that it is never replaced in silence.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.errors import ToolchainError
from build_tools.toolchain.families import FAMILIES, families_of
from build_tools.toolchain.model import Candidate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from build_tools.host import Host
    from build_tools.toolchain.model import FamilyTraits

_LAUNCHERS = frozenset({"ccache", "sccache", "distcc", "icecc"})
_GENERIC = ("cc", "c++")
# Newer compilers that RHEL and its relatives install beside the old one, outside PATH.
_EXTRA_FOLDERS = ("opt/rh/gcc-toolset-*/root/usr/bin", "opt/rh/devtoolset-*/root/usr/bin")


def search(
    host: Host, asked: str | None = None, asked_by: str = "--compiler", root: Path = Path("/")
) -> Iterator[Candidate]:
    """Yield the compilers that may be used, best first.

    ``asked`` is a name, a path or a family. Raises ToolchainError for a named compiler that is not
    there.
    """
    environ = host.environ
    if asked:
        yield from _asked(host, asked, asked_by, root)
    elif environ.get("CXX", "").strip() or environ.get("CC", "").strip():
        yield _from_environment(host)
    else:
        yield from _installed(host, families_of(host.system), root)


def _asked(host: Host, asked: str, asked_by: str, root: Path) -> Iterator[Candidate]:
    known = families_of(host.system)
    families = [traits for traits in known if asked.lower() in traits.wanted_as]
    if families:
        yield from _installed(host, families, root, origin=f"{asked_by} {asked}")
        return
    program, arguments, launcher = _command(host, asked, asked_by)
    cc, cxx = _pair(program, asked_by)
    given = Candidate(cc=cc, cxx=cxx, origin=f"{asked_by} {asked}", launcher=launcher)
    yield replace(given, cc_arguments=arguments, cxx_arguments=arguments)


def _from_environment(host: Host) -> Candidate:
    """Return the compiler of CC and CXX; a missing one is the companion of the other."""
    given = {name: host.environ.get(name, "").strip() for name in ("CC", "CXX")}
    found = {name: _command(host, text, name) for name, text in given.items() if text}
    if len(found) == 2:
        (cc, cc_arguments, _), (cxx, cxx_arguments, launcher) = found["CC"], found["CXX"]
        origin = "environment CC, CXX"
    else:
        ((name, (program, cc_arguments, launcher)),) = found.items()
        (cc, cxx), cxx_arguments, origin = _pair(program, name), cc_arguments, f"environment {name}"
        _require_companion(name, program, cc, cxx)
    return Candidate(
        cc=cc,
        cxx=cxx,
        origin=origin,
        cc_arguments=cc_arguments,
        cxx_arguments=cxx_arguments,
        launcher=launcher,
    )


def _require_companion(name: str, program: Path, cc: Path, cxx: Path) -> None:
    wanted, missing = (cxx, "CXX") if name == "CC" else (cc, "CC")
    if not wanted.is_file():
        raise ToolchainError(
            f"{name} is set to {program}, {missing} is not set, and its companion is not there",
            looked=[f"{wanted}: no such file"],
            fix=f"set {missing} as well, or unset {name}",
        )


def _installed(
    host: Host, families: Sequence[FamilyTraits], root: Path, origin: str = "PATH"
) -> Iterator[Candidate]:
    """Yield what is on PATH: plain names, then versioned ones, the newest first; each file once."""
    seen: set[Path] = set()
    folders = _folders(host)
    names = [drivers for traits in families for drivers in traits.drivers]
    if len(families) == len(families_of(host.system)):
        names.append(_GENERIC)
    for cc, cxx in (
        *_plain(folders, names, host.exe_suffix),
        *_versioned(folders, names),
        *_versioned_folders(root, names, host.exe_suffix),
    ):
        # One file under several names is one compiler, unless it is ccache in disguise.
        real = cxx.resolve()
        identity = cxx if real.stem in _LAUNCHERS else real
        if identity not in seen:
            seen.add(identity)
            yield Candidate(cc=cc, cxx=cxx, origin=origin)


def _plain(
    folders: Sequence[Path], names: Sequence[tuple[str, str]], suffix: str
) -> Iterator[tuple[Path, Path]]:
    for name in dict.fromkeys(names):
        for folder in folders:
            cc, cxx = (folder / (driver + suffix) for driver in name)
            if cxx.is_file():
                yield cc, cxx
                break


def _versioned(
    folders: Sequence[Path], names: Sequence[tuple[str, str]]
) -> Iterator[tuple[Path, Path]]:
    for c_name, cxx_name in dict.fromkeys(names):
        pattern = re.compile(re.escape(cxx_name) + r"-(\d+(?:\.\d+)*)(\.exe)?")
        found = {
            path: tuple(int(part) for part in match.group(1).split("."))
            for folder in folders
            for path in _listed(folder)
            if (match := pattern.fullmatch(path.name))
        }
        for path in sorted(found, key=lambda path: found[path], reverse=True):
            yield path.with_name(c_name + path.name[len(cxx_name) :]), path


def _versioned_folders(
    root: Path, names: Sequence[tuple[str, str]], suffix: str
) -> Iterator[tuple[Path, Path]]:
    for pattern in _EXTRA_FOLDERS:
        for folder in sorted(root.glob(pattern), reverse=True):
            yield from _plain([folder], names, suffix)


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _folders(host: Host) -> tuple[Path, ...]:
    parts = host.environ.get("PATH", "").split(host.path_separator)
    return tuple(dict.fromkeys(Path(part) for part in parts if part))


def _command(host: Host, text: str, asked_by: str) -> tuple[Path, tuple[str, ...], Path | None]:
    """Take a compiler command apart: the program, its arguments, and the launcher before it."""
    words = _words(host, text, asked_by)
    launcher = None
    if len(words) > 1 and Path(words[0]).stem in _LAUNCHERS:
        launcher, words = _locate(host, words[0], asked_by, text), words[1:]
    return _locate(host, words[0], asked_by, text), tuple(words[1:]), launcher


def _words(host: Host, text: str, asked_by: str) -> list[str]:
    """Split a command as a shell does, unless all of it is the path of a program with blanks."""
    bare = text.strip().strip("\"'")
    if Path(bare).is_file():
        return [bare]
    try:
        return shlex.split(text, posix=host.system != "windows")
    except ValueError as error:
        raise ToolchainError(
            f"{asked_by} cannot be taken apart: {error} in {text!r}",
            fix="close every quotation mark; quote a path that contains blanks",
        ) from error


def _locate(host: Host, program: str, asked_by: str, text: str) -> Path:
    """Return where a program is: a path as it is, a name by PATH."""
    named = Path(program.strip('"')).expanduser()
    if named.parent != Path():
        if named.is_file():
            return named.absolute()
        raise _not_there(asked_by, text, [f"{named}: no such file"])
    for folder in _folders(host):
        for name in dict.fromkeys((named.name, named.name + host.exe_suffix)):
            if (folder / name).is_file():
                return folder / name
    raise _not_there(asked_by, text, [f"{folder}: no {program}" for folder in _folders(host)])


def _not_there(asked_by: str, text: str, looked: Sequence[str]) -> ToolchainError:
    return ToolchainError(
        f"the compiler {text!r} of {asked_by} does not exist",
        looked=looked or ["PATH is empty"],
        fix=[
            f"correct {asked_by}; a path that contains blanks needs quotation marks around it",
            "or leave it unset: the compilers on PATH are then tried",
        ],
    )


def _pair(program: Path, asked_by: str) -> tuple[Path, Path]:
    """Return the C and the C++ driver, given either: by name, with prefix and version kept."""
    for c_name, cxx_name in _pairs():
        for name, other, is_cxx in ((cxx_name, c_name, True), (c_name, cxx_name, False)):
            match = re.fullmatch(rf"(.*-)?{re.escape(name)}((?:-[\d.]+)?(?:\.exe)?)", program.name)
            if match:
                companion = program.with_name(f"{match.group(1) or ''}{other}{match.group(2)}")
                return (companion, program) if is_cxx else (program, companion)
    raise ToolchainError(
        f"{asked_by} names {program}, and it is not known what its C and C++ drivers are called",
        looked=[f"known: {', '.join(f'{c_name} and {cxx}' for c_name, cxx in _pairs())}"],
        fix="set both CC and CXX in the environment",
    )


def _pairs() -> tuple[tuple[str, str], ...]:
    named = [drivers for traits in FAMILIES for drivers in traits.drivers]
    return tuple(dict.fromkeys([*named, _GENERIC]))


def flags_of(environ: Mapping[str, str], names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return the compiler flags that the environment sets, by variable."""
    return tuple((name, environ[name]) for name in names if environ.get(name, "").strip())
