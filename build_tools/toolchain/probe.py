"""What a compiler can really do: each probe compiles, links and runs a small program.

A compiler's word (its version, its macros) is not taken for it: the C++ library may be older than
the compiler, the linker may lack a plugin, and <filesystem> may need a library of its own.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.toolchain.describe import first_words, in_english
from build_tools.toolchain.dialect import GNU_DIALECT
from build_tools.toolchain.families import traits_of
from build_tools.toolchain.model import Probe, Probes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from build_tools.process import Result, Runner
    from build_tools.toolchain.model import Compiler, FamilyTraits

_TIMEOUT = 120.0

CXX17 = """\
#if __cplusplus < 201703L
#error "C++17 was asked for, and __cplusplus says something older"
#endif
#include <algorithm>
#include <cstdio>
#include <optional>
#include <string_view>
#include <tuple>
#include <variant>
template <typename... Values>
constexpr auto total(Values... values) {
  if constexpr (sizeof...(values) == 0) return 0;
  else return (values + ...);
}
inline constexpr std::string_view kWord = "ok";
int main(int count, char**) {
  std::optional<std::variant<int, double>> value = count;
  auto [first, second] = std::tuple(std::clamp(count, 1, 1), 2);
  if (auto sum = total(first, second); sum != 3 || !std::holds_alternative<int>(*value)) return 1;
#if defined(_LIBCPP_VERSION)
  std::printf("%s libc++ %d", kWord.data(), _LIBCPP_VERSION);
#elif defined(__GLIBCXX__)
  std::printf("%s libstdc++ %d (%d)", kWord.data(), _GLIBCXX_RELEASE, __GLIBCXX__);
#elif defined(_MSVC_STL_VERSION)
  std::printf("%s Microsoft STL %d (%d)", kWord.data(), _MSVC_STL_VERSION, int(_MSVC_STL_UPDATE));
#else
  std::printf("%s unknown", kWord.data());
#endif
}
"""

CXX20 = """\
#include <concepts>
#include <cstdio>
#include <span>
template <std::integral Number>
constexpr Number twice(Number number) { return number * 2; }
struct Point {
  int x;
  auto operator<=>(const Point&) const = default;
};
int main() {
  int values[] = {1, 2};
  std::span<int> all(values);
  if (twice(all[1]) != 4 || Point{1} >= Point{2}) return 1;
  std::printf("ok");
}
"""

FILESYSTEM = """\
#include <cstdio>
#include <filesystem>
int main(int, char** names) {
  const std::filesystem::path here = std::filesystem::absolute(names[0]);
  if (!std::filesystem::exists(here.parent_path())) return 1;
  std::printf("ok");
}
"""

SHARED_LIBRARY = """\
#include <string>
#ifdef _WIN32
#define SHOWN __declspec(dllexport)
#else
#define SHOWN __attribute__((visibility("default")))
#endif
SHOWN std::string shown_text() { return "shown"; }
extern "C" int hidden_number() { return 7; }
extern "C" SHOWN int shown_number() {
  return hidden_number() + static_cast<int>(shown_text().size());
}
"""

SHARED_LOADER = """\
#include <cstdio>
#ifdef _WIN32
#define NOMINMAX
#include <windows.h>
static HMODULE load(const char* name) {
  HMODULE library = LoadLibraryA(name);
  if (library == nullptr) std::printf("LoadLibrary: error %lu", GetLastError());
  return library;
}
static void* find(HMODULE library, const char* name) {
  return reinterpret_cast<void*>(GetProcAddress(library, name));
}
#else
#include <dlfcn.h>
static void* load(const char* name) {
  void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) std::printf("%s", dlerror());
  return library;
}
static void* find(void* library, const char* name) { return dlsym(library, name); }
#endif
int main(int, char** names) {
  auto library = load(names[1]);
  if (library == nullptr) return 1;
  auto shown = reinterpret_cast<int (*)()>(find(library, "shown_number"));
  if (shown == nullptr || shown() != 12) return 1;
  std::printf(find(library, "hidden_number") == nullptr ? "hidden" : "exported");
}
"""

LTO_CALLEE = "int answer(int number) { return number * 6; }\n"

LTO_CALLER = """\
#include <cstdio>
int answer(int number);
int main() {
  if (answer(7) != 42) return 1;
  std::printf("ok");
}
"""

SOURCES = (CXX17, CXX20, FILESYSTEM, SHARED_LIBRARY, SHARED_LOADER, LTO_CALLEE, LTO_CALLER)
"""Everything that is compiled here: a changed probe makes remembered answers void."""


def probe(compiler: Compiler, runner: Runner, environ: Mapping[str, str]) -> Probes:
    """Put every question to a compiler; with the flags that the environment sets."""
    with tempfile.TemporaryDirectory(prefix="onnxforge-probe-", ignore_cleanup_errors=True) as temp:
        bench = _Bench(compiler=compiler, runner=runner, environ=environ, folder=Path(temp))
        return _probe_on(bench)


@dataclass(frozen=True, kw_only=True)
class _Bench:
    """A compiler at work in a folder of its own."""

    compiler: Compiler
    runner: Runner
    environ: Mapping[str, str]
    folder: Path

    def compile(
        self,
        output: str,
        sources: Mapping[str, str],
        flags: Sequence[str],
        link: Sequence[str] = (),
    ) -> Result:
        """Compile and link ``sources`` (text by file name) into ``output``."""
        for name, text in sources.items():
            (self.folder / name).write_text(text, encoding="utf-8")
        words = self.traits.dialect.program(output, sources, flags, link, self.environ)
        return self._run([*self.compiler.cxx_command, *words])

    def execute(self, program: str, *arguments: str) -> Result:
        """Run a program that was made here."""
        return self._run([str(self.folder / program), *arguments])

    def try_program(
        self, name: str, sources: Mapping[str, str], flags: Sequence[str], link: Sequence[str] = ()
    ) -> Result:
        """Compile, link and run; return the first of it that fails, else what the program said."""
        program = name + self.suffix(".exe", "")
        made = self.compile(program, sources, flags, link)
        return self.execute(program) if made.ok else made

    @property
    def traits(self) -> FamilyTraits:
        """What is known of the compiler's family."""
        return traits_of(self.compiler.family)

    def standard(self, name: str = "c++17") -> tuple[str, ...]:
        """Return the flags for a C++ standard."""
        return self.traits.dialect.standard(name)

    def suffix(self, windows: str, elsewhere: str) -> str:
        """Return one of two endings for a file's name, by what is compiled for."""
        return windows if self.compiler.for_windows else elsewhere

    def _run(self, command: Sequence[str]) -> Result:
        env = in_english(self.environ)
        return self.runner.run(command, cwd=self.folder, env=env, timeout=_TIMEOUT)


