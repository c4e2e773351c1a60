"""Which protobuf is taken, whether its parts belong together, and whether it can be linked in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from build_tools.binaries import FileKind
from build_tools.config import Linkage
from build_tools.doctor.model import Check, Finding, fatal, note, warning
from build_tools.doctor.packages import PROTOBUF, install
from build_tools.doctor.upstream_build import from_source
from build_tools.protobuf.choose import FIRST_WITH_ABSEIL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from build_tools.doctor.basics import Basics
    from build_tools.doctor.facts import Facts, LibraryFound, ProtobufFound

_OWN = "it builds a protobuf of its own, from pinned sources, and looks at no other"
_CUSTOM, _SHARED = "-DONNX_BUILD_CUSTOM_PROTOBUF=ON", "-DONNX_USE_PROTOBUF_SHARED_LIBS"
_NONE = "there is no protobuf on this machine"


def _nothing_installed(facts: Facts) -> str:
    return "" if facts.protobufs else _NONE


def _named(facts: Facts) -> ProtobufFound | None:
    """Return the protobuf that --protobuf-root names."""
    root = facts.config.protobuf_root
    return next(
        (found for found in facts.protobufs if root and found.root == root.absolute()), None
    )


def _is_ours(facts: Facts, library: LibraryFound) -> bool:
    """Say whether ``nox -s build`` would take a library."""
    named = _named(facts)
    return named is not None and library in named.libraries and _wanted(facts, library)


def _wanted(facts: Facts, library: LibraryFound) -> bool:
    return library.linkage is facts.config.protobuf


def _not_pic(facts: Facts) -> Iterator[Finding]:
    taken = facts.taken_library
    for library in _one_of_each(facts):
        what = f"{library.path} is not position independent"
        if _is_ours(facts, library):
            yield fatal(what, library.not_pic, "nox -s build  (without --protobuf-root)")
        elif taken is not None and library.path.resolve() == taken.resolve():
            custom = facts.release is not None and facts.release.custom_protobuf_option
            helps = from_source(facts, _CUSTOM if custom else f"{_SHARED}=ON")
            yield fatal(what, library.not_pic, helps, spared=_OWN)
        else:
            would = f"it would fail with --protobuf-root {_root_of(facts, library)}"
            yield note(f"{what}; it is not used, and {would}", library.not_pic)


def _one_of_each(facts: Facts) -> Iterator[LibraryFound]:
    """Yield the archives that cannot be linked in: of a full and a lite one the full one."""
    for found in facts.protobufs:
        yield from [library for library in found.libraries if library.not_pic][:1]


def _root_of(facts: Facts, library: LibraryFound) -> Path:
    found = facts.protobuf_with(library.path)
    return found.root if found else library.path.parent


def _mismatch(facts: Facts) -> Iterator[Finding]:
    named = _named(facts)
    for found in facts.protobufs:
        versions = _versions(found)
        if len(set(versions.values())) < 2:
            continue
        said = ", ".join(f"{part} {version}" for part, version in versions.items())
        what = f"the parts of the protobuf in {found.root} are of different releases"
        if found is named:
            yield fatal(what, said, "nox -s build  (without --protobuf-root)")
        elif facts.taken_library is not None and found.has(facts.taken_library):
            yield fatal(what, said, *_remove(facts, found), spared=_OWN)
        else:
            yield note(what, said)
    yield from _winners_differ(facts)


def _winners_differ(facts: Facts) -> Iterator[Finding]:
    """Yield what comes of CMake's taking each part from wherever it finds it first."""
    finds = facts.cmake_finds
    if finds is None or facts.builds_own_protobuf:
        return
    protoc, headers = facts.protobuf_with(finds.protoc), facts.protobuf_with(finds.include_dir)
    if not protoc or not headers or protoc is headers or not protoc.protoc:
        return
    one, other = protoc.protoc.version, headers.header_version
    if one and other and one != other:
        yield fatal(
            f"CMake takes protoc {one} and the headers of protobuf {other}",
            f"{finds.protoc} comes first on PATH, {finds.include_dir} among the headers",
            from_source(facts, f"-DProtobuf_PROTOC_EXECUTABLE={headers.root}/bin/protoc"),
            spared=_OWN,
        )


def _versions(found: ProtobufFound) -> dict[str, str]:
    """Return the version that each part says it is."""
    versions = {"headers": found.header_version}
    if found.protoc is not None:
        versions["protoc"] = found.protoc.version
    versions.update({library.path.name: library.version for library in found.libraries})
    return {part: version for part, version in versions.items() if version}


