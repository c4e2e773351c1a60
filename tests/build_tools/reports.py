"""A whole report of a made-up build, for what reads reports."""

from __future__ import annotations

from typing import Any

from build_tools.report import SCHEMA
from build_tools.timeline import TimedCommand


def step(name: str, start: float, seconds: float, **changes: Any) -> dict[str, Any]:
    """One step as the report has it."""
    values = {"cached": False, "depth": 0, "failed": False, "log": None, "started": 1000.0 + start}
    return {"name": name, "start": start, "seconds": seconds, **values, **changes}


def command(project: str, output: str, start: float, seconds: float, lane: int) -> dict[str, Any]:
    """One command as the report has it."""
    entry = TimedCommand(
        project=project, output=output, kind="compile", start=start, seconds=seconds, lane=lane
    )
    return entry.as_dict()


def made_report(**changes: Any) -> dict[str, Any]:
    """A report with something in every field."""
    return {
        "schema": SCHEMA,
        "project": {"name": "onnxforge", "version": "0.1.0"},
        "started": "2026-11-24 04:31:02 UTC",
        "seconds": 200.0,
        "speed": {"what": "everything, from an empty cache", "goal_seconds": 360},
        "wheel": {
            "file": "onnxforge-0.1.0-cp311-cp311-manylinux_2_34_x86_64.whl",
            "sha256": "ab" * 32,
            "bytes": 2_345_678,
            "unpacked_bytes": 8_345_678,
            "files": 17,
            "tags": ["cp311-cp311-manylinux_2_34_x86_64"],
        },
        "host": {
            "system": "linux",
            "machine": "x86_64",
            "cpus": 2,
            "memory_available": 10**10,
            "jobs": 2,
            "python": "3.11.7",
        },
        "toolchain": {"name": "GCC 12.2.0 (/usr/bin/g++)", "identity": "gcc", "probes": {}},
        "protobuf": {
            "version": "3.21.12",
            "linkage": "static",
            "library": "/cache/lib/libprotobuf-lite.a",
            "origin": "built from source",
            "onnx_use_protobuf_shared_libs": False,
        },
        "onnx": {"version": "1.23.2", "prefix": "/cache/onnx"},
        "config": {
            "values": {"protobuf": "static", "jobs": None},
            "origins": {"protobuf": "--protobuf on the command line", "jobs": "default"},
        },
        "inputs": {
            "key": "cd" * 32,
            "files": {"cpp/a.cc": "1"},
            "facts": {"compiler": "gcc"},
            "libraries": {"onnx": "0123"},
            "changed": ["cpp/a.cc"],
        },
        "decisions": [
            {"subject": "compiler", "choice": "GCC <12>", "reason": "first", "source": "PATH"}
        ],
        "proofs": [{"claim": "only PyInit_* is exported", "evidence": "PyInit__core", "ok": True}],
        "warnings": ["protobuf 3.20.2 cannot be had & 3.21.12 is used"],
        "steps": [
            step("protobuf 3.21.12", 1.0, 50.0),
            step("protobuf 3.21.12: compile", 1.5, 49.0, depth=1),
            step("onnx 1.23.2", 60.0, 0.1, cached=True),
        ],
        "commands": [
            command("protobuf 3.21.12", "CMakeFiles/x.dir/descriptor.cc.o", 2.0, 30.0, 0),
            command("onnxforge", "cpp/kernels/CMakeFiles/k.dir/simd/gemm.cc.o", 62.0, 20.0, 1),
        ],
        "audit": {
            "binaries": [
                {
                    "member": "onnxforge/_core.so",
                    "bytes": 7_000_000,
                    "exported": 1,
                    "needed": ["libc.so.6"],
                    "vendored": False,
                }
            ],
            "platform_tag": "manylinux_2_34_x86_64",
            "symbol_versions": {"GLIBC": "2.34"},
            "external_libraries": [],
        },
        "smoke": None,
        **changes,
    }
