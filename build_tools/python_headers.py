"""Headers, and for Windows the import library, of the CPython that a wheel is for.

CPython's headers are the same on every system but for pyconfig.h. So any installation of the same
version lends them: one that was named, one of this machine, or the package of Debian that has it.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.debian import Debian, NoDebianError
from build_tools.errors import BuilderError, ConfigError, ToolchainError
from build_tools.interpreters import find_interpreters
from build_tools.recipe import digest_of_files
from build_tools.storage import sha256_of, walk_files
from build_tools.symbols import exported_symbols
from build_tools.toolchain.zig import find_zig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from build_tools.recipe import Site

WINDOWS_PIN = "python-windows"
_WINDOWS_PYCONFIG = Path(__file__).with_name("cmake") / "toolchains" / "windows-pyconfig.h"
_VERSION = re.compile(r'#define\s+PY_VERSION\s+"(3\.\d+)\.')
# On Debian pyconfig.h only leads to that of the processor.
_DISPATCH = re.compile(r"include <(\S+/pyconfig\.h)>")


@dataclass(frozen=True, kw_only=True)
class TargetPython:
    """A CPython as a compiler and a linker see it."""

    version: str
    """Its version, e.g. "3.13"."""

    include_dir: Path
    """The folder with Python.h and a pyconfig.h for the target."""

    library: Path | None
    """Windows: the import library to link with."""

    origin: str
    """Where the headers came from."""

    @property
    def tag(self) -> str:
        """The interpreter's tag, e.g. "cp313"."""
        return f"cp{self.version.replace('.', '')}"


@dataclass(frozen=True, kw_only=True)
class _Source:
    """A folder with headers of the wanted version."""

    include_dir: Path
    pyconfig: Path
    origin: str


def provide_python(
    site: Site, version: str, given: Mapping[str, Path], releases: Mapping[str, str]
) -> TargetPython:
    """Return headers and import library of ``version`` for the site's target, from the cache.

    ``given`` are folders that the user named; ``releases`` names Debian's release by the CPython it
    has. Raises ToolchainError naming every place that was looked at.
    """
    source = _find(site, version, given, releases)
    windows = site.target.system == "windows"
    pyconfig = _WINDOWS_PYCONFIG if windows else source.pyconfig
    dll = _windows_dll(site, version) if windows else None
    inputs = {
        "headers": digest_of_files(source.include_dir, _headers(source.include_dir)),
        "pyconfig": sha256_of(pyconfig),
        "dll": sha256_of(dll) if dll else "",
        "target": site.target.zig if windows else "posix",
    }

    def fill(prefix: Path) -> None:
        shutil.copytree(source.include_dir, prefix / "include", dirs_exist_ok=True)
        shutil.copyfile(pyconfig, prefix / "include" / "pyconfig.h")
        if dll:
            _make_import_library(dll, prefix / "lib" / f"lib{dll.stem}.a", site)

    prefix = site.cache.prefix("python-headers", version, inputs, fill).path
    site.context.record.decide(f"headers of Python {version}", source.origin, "the first found")
    library = prefix / "lib" / f"lib{dll.stem}.a" if dll else None
    return TargetPython(
        version=version, include_dir=prefix / "include", library=library, origin=source.origin
    )


def windows_python(site: Site, version: str) -> Path:
    """Return the folder with python.org's CPython for Windows; raises PinError for others."""
    pins = {pin.rpartition(".")[0]: pin for pin in site.pins.versions(WINDOWS_PIN)}
    pin = site.pins.pin(WINDOWS_PIN, pins.get(version, version))
    tree = site.cache.source(pin, site.fetcher)

    def fill(prefix: Path) -> None:
        shutil.unpack_archive(tree / "data.zip", prefix)

    inputs = {"archive": pin.places[0].sha256}
    unpacked = site.cache.prefix(WINDOWS_PIN, pin.version, inputs, fill).path
    return unpacked / f"cp{version.replace('.', '')}"


def _find(
    site: Site, version: str, given: Mapping[str, Path], releases: Mapping[str, str]
) -> _Source:
    if version in given:
        found = _judge(given[version], version, f"--headers {version}={given[version]}")
        if isinstance(found, str):
            raise ConfigError(found, fix="name the folder that has Python.h in it")
        return found
    looked: list[str] = []
    for candidate in _candidates(site, version, releases, looked):
        found = _judge(candidate[0], version, candidate[1])
        if not isinstance(found, str):
            return found
        looked.append(found)
    raise ToolchainError(
        f"there are no headers of CPython {version} for {site.target}",
        looked=looked,
        fix=[
            f"install CPython {version} with its headers: a system's package, pyenv or uv",
            f"or name a folder that has them: --headers {version}=DIR (any system's will do)",
            f"or leave it out: --python {' '.join(releases)}",
        ],
    )


