"""The directions of ARCHITECTURE.md: who may include or import whom, and which fact has which home.

A new module or layer is one new name in the lists below.
"""

from __future__ import annotations

import ast
import re
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
BUILDER = ROOT / "build_tools"
CPP = ROOT / "cpp"

# From low to high. A unit (a module, or a package as a whole) imports from the rows above its own,
# and from its own row as long as no circle closes.
BUILDER_LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"errors", "durations", "ninja_log", "advice", "process", "cgroups", "host"}),
    frozenset({"bundle_file", "unbundle_program"}),
    frozenset(
        {"record", "cmake_args", "config", "context", "storage", "paths", "target", "releases"}
    ),
    frozenset({"sources", "console", "generator"}),
    frozenset({"bundle_use"}),
    frozenset({"toolchain", "tools", "jobs", "cmake", "matrix", "interpreters", "debian"}),
    frozenset({"pins", "unpack", "index_settings", "transfer", "index", "fetch", "cache"}),
    frozenset({"binaries", "symbols", "probes", "recipe"}),
    frozenset({"protobuf", "onnx", "prepare", "python_headers", "musl", "sample"}),
    frozenset({"doctor"}),
    frozenset({"hardening", "inputs", "wheel_file", "wheel", "audit", "audit_platform", "repair"})
    | frozenset({"bill", "coexistence", "differences", "reproduce"}),
    frozenset({"smoke", "smoke_program"}),
    frozenset({"across", "labs", "trials", "sample_program"}),
    frozenset({"timeline", "report_page", "report"}),
    frozenset({"upstream"}),
    frozenset({"build", "develop", "wheels", "onnx_cli"}),
    frozenset({"audit_cli", "bundle_cli", "cache_cli", "doctor_cli", "fetch_cli", "matrix_cli"})
    | frozenset({"reproduce_cli"}),
    frozenset({"__main__"}),
)

# By layer, the layers whose headers it may see.
CPP_LAYERS: dict[str, frozenset[str]] = {
    "base": frozenset(),
    "ir": frozenset({"base"}),
    "io": frozenset({"base", "ir"}),
    "ops": frozenset({"base", "ir"}),
    "kernels": frozenset({"base"}),
    "passes": frozenset({"base", "ir", "ops", "kernels"}),
    "runtime": frozenset({"base", "ir", "ops", "kernels", "passes"}),
    "quantize": frozenset({"base", "ir", "ops", "kernels", "passes", "runtime"}),
    "bindings": frozenset({"base", "ir", "io", "ops", "kernels", "passes", "runtime", "quantize"}),
}

# By the start of an include, the only layers that may see that library.
CPP_LIBRARIES = {
    "onnx/": {"io"},
    "google/protobuf/": {"io"},
    "hwy/": {"kernels"},
    "pybind11/": {"bindings"},
    "Python.h": {"bindings"},
    "numpy/": {"bindings"},
}

LONGEST_FUNCTION = 50
LONGEST_TENTH = 25
MEDIAN_FUNCTION = 13


