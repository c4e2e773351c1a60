"""What everything is compiled with because of the system: one runtime library, one target."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from build_tools.toolchain import apple
from build_tools.toolchain.dialect import MSVC_DIALECT
from build_tools.toolchain.families import traits_of
from build_tools.toolchain.runtime import SETTING, MsvcRuntime, settle_runtime

if TYPE_CHECKING:
    from build_tools.config import BuildConfig
    from build_tools.host import Host
    from build_tools.process import Runner
    from build_tools.record import Record
    from build_tools.toolchain.model import Toolchain


# What the headers of binaries call the processors.
_IN_FILES = {"arm64": "aarch64", "x86": "i386"}


@dataclass(frozen=True, kw_only=True)
class Settled:
    """A toolchain with what the system adds to it."""

    toolchain: Toolchain
    """The compiler, its settings filled in."""

    runtime: MsvcRuntime | None = None
    """Microsoft's runtime library, where there is one to choose."""


def settle(
    toolchain: Toolchain, config: BuildConfig, host: Host, runner: Runner, record: Record
) -> Settled:
    """Return the toolchain with the settings of its system, and record them."""
    if traits_of(toolchain.compiler.family).dialect is MSVC_DIALECT:
        return _with_runtime(toolchain, config, host, record)
    if host.system == "darwin":
        return _with_target(toolchain, config, host, runner, record)
    return Settled(toolchain=toolchain)


def _with_runtime(toolchain: Toolchain, config: BuildConfig, host: Host, record: Record) -> Settled:
    runtime = settle_runtime(config.cmake_args, config.build_type)
    reason = "the same for protobuf, ONNX and the extension"
    record.decide("C++ runtime library", str(runtime), reason, runtime.origin)
    return Settled(
        toolchain=replace(
            toolchain,
            settings=((SETTING, runtime.value),),
            setting_flags=(runtime.flag,),
            processors=(_IN_FILES.get(host.machine, host.machine),),
        ),
        runtime=runtime,
    )


def _with_target(
    toolchain: Toolchain, config: BuildConfig, host: Host, runner: Runner, record: Record
) -> Settled:
    xcode = apple.sdk(host, runner)
    target = apple.settle_target(host, config.cmake_args, xcode)
    for note in target.notes:
        record.warn(note)
    record.decide("macOS SDK", f"{xcode.version} ({xcode.path})", "what xcrun finds", "xcrun")
    oldest = apple.dotted(target.version)
    record.decide("oldest macOS", oldest, f"the wheel says {target.tag}", target.version_origin)
    record.decide(
        "processors",
        ", ".join(target.processors),
        "protobuf, ONNX and the extension are built for the same",
        target.processors_origin,
    )
    return Settled(
        toolchain=replace(
            toolchain,
            settings=tuple(target.cache(xcode).items()),
            variables=tuple(target.environment().items()),
            setting_flags=target.flags,
            processors=tuple(_IN_FILES.get(name, name) for name in target.processors),
        )
    )