def _remove(facts: Facts, found: ProtobufFound) -> tuple[str, ...]:
    package = found.owner.partition("package ")[2].partition(",")[0]
    again = f"install {package} again" if package else f"take {found.root} out of the search"
    return (f"{again}, or: {from_source(facts, _CUSTOM)}",)


def _several(facts: Facts) -> Iterator[Finding]:
    yield from _in_front(facts)
    finds = facts.cmake_finds
    if finds is None or facts.builds_own_protobuf:
        return
    parts = {"protoc": finds.protoc, "headers": finds.include_dir, "library": facts.taken_library}
    owners = {name: facts.protobuf_with(path) for name, path in parts.items() if path}
    roots = {found.root for found in owners.values() if found}
    if len(roots) > 1:
        said = "; ".join(f"{name}: {path}" for name, path in parts.items() if path)
        yield warning(
            f"CMake mixes {len(roots)} protobufs: {', '.join(sorted(map(str, roots)))}",
            said,
            from_source(facts, *_all_of(next(found for found in owners.values() if found))),
            spared=_OWN,
        )
    elif len(facts.protobufs) > 1:
        said = "; ".join(f"{found.root} ({found.version or '?'})" for found in facts.protobufs)
        yield note(f"there are {len(facts.protobufs)} protobufs; see which one wins above", said)


def _all_of(found: ProtobufFound) -> tuple[str, ...]:
    """Return the settings that pin all parts to one folder."""
    parts = {
        "PROTOC_EXECUTABLE": found.protoc.path if found.protoc else None,
        "INCLUDE_DIR": found.include_dir,
        "LIBRARY": found.libraries[0].path if found.libraries else None,
    }
    return tuple(f"-DProtobuf_{name}={path}" for name, path in parts.items() if path)


def _in_front(basics: Basics) -> Iterator[Finding]:
    """Yield headers that the environment puts before those of the protobuf that is linked."""
    config = basics.config
    # Which shared one of the machine is taken is not known yet; it may be the one in front.
    either = config.protobuf is Linkage.SHARED and config.protobuf_root is None
    say = warning if either and not basics.upstream else fatal
    for said in basics.foreign_headers:
        name = said.partition(":")[0]
        yield say(
            "the compiler would take protobuf's headers from another protobuf than the library",
            said,
            f"unset {name}",
            "conda deactivate  (an active conda environment sets it)",
        )


def _link_mode(facts: Facts) -> Iterator[Finding]:
    yield from _wish(facts)
    taken = facts.library(facts.taken_library)
    if taken is None or _wanted(facts, taken):
        return
    flag = "ON" if facts.wants_shared else "OFF"
    real = "OFF" if facts.wants_shared else "ON"
    import_library = taken.kind is FileKind.IMPORT_LIBRARY
    say = fatal if import_library else warning
    yield say(
        f"ONNX_USE_PROTOBUF_SHARED_LIBS={flag}, but what CMake links is {_article(taken)}",
        f"{taken.path} is by its content {_article(taken)}; CMake prints the option and links it "
        "all the same",
        from_source(facts, f"{_SHARED}={real}"),
        spared="it takes the setting from the file that is linked, and checks the result",
    )


def _wish(facts: Facts) -> Iterator[Finding]:
    """Yield what the wish in the environment comes to in ``nox -s build``."""
    wish, named = facts.config.use_shared_env, _named(facts)
    if wish is None or named is None or facts.upstream:
        return
    have = {library.linkage for library in named.libraries}
    if have and (Linkage.SHARED if wish else Linkage.STATIC) not in have:
        yield warning(
            f"ONNX_USE_PROTOBUF_SHARED_LIBS={'ON' if wish else 'OFF'} cannot be followed",
            f"{named.root} has only {' and '.join(sorted(have))} libraries",
            "unset ONNX_USE_PROTOBUF_SHARED_LIBS",
        )


def _article(library: LibraryFound) -> str:
    kind = library.kind.value
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _missing(facts: Facts) -> Iterator[Finding]:
    yield from _named_is_unusable(facts)
    finds, release = facts.cmake_finds, facts.release
    if finds is None or release is None or facts.builds_own_protobuf:
        return
    parts = {
        "protoc": finds.protoc,
        "headers": finds.include_dir,
        "library": facts.taken_library,
    }
    missing = [name for name, path in parts.items() if path is None]
    if not missing:
        return
    said = "CMake's FindProtobuf finds " + "; ".join(
        f"{name}: {path or 'nothing'}" for name, path in parts.items()
    )
    commands = install(PROTOBUF, facts.package_manager)
    if not release.own_protobuf:
        what = f"ONNX {facts.config.onnx_version} never builds protobuf, and there is no usable one"
        yield fatal(what, said, *commands, spared=_OWN)
    elif len(missing) < len(parts):
        what = f"the protobuf of this machine is incomplete: no {' and no '.join(missing)}"
        yield warning(what, said, *commands, spared=_OWN)


