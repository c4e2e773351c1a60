"""A CPython on musl, to try musllinux wheels with: Debian's sources of it, compiled with zig.

No package index has one. It lacks what needs further libraries (zlib, OpenSSL…), which no trial
uses. It is cross compiled for every processor, this machine's too: one recipe, and no musl needed
in the system.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.debian import Debian
from build_tools.errors import CompileError
from build_tools.process import tail
from build_tools.storage import sha256_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from build_tools.recipe import Site

# What configure finds out by running a program, and what zig's musl has and older ones lack.
_ANSWERS = (
    *("ac_cv_file__dev_ptmx=yes", "ac_cv_file__dev_ptc=no", "ac_cv_buggy_getaddrinfo=no"),
    *("ac_cv_func_preadv2=no", "ac_cv_func_pwritev2=no"),
)
_OPTIONS = (
    *("--without-ensurepip", "--disable-test-modules"),
    # Zig links programs for musl statically, and those load no extension.
    "LDFLAGS=-dynamic",
    # A variable of the C library that a program has a copy of is not the one that musl sets; and
    # zig takes it for an error that a Python knows the day it was compiled on.
    "CFLAGS=-fPIC -Wno-date-time",
    *_ANSWERS,
)


@dataclass(frozen=True, kw_only=True)
class MuslPlan:
    """What is built, and by whom."""

    python: str
    """The version, e.g. "3.13"."""

    release: str
    """The release of Debian with its sources."""

    builder: Path
    """A CPython of the very same version that runs on this machine."""


def provide_musl_python(plan: MuslPlan, site: Site) -> Path:
    """Return the interpreter for the site's target, built when it is not in the cache.

    Raises CompileError with the log's end; NoDebianError where the sources are not to be had.
    """

    def build(prefix: Path) -> None:
        with site.context.record.step(f"CPython {plan.python} on musl: build (minutes, once)"):
            _build(plan, prefix, site)

    inputs = {
        "release": plan.release,
        "compiler": site.toolchain.reasons[0],
        "recipe": sha256_of(Path(__file__)),
    }
    prefix = site.cache.prefix("musl-python", plan.python, inputs, build).path
    return prefix / "bin" / f"python{plan.python}"


def _build(plan: MuslPlan, prefix: Path, site: Site) -> None:
    debian = Debian(
        release=plan.release,
        architecture="amd64",
        folder=site.cache.root / "debian" / f"{plan.release}-amd64",
        context=site.context,
    )
    work = site.config.build_dir.absolute() / f"musl-python{plan.python}-{site.target.machine}"
    shutil.rmtree(work, ignore_errors=True)
    (work / "archive").mkdir(parents=True)
    archive = debian.sources(f"python{plan.python}", work / "archive")
    shutil.unpack_archive(archive, work / "tree")
    (tree,) = (path for path in (work / "tree").iterdir() if path.is_dir())
    _keep_to_the_target(tree / "setup.py")
    _run(["./configure", "--quiet", *configure_words(plan, prefix, site)], tree, site)
    _run(["make", f"-j{site.jobs}", "altinstall"], tree, site)
    shutil.rmtree(work)


def configure_words(plan: MuslPlan, prefix: Path, site: Site) -> list[str]:
    """Return what configure is told."""
    compiler = site.toolchain.compiler
    # 3.11's configure takes none from PATH when it crosses; binutils' reads files of every machine.
    readelf = shutil.which("readelf", path=site.context.host.environ.get("PATH"))
    return [
        f"--prefix={prefix}",
        f"--host={site.target.machine}-linux-musl",
        # Not the truth: 3.11 names its extensions after the C library of the building machine.
        f"--build={site.context.host.machine}-builder-linux-musl",
        f"--with-build-python={plan.builder}",
        f"CC={compiler.cc}",
        # By this name, which Clang's stdarg.h does not have, configure tells musl from others.
        f"CPP={compiler.cc} -E -D__DEFINED_va_list",
        f"AR={compiler.cc.with_name('ar')}",
        f"RANLIB={compiler.cc.with_name('ranlib')}",
        *([f"READELF={readelf}"] if readelf else []),
        *_OPTIONS,
    ]


def _keep_to_the_target(setup: Path) -> None:
    """Keep 3.11's setup.py from the headers in /usr/include, which zig names when it is asked."""
    if setup.is_file():
        text = setup.read_text(encoding="utf-8")
        asked = "self.add_cross_compiling_paths()"
        setup.write_text(text.replace(asked, "pass"), encoding="utf-8")


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
