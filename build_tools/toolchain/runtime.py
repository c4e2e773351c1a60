"""Microsoft's C++ runtime library: one for protobuf, ONNX and the extension, or nothing links.

What was compiled for two of them does not link (LNK2038); a shared protobuf hands out memory and
exceptions that only a runtime in a DLL, which both sides share, can take back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_tools.cmake_args import cmake_definitions
from build_tools.config import BuildType, Linkage
from build_tools.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SETTING = "CMAKE_MSVC_RUNTIME_LIBRARY"
_PLAIN = "MultiThreaded"
_BY_CONFIG = "$<$<CONFIG:Debug>:Debug>"
_STATIC_WISHES = ("protobuf_MSVC_STATIC_RUNTIME", "ONNX_USE_MSVC_STATIC_RUNTIME")
_TRUE = frozenset({"1", "ON", "YES", "TRUE", "Y"})


@dataclass(frozen=True, kw_only=True)
class MsvcRuntime:
    """The runtime library that everything is compiled for."""

    static: bool
    """Whether it is linked in; otherwise it is in DLLs."""

    debug: bool
    """Whether it is the one for debugging, which nobody may pass on."""

    value: str
    """What CMake is told."""

    origin: str
    """Who asked for it."""

    @property
    def flag(self) -> str:
        """The compiler's flag for it: /MD, /MDd, /MT or /MTd."""
        return f"/M{'T' if self.static else 'D'}{'d' if self.debug else ''}"

    def __str__(self) -> str:
        kind = "linked in" if self.static else "in DLLs"
        return f"{kind}{', for debugging' if self.debug else ''} ({self.flag})"


def settle_runtime(arguments: Sequence[str], build_type: BuildType) -> MsvcRuntime:
    """Return the runtime library: in DLLs, unless the user's arguments for CMake say otherwise.

    Raises ConfigError for a value that CMake does not know, or for two that contradict each other.
    """
    entries = cmake_definitions(arguments)
    wish = _static_wish(entries)
    value = entries.get(SETTING)
    if value is None:
        static = wish is not None
        value = f"{_PLAIN}{_BY_CONFIG}{'' if static else 'DLL'}"
        origin = wish or "default"
        return MsvcRuntime(
            static=static, debug=build_type is BuildType.DEBUG, value=value, origin=origin
        )
    runtime = _parsed(value, build_type)
    if wish is not None and not runtime.static:
        raise ConfigError(
            f"{SETTING}={value} asks for the C++ runtime library in DLLs, and {wish} for it "
            "to be linked in",
            fix="take one of them out; everything is compiled for one and the same",
        )
    return runtime


def refuse_static_runtime(runtime: MsvcRuntime | None, linkage: Linkage) -> None:
    """Raise ConfigError where a shared protobuf would have to live with a runtime of its own."""
    if runtime is None or not runtime.static or linkage is Linkage.STATIC:
        return
    raise ConfigError(
        f"a shared protobuf cannot be used with the C++ runtime library {runtime}",
        looked=[f"asked for by {runtime.origin}"],
        fix=[
            f"take {runtime.origin} out: the runtime library in DLLs is the default",
            "or --protobuf static",
        ],
    )


def _static_wish(entries: Mapping[str, str]) -> str | None:
    """Return the setting of protobuf's or ONNX's that asks for the library to be linked in."""
    said = (f"{name}={entries[name]}" for name in _STATIC_WISHES if name in entries)
    return next((text for text in said if text.partition("=")[2].upper() in _TRUE), None)


def _parsed(value: str, build_type: BuildType) -> MsvcRuntime:
    by_config = _BY_CONFIG in value
    bare = value.replace(_BY_CONFIG, "")
    known = {f"{_PLAIN}{debug}{dll}" for debug in ("", "Debug") for dll in ("", "DLL")}
    if bare not in known or (by_config and "Debug" in bare):
        raise ConfigError(
            f"-D{SETTING}={value} names no runtime library of Microsoft's",
            looked=[f"known: {', '.join(sorted(known))}, or with {_BY_CONFIG} after {_PLAIN}"],
            fix=f"leave it out: {_PLAIN}{_BY_CONFIG}DLL is used then",
        )
    return MsvcRuntime(
        static=not bare.endswith("DLL"),
        debug="Debug" in bare or (by_config and build_type is BuildType.DEBUG),
        value=value,
        origin=f"{SETTING}={value}",
    )