def _named_is_unusable(facts: Facts) -> Iterator[Finding]:
    """Yield what ``nox -s build`` has against the protobuf that was named."""
    root, named = facts.config.protobuf_root, _named(facts)
    if root is None or facts.upstream:
        return
    if named is None:
        yield fatal(
            f"--protobuf-root {root} has no protobuf",
            f"{root} has neither bin/protoc nor include/google/protobuf nor lib/libprotobuf*",
            "name the folder that has bin/, include/ and lib/ of one protobuf",
            "nox -s build  (without --protobuf-root)",
        )
    elif named.descriptions and not any(entry.usable for entry in named.descriptions):
        said = "; ".join(problem for entry in named.descriptions for problem in entry.problems)
        what = f"the protobuf in {root} cannot be used"
        yield fatal(what, said, "nox -s build  (without --protobuf-root)")


def _needs_newer_standard(facts: Facts) -> Iterator[Finding]:
    release, taken = facts.release, facts.protobuf_with(facts.taken_library)
    if release is None or taken is None or not _has_abseil(taken.version):
        return
    if release.standard_is_forced and release.cxx_standard < 17:
        yield fatal(
            f"ONNX {facts.config.onnx_version} compiles as C++{release.cxx_standard}, whatever "
            f"CMAKE_CXX_STANDARD says, and the headers of protobuf {taken.version} need C++17",
            f"{taken.root} is what CMake finds",
            from_source(facts, CMAKE_PREFIX_PATH="/folder/of/a/protobuf/before/22"),
            spared=_OWN,
        )


def _has_abseil(version: str) -> bool:
    try:
        return bool(version) and Version(version) >= FIRST_WITH_ABSEIL
    except InvalidVersion:
        return False


def _cannot_run(facts: Facts) -> Iterator[Finding]:
    finds, named = facts.cmake_finds, _named(facts)
    for found in facts.protobufs:
        protoc = found.protoc
        if protoc is None or not protoc.problem:
            continue
        what = f"protoc does not run on this machine: {protoc.path}"
        other = "-DONNX_CUSTOM_PROTOC_EXECUTABLE=/a/protoc/of/this/machine"
        fix = (from_source(facts, other),)
        if found is named:
            yield fatal(what, protoc.problem, "nox -s build  (without --protobuf-root)")
        elif finds is not None and finds.protoc == protoc.path:
            yield fatal(what, protoc.problem, *fix, spared=_OWN)
        else:
            yield note(f"{what}; it is not used", protoc.problem)


def _loader(facts: Facts) -> Iterator[Finding]:
    library = _shared_to_be_linked(facts)
    if library is None:
        return
    folder = library.path.parent
    known = {entry.resolve() for entry in facts.loader_folders}
    if not known or folder.resolve() in known:
        return
    repaired = facts.config.repair and not facts.upstream
    yield fatal(
        f"the loader will not find {library.path.name}",
        f"{folder} is none of the {len(known)} folders that it looks into by itself",
        *(() if facts.upstream else ("nox -s build  (without --no-repair)",)),
        f"export LD_LIBRARY_PATH={folder}",
        "auditwheel repair onnx-*.whl",
        spared="its wheel carries a copy of the library" if repaired else "",
    )


def _shared_to_be_linked(facts: Facts) -> LibraryFound | None:
    named = _named(facts)
    ours = [lib for lib in named.libraries if _wanted(facts, lib)] if named else []
    library = ours[0] if ours else facts.library(facts.taken_library)
    is_shared = library is not None and library.linkage is Linkage.SHARED
    return library if is_shared and facts.wants_shared else None


