"""Gathers every fact once, many at a time; what cannot be found out is a fact, too."""

from __future__ import annotations

import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from build_tools.config import Linkage
from build_tools.doctor import machine, owners, programs, protobufs, pythons, reach, trees
from build_tools.doctor.basics import basics
from build_tools.doctor.cmake_finds import cmake_finds
from build_tools.doctor.extensions import extensions
from build_tools.doctor.facts import AppleFacts, Facts, Trouble, WindowsFacts
from build_tools.doctor.hurry import COMPILE_SECONDS, Hurried
from build_tools.doctor.platforms import apple_facts, windows_facts
from build_tools.errors import BuilderError, PinError
from build_tools.jobs import plan_jobs
from build_tools.probes import Bench, CxxRuntime, compiler_runtime
from build_tools.recipe import REPOSITORY
from build_tools.toolchain.choose import assess, choose
from build_tools.toolchain.describe import describe
from build_tools.toolchain.model import FLAG_VARIABLES, Assessed, Compiler
from build_tools.toolchain.search import flags_of, search
from build_tools.tools import find_tools

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from build_tools.context import Context
    from build_tools.doctor.basics import Basics, Source
    from build_tools.doctor.facts import (
        AbseilFound,
        CMakeFinds,
        LibraryFound,
        Program,
        ProtobufFound,
        PythonFound,
        Reach,
        SourceTree,
    )
    from build_tools.host import Host
    from build_tools.process import Runner
    from build_tools.protobuf.model import Candidate as Root
    from build_tools.sources import Resolved
    from build_tools.toolchain.model import Candidate, Rejected, Toolchain
    from build_tools.tools import Tools

_WORKERS = 8
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Providers:
    """Who finds out what only one operating system has; one function each."""

    windows: Callable[[Host, Runner], WindowsFacts | None] = windows_facts
    """Visual Studio, its toolsets, the SDKs, the run-time library."""

    apple: Callable[[Host, Runner], AppleFacts | None] = apple_facts
    """The command-line tools and the SDK."""


def gather(
    resolved: Resolved,
    context: Context,
    *,
    python: Path | None = None,
    upstream: bool = False,
    providers: Providers | None = None,
) -> Facts:
    """Find out everything; ``python`` is the interpreter that is built for, where it is named."""
    started = time.perf_counter()
    with ThreadPoolExecutor(max_workers=_WORKERS) as pool:
        survey = _Survey(resolved, context, pool, python=python, upstream=upstream)
        facts = survey.facts(providers or Providers())
    return replace(facts, seconds=time.perf_counter() - started)