def _probe_on(bench: _Bench) -> Probes:
    basic = bench.try_program("cxx17", {"cxx17.cc": CXX17}, bench.standard())
    cxx17 = _judged(basic, "a C++17 program compiled, linked and ran")
    if not cxx17.ok:
        return _nothing_but(cxx17, _runs_at_all(bench))
    library, filesystem = _filesystem(bench)
    shared, visibility = _shared(bench)
    return Probes(
        runs=Probe(ok=True, why="the C++17 program ran"),
        cxx17=cxx17,
        cxx20=_cxx20(bench),
        filesystem_link=filesystem,
        filesystem_library=library,
        shared_objects=shared,
        visibility=visibility,
        lto=_lto(bench),
        standard_library=basic.stdout.partition("ok ")[2].strip(),
    )


def _cxx20(bench: _Bench) -> Probe:
    """Ask for C++20 by the names it has had; a failure is told of the first one."""
    tried = [
        _judged(
            bench.try_program("cxx20", {"cxx20.cc": CXX20}, bench.standard(name)),
            f"a C++20 program compiled as {name}, linked and ran",
        )
        for name in bench.traits.cxx20
    ]
    return next((probe for probe in tried if probe.ok), tried[0])


def _runs_at_all(bench: _Bench) -> Probe:
    """Tell a compiler that makes nothing from one that is only too old."""
    said = bench.try_program("plain", {"plain.cc": "int main() { return 0; }\n"}, [])
    return _judged(said, "a plain program compiled, linked and ran")


def _nothing_but(cxx17: Probe, runs: Probe) -> Probes:
    skipped = Probe(ok=False, why="not tried: it needs C++17")
    return Probes(
        runs=runs,
        cxx17=cxx17,
        cxx20=skipped,
        filesystem_link=skipped,
        shared_objects=skipped,
        visibility=skipped,
        lto=skipped,
    )


def _filesystem(bench: _Bench) -> tuple[str, Probe]:
    """Return the library that <filesystem> needs and whether it links at all."""
    sources, flags = {"filesystem.cc": FILESYSTEM}, bench.standard()
    plain = bench.try_program("filesystem", sources, flags)
    if plain.ok:
        return "", Probe(ok=True, why="a program with <filesystem> linked and ran")
    # Before GCC 9 and LLVM 9 the functions lived in a static library beside the standard library.
    apart = ("stdc++fs", "c++fs") if bench.traits.dialect is GNU_DIALECT else ()
    for library in apart:
        if bench.try_program("filesystem", sources, flags, [f"-l{library}"]).ok:
            return library, Probe(ok=True, why=f"a program with <filesystem> needs -l{library}")
    return "", _judged(plain, "")


def _shared(bench: _Bench) -> tuple[Probe, Probe]:
    """Return whether a shared object can be loaded, and whether its hidden function is hidden."""
    name, loader = bench.suffix("shared.dll", "libshared.so"), bench.suffix("loader.exe", "loader")
    flags = (*bench.standard(), *bench.traits.dialect.shared())
    made = bench.compile(name, {"shared.cc": SHARED_LIBRARY}, flags)
    libraries = () if bench.compiler.for_windows else ("-ldl",)
    linked = bench.compile(loader, {"loader.cc": SHARED_LOADER}, bench.standard(), libraries)
    failed = next((step for step in (made, linked) if not step.ok), None)
    said = failed or bench.execute(loader, str(bench.folder / name))
    loaded = _judged(said, "a shared object was made, loaded and called")
    if not loaded.ok:
        return loaded, Probe(ok=False, why="not tried: it needs a shared object")
    hidden = said.stdout.strip() == "hidden"
    why = "is not found by the loader" if hidden else "is found by the loader all the same"
    return loaded, Probe(ok=hidden, why=f"a function that is not marked as shown {why}")


def _lto(bench: _Bench) -> Probe:
    flags, link = bench.traits.lto_flags, bench.traits.lto_link_flags
    sources = {"lto_caller.cc": LTO_CALLER, "lto_callee.cc": LTO_CALLEE}
    said = bench.try_program(
        "lto", sources, [*bench.standard(), *bench.traits.dialect.optimised(), *flags], link
    )
    return _judged(said, f"two files linked with {' '.join([*flags, *link])} and ran")


def _judged(said: Result, success: str) -> Probe:
    if said.ok:
        return Probe(ok=True, why=success)
    return Probe(ok=False, why=first_words(said.text) or f"exit status {said.returncode}")
