"""One C++ runtime library of Microsoft's for everything; a shared protobuf needs it in DLLs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from build_tools.config import BuildConfig, BuildType, Linkage
from build_tools.errors import ConfigError
from build_tools.protobuf.provide import provide_protobuf
from build_tools.record import Record
from build_tools.toolchain.model import Toolchain
from build_tools.toolchain.platform_settings import settle
from build_tools.toolchain.runtime import refuse_static_runtime, settle_runtime
from tests.build_tools.recordings import windows_host
from tests.build_tools.site import make_site
from tests.build_tools.support import RecordedRunner
from tests.build_tools.test_msvc import compiler
from tests.build_tools.test_toolchain import ALL

DEFAULT = "MultiThreaded$<$<CONFIG:Debug>:Debug>DLL"


@pytest.mark.parametrize(
    ("arguments", "build_type", "flag", "value"),
    [
        ([], BuildType.RELEASE, "/MD", DEFAULT),
        ([], BuildType.DEBUG, "/MDd", DEFAULT),
        (["-DCMAKE_MSVC_RUNTIME_LIBRARY=MultiThreadedDLL"], BuildType.DEBUG, "/MD", None),
        (["-DCMAKE_MSVC_RUNTIME_LIBRARY=MultiThreaded"], BuildType.RELEASE, "/MT", None),
        (["-DCMAKE_MSVC_RUNTIME_LIBRARY=MultiThreadedDebug"], BuildType.RELEASE, "/MTd", None),
        (
            ["-DCMAKE_MSVC_RUNTIME_LIBRARY:STRING=MultiThreaded$<$<CONFIG:Debug>:Debug>"],
            BuildType.DEBUG,
            "/MTd",
            None,
        ),
        (
            ["-Dprotobuf_MSVC_STATIC_RUNTIME=ON"],
            BuildType.RELEASE,
            "/MT",
            "MultiThreaded$<$<CONFIG:Debug>:Debug>",
        ),
        (["-Dprotobuf_MSVC_STATIC_RUNTIME=OFF"], BuildType.RELEASE, "/MD", DEFAULT),
        (["-DONNX_USE_MSVC_STATIC_RUNTIME=1"], BuildType.DEBUG, "/MTd", None),
    ],
)
def test_what_is_compiled_for(arguments, build_type, flag, value):
    runtime = settle_runtime(arguments, build_type)
    assert runtime.flag == flag
    if value:
        assert runtime.value == value


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["-DCMAKE_MSVC_RUNTIME_LIBRARY=MD"], "names no runtime library"),
        (
            ["-DCMAKE_MSVC_RUNTIME_LIBRARY=MultiThreadedDebug$<$<CONFIG:Debug>:Debug>DLL"],
            "names no runtime library",
        ),
        (
            [
                "-DCMAKE_MSVC_RUNTIME_LIBRARY=MultiThreadedDLL",
                "-Dprotobuf_MSVC_STATIC_RUNTIME=ON",
            ],
            "and protobuf_MSVC_STATIC_RUNTIME=ON for it to be linked in",
        ),
    ],
)
def test_what_cannot_be_understood(arguments, complaint):
    with pytest.raises(ConfigError) as caught:
        settle_runtime(arguments, BuildType.RELEASE)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    "argument",
    ["-DCMAKE_MSVC_RUNTIME_LIBRARY=MultiThreaded", "-Dprotobuf_MSVC_STATIC_RUNTIME=ON"],
)
def test_a_shared_protobuf_and_a_runtime_of_its_own_exclude_each_other(argument):
    runtime = settle_runtime([argument], BuildType.RELEASE)
    refuse_static_runtime(runtime, Linkage.STATIC)
    with pytest.raises(ConfigError, match="a shared protobuf cannot be used") as caught:
        refuse_static_runtime(runtime, Linkage.SHARED)
    assert argument.removeprefix("-D") in str(caught.value)
    assert "--protobuf static" in str(caught.value)


def test_the_default_goes_with_both():
    for linkage in Linkage:
        refuse_static_runtime(settle_runtime([], BuildType.RELEASE), linkage)
        refuse_static_runtime(None, linkage)


def test_it_is_part_of_the_toolchain_and_of_its_identity():
    chain = Toolchain(compiler=compiler(), probes=ALL, reasons=())
    record = Record()
    host, runner = windows_host(), RecordedRunner([])
    made = settle(chain, BuildConfig(), host, runner, record)
    static = BuildConfig(cmake_args=("-Dprotobuf_MSVC_STATIC_RUNTIME=ON",))
    other = settle(chain, static, host, runner, Record())
    assert made.toolchain.cmake_cache()["CMAKE_MSVC_RUNTIME_LIBRARY"] == DEFAULT
    assert made.toolchain.setting_flags == ("/MD",)
    assert made.toolchain.processors == ("x86_64",)
    identities = {chain.identity(), made.toolchain.identity(), other.toolchain.identity()}
    assert len(identities) == 3
    assert record.decisions[0].choice == "in DLLs (/MD)"


def test_it_is_refused_before_anything_is_built(tmp_path):
    """--protobuf shared with a static runtime ends at once, not after the long compile."""
    runtime = settle_runtime(["-Dprotobuf_MSVC_STATIC_RUNTIME=ON"], BuildType.RELEASE)
    site = replace(make_site(tmp_path, "--protobuf", "shared"), runtime=runtime)
    with pytest.raises(ConfigError, match="a shared protobuf cannot be used"):
        provide_protobuf(site)
    assert site.context.record.steps == []


def test_other_systems_have_none(tmp_path):
    site = make_site(tmp_path)
    made = settle(
        site.toolchain, site.config, site.context.host, site.context.runner, site.context.record
    )
    assert made.runtime is None
    assert made.toolchain is site.toolchain