class _Survey:
    """One round of questions; each goes to the pool as soon as what it needs is known."""

    def __init__(
        self,
        resolved: Resolved,
        context: Context,
        pool: ThreadPoolExecutor,
        *,
        python: Path | None,
        upstream: bool,
    ) -> None:
        self._resolved = resolved
        self._host = context.host
        self._outside = programs.outside(context.host)
        self._asking = Hurried(context.runner)
        self._compiling = Hurried(context.runner, COMPILE_SECONDS)
        self._pool = pool
        self._python = python
        self._upstream = upstream
        self._troubles: list[Trouble] = []

    def facts(self, providers: Providers) -> Facts:
        """Ask everything, the slowest questions first."""
        candidates, no_search = self._now("which compilers there are", self._candidates, ((), None))
        assessing = [self._assessing(candidate) for candidate in candidates]
        bench = self._now("the compiler for probes", lambda: self._bench(candidates), None)
        roots = self._now("where a protobuf may be", self._roots, ())
        surveying = [self._surveying(root, bench) for root in roots]
        libraries = [self._library_asking(root, bench) for root in roots]
        runtime = self._later("the C++ run time", lambda: _runtime(bench), CxxRuntime.UNKNOWN)
        interpreters = self._now("which Pythons there are", self._interpreters, ())
        asking = [self._asking_python(*entry) for entry in interpreters]
        tools, no_tools = self._now("CMake and Ninja", self._tools, (None, None))
        finding = self._later("what CMake finds", lambda: self._finds(tools, bench), None)
        programs_asked = self._asking_programs()
        sources = self._basics(None, tools).sources
        reaching = self._reaching(sources)
        loading = self._later("the loader's folders", self._loader, ())
        found_pythons = pythons.distinct(_got(asking))
        targeting = self._later(
            "the Python to build for", lambda: self._target(found_pythons), None
        )
        compilers: tuple[Assessed | Rejected, ...] = _got(assessing)
        toolchain, none_usable = self._choose(compilers, no_search)
        gathered = Facts(
            **_shallow(self._basics(toolchain, tools)),
            compilers=compilers,
            no_toolchain=none_usable,
            no_tools=no_tools,
            programs=_got(programs_asked),
            pythons=found_pythons,
            target=targeting.result(),
            protobufs=_put_together(surveying, libraries),
            runtime=runtime.result(),
            cmake_finds=finding.result(),
            abseils=self._now("abseil", lambda: _abseils(roots), ()),
            reaches=_got(reaching),
            loader_folders=loading.result(),
            source_trees=self._now("the sources of ONNX around here", self._trees, ()),
            repository=REPOSITORY,
            emulated=self._now("emulation", lambda: machine.emulated(self._host), ""),
            windows=self._now("Windows", lambda: providers.windows(self._host, self._asking), None),
            apple=self._now("macOS", lambda: providers.apple(self._host, self._asking), None),
        )
        owned = self._now("who owns what", lambda: self._owners(gathered), {})
        return replace(_owned(gathered, owned), owners=owned, troubles=tuple(self._troubles))

    # One question each

    def _assessing(self, candidate: Candidate) -> Future[Assessed | Rejected | None]:
        def ask() -> Assessed | Rejected | None:
            cache_dir = self._resolved.config.cache_dir
            return next(assess([candidate], self._host, self._compiling, cache_dir))

        return self._later(f"what {candidate.cxx} can do", ask, None)

    def _library_asking(self, root: Root, bench: Bench | None) -> list[Future[LibraryFound | None]]:
        """Ask every library of one folder; the first of each linkage says the version."""
        paths = self._now(
            f"the libraries in {root.root}", lambda: protobufs.libraries(root, self._host), ()
        )

        def asking(path: Path, *, first: bool) -> Callable[[], LibraryFound | None]:
            return lambda: protobufs.library(path, bench, ask_version=first)

        return [
            self._later(f"what {path} is", asking(path, first=at < len(Linkage)), None)
            for at, path in enumerate(paths)
        ]

    def _surveying(self, root: Root, bench: Bench | None) -> Future[ProtobufFound | None]:
        config = self._resolved.config
        named = config.protobuf_root is not None and root.root == config.protobuf_root.absolute()
        thorough = named or config.protobuf is Linkage.SHARED
        return self._later(
            f"the protobuf in {root.root}",
            lambda: protobufs.survey(root, self._host, self._asking, bench, thorough=thorough),
            None,
        )

    def _asking_python(self, path: Path, origin: str) -> Future[PythonFound | None]:
        def ask() -> PythonFound | None:
            return pythons.ask(path, origin, self._host, self._asking)

        return self._later(f"what {path} is", ask, None)

    def _asking_programs(self) -> list[Future[Program | None]]:
        found = [
            (kind, path)
            for kind in programs.NAMES
            for path in programs.on_path(kind, self._outside)
        ]
        return [
            self._later(
                f"the version of {path}",
                lambda kind=kind, path=path: programs.ask(  # type: ignore[misc]
                    kind, path, "PATH", self._host, self._asking
                ),
                None,
            )
            for kind, path in found
        ]

    def _tools_on_path(self) -> tuple[tuple[str, Path], ...]:
        return tuple(
            (kind, path)
            for kind in programs.NAMES
            for path in programs.on_path(kind, self._outside)
        )

    def _reaching(self, sources: tuple[Source, ...] | PinError) -> list[Future[Reach | None]]:
        needed = () if isinstance(sources, PinError) else sources
        config = self._resolved.config
        asking = self._now(
            "where sources come from",
            lambda: tuple(reach.questions(needed, config, self._host)),
            (),
        )
        return [self._later("whether a host answers", question, None) for question in asking]

    def _candidates(self) -> tuple[tuple[Candidate, ...], BuilderError | None]:
        config, origins = self._resolved.config, self._resolved.origins
        try:
            return tuple(search(self._host, config.compiler, origins["compiler"])), None
        except BuilderError as error:
            return (), error

    def _bench(self, candidates: Sequence[Candidate]) -> Bench | None:
        """Return the bench with the first compiler that answers; the probes of it come later."""
        for candidate in candidates:
            found = describe(candidate, self._asking, self._host.environ)
            if isinstance(found, Compiler):
                return self._bench_with(found)
        return None

    def _bench_with(self, compiler: Compiler) -> Bench:
        flags = dict(flags_of(self._host.environ, FLAG_VARIABLES))
        names = ("CPPFLAGS", "CXXFLAGS", "LDFLAGS")
        words = [word for name in names for word in shlex.split(flags.get(name, ""))]
        return Bench(
            cxx=compiler.cxx,
            runner=self._compiling,
            system=self._host.system,
            environment=self._host.environ,
            flags=(*compiler.cxx_arguments, *words),
        )

    def _interpreters(self) -> tuple[tuple[Path, str], ...]:
        return tuple(pythons.candidates(self._outside))

    def _trees(self) -> tuple[SourceTree, ...]:
        return tuple(trees.source_trees(self._host, Path.cwd()))

    def _roots(self) -> tuple[Root, ...]:
        return protobufs.candidates(self._resolved, self._outside)

    def _tools(self) -> tuple[Tools | None, BuilderError | None]:
        try:
            return find_tools(self._resolved.config, self._host, self._asking), None
        except BuilderError as error:
            return None, error

    def _finds(self, tools: Tools | None, bench: Bench | None) -> CMakeFinds | None:
        if tools is None:
            return None
        triplet = ""
        if bench is not None:
            said = bench.runner.run([bench.cxx, "-print-multiarch"], env=bench.environment)
            triplet = said.stdout.strip() if said.ok else ""
        config = self._resolved.config
        return cmake_finds(tools.cmake, triplet, config, self._outside, self._asking)

    def _loader(self) -> tuple[Path, ...]:
        if self._host.system != "linux":
            return ()
        return tuple(machine.loader_folders(self._host, self._asking))

    def _target(self, found: Sequence[PythonFound]) -> PythonFound | None:
        """Return the Python that is built for, with what is installed there."""
        named = self._python
        if named is None:
            chosen = pythons.choose_target(found, self._host)
            named = chosen.path if chosen else None
        if named is None:
            return None
        known = pythons.ask(named, "PATH", self._host, self._compiling, packages=True)
        if known.problem:
            return known
        return replace(known, extensions=tuple(extensions(known.site_packages)))

    def _choose(
        self, compilers: Sequence[Assessed | Rejected], no_search: BuilderError | None
    ) -> tuple[Toolchain | None, BuilderError | None]:
        if no_search is not None:
            return None, no_search
        try:
            return choose(compilers, flags_of(self._host.environ, FLAG_VARIABLES)), None
        except BuilderError as error:
            return None, error

    def _basics(self, toolchain: Toolchain | None, tools: Tools | None) -> Basics:
        config, origins = self._resolved.config, self._resolved.origins
        jobs = plan_jobs(self._host, config.jobs, origins["jobs"])
        return basics(self._resolved, self._host, toolchain, tools, jobs, upstream=self._upstream)

    def _owners(self, facts: Facts) -> dict[Path, str]:
        return owners.owners(_worth_owning(facts), self._host, self._asking)

    # How questions are asked

    def _later(self, question: str, ask: Callable[[], _T], otherwise: Any) -> Future[_T]:
        return self._pool.submit(self._now, question, ask, otherwise)

    def _now(self, question: str, ask: Callable[[], _T], otherwise: Any) -> _T:
        try:
            return ask()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what there is to know
            why = f"{type(error).__name__}: {error}"
            self._troubles.append(Trouble(question=question, why=why))
            answer: _T = otherwise
            return answer