def _candidates(
    site: Site, version: str, releases: Mapping[str, str], looked: list[str]
) -> Iterator[tuple[Path, str]]:
    host, runner = site.context.host, site.context.runner
    for interpreter in find_interpreters(version, host, runner):
        yield interpreter.include_dir, f"{interpreter.executable} ({interpreter.version})"
    looked.append(f"this machine: no other CPython {version} on PATH, of pyenv or of uv")
    if version not in releases:
        looked.append(f"Debian: no release with CPython {version} is named in the matrix")
        return
    try:
        yield _from_debian(site, version, releases[version]), f"Debian {releases[version]}"
    except NoDebianError as error:
        looked.append(f"Debian: {error}")
    except BuilderError as error:
        looked.append(f"Debian {releases[version]}: {error.what}")


def _from_debian(site: Site, version: str, release: str) -> Path:
    def fill(prefix: Path) -> None:
        folder = site.cache.root / "debian" / f"{release}-amd64"
        debian = Debian(release=release, architecture="amd64", folder=folder, context=site.context)
        debian.unpack([f"libpython{version}-dev"], prefix, alone=True)

    inputs = {"release": release, "architecture": "amd64"}
    prefix = site.cache.prefix("debian-headers", version, inputs, fill).path
    return prefix / "usr" / "include" / f"python{version}"


def _judge(folder: Path, version: str, origin: str) -> _Source | str:
    """Return the headers in a folder, or what is wrong with them."""
    try:
        text = (folder / "patchlevel.h").read_text(encoding="utf-8")
        found = _VERSION.search(text)
        pyconfig = folder / "pyconfig.h"
        leads = _DISPATCH.search(pyconfig.read_text(encoding="utf-8"))
    except OSError as error:
        return f"{origin}: {error}"
    if found is None or found[1] != version:
        return f"{origin}: its headers are of {found[1] if found else 'no known version'}"
    if leads:
        pyconfig = next(folder.parent.glob("x86_64-linux-gnu/*/pyconfig.h"), pyconfig)
        pyconfig = folder.parent / leads[1] if (folder.parent / leads[1]).exists() else pyconfig
    return _Source(include_dir=folder, pyconfig=pyconfig, origin=origin)


def _headers(folder: Path) -> Iterator[Path]:
    return (path for path in walk_files(folder) if path.suffix == ".h")


def _windows_dll(site: Site, version: str) -> Path:
    folder = windows_python(site, version)
    return folder / f"python{version.replace('.', '')}.dll"


def _make_import_library(dll: Path, library: Path, site: Site) -> None:
    """Write an import library of all that a DLL exports, its data marked as such."""
    library.parent.mkdir(parents=True)
    definition = library.with_suffix(".def")
    data = data_exports(dll)
    names = [f"  {name}{' DATA' if name in data else ''}" for name in exported_symbols(dll)]
    text = "\n".join([f"LIBRARY {dll.name}", "EXPORTS", *names, ""])
    definition.write_text(text, encoding="ascii")
    zig = find_zig(site.context.runner).program
    command: list[str | Path] = [
        zig,
        "dlltool",
        "-m",
        "i386:x86-64",
        "-d",
        definition,
        "-l",
        library,
    ]
    said = site.context.runner.run([*command, "-D", dll.name], env=site.context.host.environ)
    if not said.ok:
        raise ToolchainError(
            f"no import library of {dll.name} could be made",
            looked=[f"{said.command}\n{said.text}"],
        )


def data_exports(dll: Path) -> frozenset[str]:
    """Return the exports of a DLL that are no code, by the section they lie in."""
    import lief  # noqa: PLC0415 - 0.2 s to import; only needed where a binary is read

    binary = lief.parse(dll)
    assert isinstance(binary, lief.PE.Binary)
    code = lief.PE.Section.CHARACTERISTICS.MEM_EXECUTE
    table = binary.get_export()
    assert isinstance(table, lief.PE.Export)

    def is_code(address: int) -> bool:
        section = binary.section_from_rva(address)
        return section is not None and section.has_characteristic(code)

    return frozenset(
        str(entry.name)
        for entry in table.entries
        if not entry.is_forwarded and not is_code(entry.address)
    )