def python_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported_modules(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every module that is imported, type-checking imports included, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield module, node.lineno
            yield from ((f"{module}.{alias.name}", node.lineno) for alias in node.names)


def builder_units() -> dict[str, list[Path]]:
    """The files of each unit of the builder."""
    units: dict[str, list[Path]] = {}
    for path in python_files(BUILDER):
        name = path.relative_to(BUILDER).parts[0].removesuffix(".py")
        if name != "__init__":
            units.setdefault(name, []).append(path)
    return units


def needs(tree: ast.AST, units: set[str]) -> set[str]:
    """The units of the builder that a file imports."""
    parts = (name.split(".") for name, _ in imported_modules(tree))
    return {
        part[1] for part in parts if part[0] == "build_tools" and part[1:2] and part[1] in units
    }


def rank() -> dict[str, int]:
    return {name: row for row, names in enumerate(BUILDER_LAYERS) for name in names}


def uphill(name: str, needed: set[str]) -> list[str]:
    """What a unit imports from above itself."""
    rows = rank()
    return sorted(other for other in needed - {name} if rows[other] > rows[name])


class TestBuilder:
    units = builder_units()

    def test_every_unit_has_one_place(self):
        placed = [name for names in BUILDER_LAYERS for name in names]
        assert len(placed) == len(set(placed))
        assert sorted(set(self.units) - set(placed)) == [], "give it a row in BUILDER_LAYERS"
        assert sorted(set(placed) - set(self.units)) == [], "no longer there"

    @pytest.mark.parametrize("name", sorted(units))
    def test_nothing_is_imported_from_above(self, name):
        for path in self.units[name]:
            wrong = uphill(name, needs(parsed(path), set(self.units)))
            assert wrong == [], f"{path.relative_to(ROOT)} is below {wrong}"

    def test_no_circle(self):
        graph = {
            name: set().union(*(needs(parsed(path), set(self.units)) for path in paths)) - {name}
            for name, paths in self.units.items()
        }
        while graph:
            free = {name for name, needed in graph.items() if not needed & set(graph)}
            assert free, f"these import each other in a circle: {sorted(graph)}"
            graph = {name: needed for name, needed in graph.items() if name not in free}

    def test_the_rule_would_notice(self):
        tree = ast.parse("def late():\n    from build_tools.fetch import Fetcher\n")
        assert uphill("errors", needs(tree, set(self.units))) == ["fetch"]
        tree = ast.parse("from build_tools import cache, errors\n")
        assert uphill("host", needs(tree, set(self.units))) == ["cache"]

    def test_it_knows_nothing_of_the_engine(self):
        for path in python_files(BUILDER):
            names = {name.partition(".")[0] for name, _ in imported_modules(parsed(path))}
            assert "onnxforge" not in names or path.relative_to(BUILDER).as_posix() in PROGRAMS


def attributes(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every ``module.name`` that is read, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}", node.lineno


def names_from(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """What is read as ``module.name`` or imported by ``from module import name``."""
    yield from attributes(tree)
    yield from imported_modules(tree)


def found_outside(homes: set[str], wanted: set[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in python_files(BUILDER)
        if path.relative_to(BUILDER).as_posix() not in homes
        for name, line in names_from(parsed(path))
        if name in wanted
    ]


# Run by other interpreters, and never imported: they have no homes to ask.
PROGRAMS = {
    *("smoke_program.py", "sample_program.py", "unbundle_program.py"),
    *("doctor/python_program.py", "upstream/trial_program.py"),
}
DRIVER = "toolchain/zig_driver.py"

ONE_HOME = {
    "the machine": (
        {"host.py", "sample_program.py"},
        {"sys.platform", "os.cpu_count", "os.name", "platform"},
    ),
    "other programs": (
        {"process.py", DRIVER},
        {"subprocess", "os.system", "os.popen", "os.execv", "os.execvp", "os.posix_spawn"},
    ),
    "the environment": (
        {"host.py", "__main__.py", DRIVER},
        {"os.environ", "os.getenv", "os.putenv"},
    ),
    "the end of the program": (
        {"__main__.py", DRIVER, *PROGRAMS},
        {"sys.exit", "os._exit", "os.abort"},
    ),
    "the network": (
        {"transfer.py", "index.py", "index_settings.py"},
        {"socket", "ssl", "http.client", "urllib.request", "requests", "httpx", "unearth"},
    ),
    "arguments": ({"__main__.py", DRIVER, *PROGRAMS}, {"sys.argv"}),
}


@pytest.mark.parametrize("fact", ONE_HOME)
def test_one_home(fact):
    homes, wanted = ONE_HOME[fact]
    assert found_outside(homes, wanted) == []


@pytest.mark.parametrize("fact", ONE_HOME)
def test_the_homes_are_lived_in(fact):
    """A rule whose home no longer does what it guards would guard nothing."""
    homes, wanted = ONE_HOME[fact]
    everywhere = found_outside(set(), wanted)
    assert everywhere
    assert {line.partition(":")[0].removeprefix("build_tools/") for line in everywhere} <= homes


def test_only_main_raises_system_exit():
    for path in python_files(BUILDER):
        tree = parsed(path)
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        ends = used & {"SystemExit", "exit", "quit"}
        name = path.relative_to(BUILDER).as_posix()
        assert not ends or name in {"__main__.py", *PROGRAMS}, path


def function_lengths(folder: Path) -> list[tuple[int, str]]:
    return sorted(
        (node.end_lineno - node.lineno + 1, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
        for path in python_files(folder)
        for node in ast.walk(parsed(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )


@pytest.mark.parametrize("folder", ["build_tools", "python"])
def test_functions_stay_short(folder):
    lengths = function_lengths(ROOT / folder)
    if lengths:
        assert lengths[-1][0] <= LONGEST_FUNCTION, lengths[-1]
        assert lengths[len(lengths) * 9 // 10][0] <= LONGEST_TENTH
        assert statistics.median(length for length, _ in lengths) <= MEDIAN_FUNCTION


def test_every_nox_session_stays_a_call():
    sessions = [
        node
        for node in parsed(ROOT / "noxfile.py").body
        if isinstance(node, ast.FunctionDef) and node.decorator_list
    ]
    assert sessions
    for node in sessions:
        assert node.end_lineno - node.lineno + 1 <= 15, node.name
        assert ast.get_docstring(node), f"{node.name}: the docstring is its help text"


def test_the_root_of_cmake_is_a_table_of_contents():
    lines = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 100


@pytest.mark.parametrize("path", sorted((BUILDER / "cmake").glob("*.cmake")), ids=lambda p: p.name)
def test_every_cmake_module_says_what_it_is_and_guards_itself(path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert "include_guard(GLOBAL)" in text


INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', re.M)
SOURCE_SUFFIXES = {".h", ".cc", ".cpp", ".inc"}


def cpp_sources() -> list[Path]:
    return sorted(path for path in CPP.rglob("*") if path.suffix in SOURCE_SUFFIXES)


def wrong_includes(path: Path, text: str) -> list[str]:
    """The includes of a file that its layer must not have."""
    layer = path.relative_to(CPP).parts[0]
    included = [quoted or angled for quoted, angled in INCLUDE.findall(text)]
    return [name for name in included if not _allowed(name, layer)]


def _allowed(name: str, layer: str) -> bool:
    ours = re.match(r"onnxforge/(\w+)/", name)
    if ours:
        return ours.group(1) == layer or ours.group(1) in CPP_LAYERS[layer]
    if name.endswith(".pb.h"):
        return layer == "io"
    guarded = next((key for key in CPP_LIBRARIES if name.startswith(key)), None)
    return ".." not in Path(name).parts and (guarded is None or layer in CPP_LIBRARIES[guarded])


def test_every_cpp_layer_is_known():
    layers = {path.relative_to(CPP).parts[0] for path in cpp_sources()}
    assert layers <= set(CPP_LAYERS)
    assert {"base", "ir", "io", "kernels", "runtime", "bindings"} <= layers


@pytest.mark.parametrize("layer", CPP_LAYERS)
def test_includes_follow_the_layers(layer):
    sources = [path for path in cpp_sources() if path.relative_to(CPP).parts[0] == layer]
    wrong = {
        str(path.relative_to(ROOT)): found
        for path in sources
        if (found := wrong_includes(path, path.read_text(encoding="utf-8")))
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("file", "line", "right"),
    [
        ("base/error.cc", '#include "onnxforge/base/error.h"', True),
        ("base/error.cc", '#include "onnxforge/ir/graph.h"', False),
        ("kernels/table.cc", '#include "onnxforge/ir/graph.h"', False),
        ("kernels/simd/gemm.cc", '#include "hwy/highway.h"', True),
        ("passes/match.cc", "#  include <onnx/onnx_pb.h>", False),
        ("io/read.cc", '#include "onnx/onnx_pb.h"', True),
        ("io/read.cc", '#include "onnxforge/runtime/session.h"', False),
        ("runtime/plan.cc", '#include "model.pb.h"', False),
        ("runtime/plan.cc", "#include <pybind11/pybind11.h>", False),
        ("runtime/plan.cc", '#include "../io/read.h"', False),
        ("bindings/module.cc", "#include <pybind11/pybind11.h>", True),
    ],
)
def test_the_include_rule_would_notice(file, line, right):
    assert (wrong_includes(CPP / file, f"// a file\n{line}\n") == []) is right


def test_no_layer_reaches_into_another_ones_private_headers():
    """A quoted include that is not onnxforge/… is a header of the same layer, or a library's."""
    for path in cpp_sources():
        layer = CPP / path.relative_to(CPP).parts[0]
        for quoted, _ in INCLUDE.findall(path.read_text(encoding="utf-8")):
            if not quoted or quoted.startswith(("onnxforge/", *CPP_LIBRARIES)):
                continue
            here = [path.parent / quoted, layer / quoted]
            assert any(place.is_file() for place in here), f"{path.relative_to(ROOT)}: {quoted}"


LINKED = re.compile(r"target_link_libraries\(([^)]*)\)")


@pytest.mark.parametrize("layer", sorted(path.name for path in CPP.iterdir() if path.is_dir()))
def test_targets_link_only_what_their_layer_may_see(layer):
    """The include paths come with the targets: a forbidden include must not compile either."""
    text = (CPP / layer / "CMakeLists.txt").read_text(encoding="utf-8")
    linked = {
        name
        for block in LINKED.findall(text)
        for name in re.findall(r"onnxforge::(\w+)", block)
        if name in CPP_LAYERS
    }
    assert linked <= CPP_LAYERS[layer]


def test_the_engines_python_knows_nothing_of_the_builder():
    for path in python_files(ROOT / "python"):
        names = {name.partition(".")[0] for name, _ in imported_modules(parsed(path))}
        assert not names & {"build_tools", "nox"}, path