def _got(waiting: Sequence[Future[_T | None]]) -> tuple[_T, ...]:
    """Return the answers in order, without those that there are none of."""
    answers = (future.result() for future in waiting)
    return tuple(answer for answer in answers if answer is not None)


def _put_together(
    surveying: Sequence[Future[ProtobufFound | None]],
    libraries: Sequence[Sequence[Future[LibraryFound | None]]],
) -> tuple[ProtobufFound, ...]:
    pairs = ((one.result(), _got(others)) for one, others in zip(surveying, libraries, strict=True))
    return tuple(replace(found, libraries=parts) for found, parts in pairs if found is not None)


def _abseils(roots: Sequence[Root]) -> tuple[AbseilFound, ...]:
    return tuple(machine.abseils(root.root for root in roots))


def _runtime(bench: Bench | None) -> CxxRuntime:
    return CxxRuntime.UNKNOWN if bench is None else compiler_runtime(bench)


def _shallow(basics: Basics) -> dict[str, Any]:
    return {entry.name: getattr(basics, entry.name) for entry in fields(basics)}


def _worth_owning(facts: Facts) -> list[Path]:
    compilers = [item.compiler.cxx for item in facts.compilers if isinstance(item, Assessed)]
    parts = [
        path
        for found in facts.protobufs
        for path in (
            found.protoc.path if found.protoc else None,
            found.include_dir / "google/protobuf/message.h" if found.include_dir else None,
            *(library.path for library in found.libraries),
        )
        if path is not None
    ]
    abseil = [found.root / "include/absl/base/options.h" for found in facts.abseils]
    programs = [entry.path for entry in facts.programs]
    return [*compilers, *parts, *abseil, *programs, *(entry.path for entry in facts.pythons)]


def _owned(facts: Facts, known: dict[Path, str]) -> Facts:
    """Write the owners where they belong."""

    def owner(*paths: Path | None) -> str:
        names = dict.fromkeys(known[path] for path in paths if path in known)
        return ", ".join(names)

    return replace(
        facts,
        protobufs=tuple(
            replace(
                found,
                owner=owner(
                    found.protoc.path if found.protoc else None,
                    found.include_dir / "google/protobuf/message.h" if found.include_dir else None,
                    *(library.path for library in found.libraries),
                ),
            )
            for found in facts.protobufs
        ),
        abseils=tuple(
            replace(found, owner=owner(found.root / "include/absl/base/options.h"))
            for found in facts.abseils
        ),
    )