CHECKS = (
    Check(
        identifier="protobuf-not-pic",
        title="A static protobuf cannot go into a shared object",
        symptoms=(
            "libprotobuf.a(arena.o): relocation R_X86_64_TPOFF32 against … can not be used when "
            "making a shared object; recompile with -fPIC",
            "R_AARCH64_ADR_PREL_PG_HI21, R_ARM_TLS_LE32: relocation not permitted in shared object",
        ),
        cause="The library was compiled without -fPIC, as a distribution's or protobuf's own "
        "default build does. CMake takes it all the same, and the link that fails is the last "
        "step.",
        look="The linker is asked to put all of the archive into a shared object: 0.2 s.",
        cure="A position-independent protobuf is built from pinned sources. For ONNX 1.18 and "
        "later upstream's ONNX_BUILD_CUSTOM_PROTOBUF=ON does the same; before that, use the "
        "shared library.",
        examine=_not_pic,
        applies=_nothing_installed,
    ),
    Check(
        identifier="protoc-mismatch",
        title="protoc, headers and library are of different releases",
        symptoms=(
            "#error This file was generated by an older version of protoc which is incompatible "
            "with your Protocol Buffer headers",
            "Protobuf compiler version 3.20.2 doesn't match library version 3.21.12",
        ),
        cause="They come from different installations. CMake warns and goes on.",
        look="protoc is asked, the headers are read, and a small program asks the library.",
        cure="protoc, headers and library are taken from one folder, and a mismatch is an error.",
        examine=_mismatch,
        applies=_nothing_installed,
    ),
    Check(
        identifier="two-protobufs",
        title="Several protobufs are mixed",
        symptoms=(
            "ImportError: … undefined symbol: _ZNK6google8protobuf7Message11GetTypeNameB5cxx11Ev",
            "ImportError: … undefined symbol: fixed_address_empty_string",
        ),
        cause="CMake looks for protoc, headers and library one by one. With a conda environment, "
        "a system package and something in /usr/local each may come from elsewhere; so may "
        "headers by way of CPATH or CXXFLAGS.",
        look="CMake's own find commands are run; CPATH and the flags are searched for headers.",
        cure="Nothing is searched for: the one protobuf that is used is named to CMake. Headers "
        "that the environment puts in front are an error before anything is compiled.",
        examine=_several,
        preflight=_in_front,
    ),
    Check(
        identifier="protobuf-link-mode",
        title="ONNX_USE_PROTOBUF_SHARED_LIBS says other than the library",
        symptoms=(
            "USE_PROTOBUF_SHARED_LIBS : ON",
            "LNK2001: unresolved external symbol … fixed_address_empty_string",
        ),
        cause="The option is a wish: CMake prints it and links what it finds. On Windows an "
        "import library and a static one have the same ending.",
        look="The file is read: an archive, a shared library, or an import library.",
        cure="The option follows from the file, and the wheel's dynamic section is checked.",
        examine=_link_mode,
    ),
    Check(
        identifier="protobuf-missing",
        title="There is no protobuf, or only a part of one",
        symptoms=(
            "Protobuf compiler not found",
            "Could NOT find Protobuf (missing: Protobuf_LIBRARIES)",
            "LNK1181: cannot open input file 'protobuf.lib'",
        ),
        cause="ONNX before 1.15 never builds protobuf. A protoc without libraries, or libraries "
        "in a folder that CMake does not look into, count as none.",
        look="CMake's own find commands are run; the folder of --protobuf-root is probed.",
        cure="protobuf is built from pinned sources.",
        examine=_missing,
    ),
    Check(
        identifier="protobuf-needs-newer-standard",
        title="An old ONNX compiles as C++11, and a new protobuf needs C++17",
        symptoms=(
            "Protobuf only supports C++14 and newer",
            "'string_view' in namespace 'std' does not name a type",
        ),
        cause="ONNX 1.13 and 1.14 set CMAKE_CXX_STANDARD to 11 and ignore the user's; the headers "
        "of protobuf 22 and later need 14 or 17.",
        look="The release's CMakeLists.txt is known; the version of the protobuf is read.",
        cure="A protobuf of the generation of 3.20 is built.",
        examine=_needs_newer_standard,
        applies=_nothing_installed,
    ),
    Check(
        identifier="protoc-cannot-run",
        title="protoc is for another machine, or hangs",
        symptoms=(
            "protoc: Exec format error",
            "cannot execute binary file",
        ),
        cause="When cross compiling, the protoc of the target is taken.",
        look="protoc is run, for some seconds at most; its file says which machine it is for.",
        cure="protoc is built for the machine that builds.",
        examine=_cannot_run,
        applies=_nothing_installed,
    ),
    Check(
        identifier="shared-library-not-found",
        title="The loader does not find the shared protobuf",
        symptoms=(
            "ImportError: libprotobuf.so.20: cannot open shared object file: No such file or "
            "directory",
            "ImportError: DLL load failed while importing onnx_cpp2py_export: The specified "
            "module could not be found.",
        ),
        cause="The library lies where only the linker was told to look, and its name changes with "
        "every release of protobuf.",
        look="Its folder is compared with those that the loader looks into (ldconfig -p).",
        cure="The wheel carries a copy of the library and a run path to it.",
        examine=_loader,
        applies=lambda facts: (
            "no shared protobuf is asked for" if _shared_to_be_linked(facts) is None else ""
        ),
    ),
)
