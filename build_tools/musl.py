"""A CPython on musl, to try musllinux wheels with: Debian's sources of it, compiled with musl-gcc.

No package index has one. It lacks what needs further libraries (zlib, OpenSSL…), which no trial
uses.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from build_tools.debian import Debian
from build_tools.errors import CompileError
from build_tools.process import tail

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from build_tools.recipe import Site

# configure compares what compiler and machine call themselves; musl-gcc speaks for the machine.
_COMPILER = """\
#!/bin/sh
[ "$1" = --print-multiarch ] && echo {machine}-linux-musl && exit
exec {compiler} "$@"
"""


def provide_musl_python(python: str, release: str, compiler: Path, site: Site) -> Path:
    """Return the interpreter, built when it is not in the cache.

    Raises CompileError with the log's end; NoDebianError where the sources are not to be had.
    """

    def build(prefix: Path) -> None:
        with site.context.record.step(f"CPython {python} on musl: build (some minutes, once)"):
            _build(python, release, compiler, prefix, site)

    inputs = {"release": release, "compiler": str(compiler)}
    prefix = site.cache.prefix("musl-python", python, inputs, build).path
    return prefix / "bin" / f"python{python}"


def _build(python: str, release: str, compiler: Path, prefix: Path, site: Site) -> None:
    debian = Debian(
        release=release,
        architecture="amd64",
        folder=site.cache.root / "debian" / f"{release}-amd64",
        context=site.context,
    )
    archives = debian.sources(f"python{python}")
    archive = max(archives.glob(f"python{python}_*.orig.tar.*"), key=lambda path: path.name)
    work = site.config.build_dir.absolute() / f"musl-python-{python}"
    shutil.rmtree(work, ignore_errors=True)
    shutil.unpack_archive(archive, work)
    (tree,) = (path for path in work.iterdir() if path.is_dir())
    driver = work / "musl-cc"
    text = _COMPILER.format(machine=site.target.machine, compiler=compiler)
    driver.write_text(text, encoding="utf-8")
    driver.chmod(0o755)
    options = [
        "--without-ensurepip",
        "--disable-test-modules",
        f"--prefix={prefix}",
        f"CC={driver}",
    ]
    _run(["./configure", "--quiet", *options], tree, site)
    _run(["make", f"-j{site.jobs}", "altinstall"], tree, site)
    shutil.rmtree(work)


def _run(command: Sequence[str], tree: Path, site: Site) -> None:
    # Else configure believes what pkg-config says of this machine's libraries.
    environ = {**site.context.host.environ, "PKG_CONFIG_LIBDIR": "/nonexistent"}
    log = site.logs / f"musl-python-{command[0].removeprefix('./')}.log"
    said = site.context.runner.stream(
        command, log=log, on_line=lambda _line: None, cwd=tree, env=environ
    )
    if not said.ok:
        raise CompileError(
            f"a CPython on musl could not be built: {command[0]} failed",
            looked=[f"the end of {log}:\n{tail(log)}"],
            fix="leave out --test, or name other targets",
        )
