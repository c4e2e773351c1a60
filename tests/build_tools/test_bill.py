"""The bill of materials: what is written into a wheel, and how a lie in it is found."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from build_tools.bill.attach import attach_bill, with_license_files
from build_tools.bill.components import (
    NANOBIND,
    PYBIND11,
    header_component,
    installed_in,
    libcxx_component,
    robin_map_component,
    source_component,
    unicode_component,
)
from build_tools.bill.compose import FILE_NAME, bill_of, text_of
from build_tools.bill.licenses import leading_comment, license_file
from build_tools.bill.making import chosen_settings, hide_folders, source_digests
from build_tools.bill.marks import traces_in
from build_tools.bill.model import Component, Making, Materials, Origin, Tool, Use
from build_tools.bill.prove import gather, prove_bill
from build_tools.bill.read import read_bills
from build_tools.config import BuildConfig, Linkage
from build_tools.errors import WheelError
from build_tools.pins import load_pins
from build_tools.recipe import REPOSITORY
from build_tools.wheel_file import WheelFile
from tests.build_tools.wheels import MODULE, altered, extension, needs_c_compiler, write_wheel

BSD = b"Redistribution and use in source and binary forms, with or without modification\n"
SBOM = f"toy-1.0.dist-info/sboms/{FILE_NAME}"
PROTOBUF = Component(
    name="protobuf",
    version="3.21.12",
    license="BSD-3-Clause",
    text=BSD,
    use=Use.COMPILED,
    purl="pkg:github/protocolbuffers/protobuf@v3.21.12",
    cpe="cpe:2.3:a:google:protobuf:3.21.12:*:*:*:*:*:*:*",
    origins=(
        Origin(
            url="pkg:pypi/grpcio-tools@1.54.3?file_name=grpcio-tools-1.54.3.tar.gz",
            filename="grpcio-tools-1.54.3.tar.gz",
            sha256="ba" * 32,
            folder="grpcio-tools-1.54.3/third_party/protobuf",
        ),
    ),
)
HIGHWAY = Component(
    name="highway",
    version="1.3.0",
    license="Apache-2.0 OR BSD-3-Clause",
    text=b"Apache License, Version 2.0\n",
    use=Use.COMPILED,
)
TABLES = Component(
    name="unicode-character-database",
    version="15.1.0",
    license="Unicode-3.0",
    text=b"UNICODE LICENSE V3\n",
    use=Use.DATA,
    library="cd" * 32,
)
MATERIALS = Materials(
    license="Apache-2.0",
    components=(PROTOBUF, HIGHWAY, TABLES),
    making=Making(
        tools=(Tool(name="GCC", version="12.2.0"), Tool(name="CMake", version="4.4.4")),
        facts={"kind": "onnxforge", "lock": "ef" * 32, "environment CXXFLAGS": "-O2 -I<build>/x"},
    ),
)
MARKS = """
static const char *const marks[] = {"onnxforge.component protobuf 3021012",
                                    "onnxforge.component highway 1.3.0"};
SHOW const char *mark(int i) { return marks[i]; }
"""


@pytest.fixture
def wheel(tmp_path) -> Path:
    """A wheel whose module says that it holds protobuf and Highway, before its bill is written."""
    module = extension(tmp_path, also=MARKS)
    return write_wheel(tmp_path, {MODULE: module, "toy/__init__.py": b""}, bill=False)


@pytest.fixture
def described(wheel) -> Path:
    attach_bill(wheel, MATERIALS)
    return wheel


def broken(path: Path) -> dict[str, str]:
    """The claims that do not hold, by the last word that tells them apart."""
    found = WheelFile.open(path)
    proofs = prove_bill(gather(found, found.binaries()))
    names = ("complete", "true", "licences")
    return {name: proof.evidence for name, proof in zip(names, proofs, strict=True) if not proof.ok}


def tampered(path: Path, change) -> Path:
    """Change the bill of a wheel."""
    bill = json.loads(WheelFile.open(path).read(SBOM))
    change(bill)
    return altered(path, {SBOM: json.dumps(bill).encode()})


def entry(bill, name):
    return next(item for item in bill["components"] if item["name"] == name)


@needs_c_compiler
class TestWhatIsWritten:
    def test_record_is_true_and_nothing_is_lost(self, wheel):
        before = WheelFile.open(wheel).members
        attach_bill(wheel, MATERIALS)
        after = WheelFile.open(wheel)
        assert list(after.record_problems()) == []
        assert set(after.members) - set(before) == {
            SBOM,
            "toy-1.0.dist-info/licenses/third_party/NOTICE",
            *(
                f"toy-1.0.dist-info/licenses/third_party/{name}/LICENSE"
                for name in ("protobuf", "highway", "unicode-character-database")
            ),
        }
        assert list(after.members)[-1].endswith("RECORD")
        assert not list(wheel.parent.glob("*.partial"))

    def test_the_bill_is_valid_cyclonedx(self, described):
        validation = pytest.importorskip("cyclonedx.validation.json")
        schema = pytest.importorskip("cyclonedx.schema")
        pytest.importorskip("jsonschema")
        validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
        text = WheelFile.open(described).read(SBOM).decode("utf-8")
        assert validator.validate_str(text) is None

    def test_the_same_materials_give_the_same_bytes(self, tmp_path, wheel):
        twin = tmp_path / "elsewhere" / wheel.name
        twin.parent.mkdir()
        shutil.copyfile(wheel, twin)
        attach_bill(wheel, MATERIALS)
        attach_bill(twin, MATERIALS)
        assert wheel.read_bytes() == twin.read_bytes()
        attach_bill(twin, MATERIALS)  # and what is there already is replaced, not added to
        assert wheel.read_bytes() == twin.read_bytes()

    def test_a_bill_that_came_with_the_sources_goes_and_auditwheels_stays(self, tmp_path):
        folder = "toy-1.0.dist-info/sboms"
        bill = {"bomFormat": "CycloneDX", "components": [{"name": "Abseil-CPP", "version": "9"}]}
        files = {
            MODULE: extension(tmp_path, also=MARKS),
            f"{folder}/sbom.cdx.json": json.dumps(bill).encode(),
            f"{folder}/auditwheel.cdx.json": b'{"bomFormat": "CycloneDX"}',
        }
        wheel = write_wheel(tmp_path, files, bill=False)
        assert "abseil-cpp" in {
            entry.name for entry in read_bills(WheelFile.open(wheel)).components
        }
        attach_bill(wheel, MATERIALS)
        found = WheelFile.open(wheel)
        assert read_bills(found).files == (f"{folder}/auditwheel.cdx.json", SBOM)
        assert list(found.record_problems()) == []
        assert broken(wheel) == {}

    def test_the_serial_number_is_that_of_the_content(self):
        first = bill_of("toy", "1.0", MATERIALS, {})
        other = bill_of("toy", "1.0", replace(MATERIALS, components=(PROTOBUF,)), {})
        assert first["serialNumber"] == bill_of("toy", "1.0", MATERIALS, {})["serialNumber"]
        assert first["serialNumber"] != other["serialNumber"]
        assert re.fullmatch(
            r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", other["serialNumber"]
        )
        assert b"timestamp" not in text_of(first)

    def test_it_can_be_read_again(self, described):
        stated = read_bills(WheelFile.open(described))
        assert [item.name for item in stated.components] == [
            "protobuf",
            "highway",
            "unicode-character-database",
        ]
        assert stated.making == dict(MATERIALS.making.facts)
        assert stated.tools == {"GCC": "12.2.0", "CMake": "4.4.4"}
        assert stated.package is not None
        assert (stated.package.name, stated.package.version) == ("toy", "1.0")
        assert set(stated.digests) == {MODULE}

    def test_notice_names_everything_and_its_licence(self, described):
        text = WheelFile.open(described).read("toy-1.0.dist-info/licenses/third_party/NOTICE")
        for component in MATERIALS.components:
            assert f"{component.name} {component.version}" in text.decode()
            assert f"third_party/{component.name}/LICENSE" in text.decode()

    @pytest.mark.parametrize(
        ("version", "named"), [("2.4", True), ("2.5", True), ("2.1", False), ("2.2", False)]
    )
    def test_metadata_names_the_files_where_it_knows_the_field(self, version, named):
        before = (
            f"Metadata-Version: {version}\nName: toy\nLicense-File: LICENSE\n\nText: 1\n\nEnd\n"
        )
        after = with_license_files(before.encode(), ["LICENSE", "third_party/NOTICE"]).decode()
        assert ("License-File: third_party/NOTICE\n\nText: 1\n\nEnd\n" in after) is named
        assert after.count("License-File: LICENSE") == 1
        assert named or after == before


@needs_c_compiler
class TestLies:
    def test_a_true_wheel_passes(self, described):
        assert broken(described) == {}

    def test_another_version_than_the_binary_has(self, described):
        tampered(described, lambda bill: entry(bill, "protobuf").update(version="3.20.2"))
        assert broken(described) == {
            "true": f"it says protobuf 3.20.2, {MODULE} holds protobuf 3.21.12"
        }

    def test_a_component_that_is_left_out(self, described):
        def leave_out(bill):
            bill["components"].remove(entry(bill, "highway"))

        tampered(described, leave_out)
        assert broken(described) == {"complete": f"{MODULE} holds highway (its line for highway)"}

    def test_a_component_that_is_not_there(self, described):
        def invent(bill):
            bill["components"].append({**entry(bill, "protobuf"), "name": "abseil-cpp"})

        tampered(described, invent)
        said = broken(described)
        assert "it names abseil-cpp, no binary shows a trace of it" in said["true"]
        assert said["licences"] == "no text for abseil-cpp"

    def test_a_second_version_that_is_nowhere(self, described):
        def add(bill):
            bill["components"].append({**entry(bill, "protobuf"), "version": "3.20.2"})

        tampered(described, add)
        assert "it says protobuf 3.20.2" in broken(described)["true"]

    def test_a_second_version_that_nobody_named(self, tmp_path):
        old = MARKS.replace("3021012", "3020002").replace("onnxforge.component highway 1.3.0", "")
        files = {MODULE: extension(tmp_path, also=MARKS), "toy/b.so": extension(tmp_path, also=old)}
        wheel = write_wheel(tmp_path, files, bill=False)
        attach_bill(wheel, MATERIALS)
        assert broken(wheel) == {"true": "it does not say protobuf 3.20.2, which is in it, too"}

    def test_another_digest_than_the_binary_has(self, described):
        def change(bill):
            entry(bill, MODULE)["hashes"][0]["content"] = "0" * 64

        tampered(described, change)
        assert f"it says {MODULE} has sha256 {'0' * 64}" in broken(described)["true"]

    def test_a_binary_that_was_exchanged(self, described, tmp_path):
        altered(described, {MODULE: extension(tmp_path)})
        said = broken(described)["true"]
        assert f"it says {MODULE} has sha256" in said
        assert "it names protobuf, no binary shows a trace of it" in said

    def test_a_binary_that_nobody_named(self, described, tmp_path):
        altered(described, {"toy/extra.so": extension(tmp_path)})
        assert "it does not name the file toy/extra.so" in broken(described)["true"]

    @pytest.mark.parametrize(
        "content", [b"{", b"[]", b'{"bomFormat": "CycloneDX", "components": [1]}']
    )
    def test_a_bill_that_is_none(self, described, content):
        altered(described, {SBOM: content})
        assert f"{SBOM} is no CycloneDX bill" in broken(described)["true"]

    def test_no_bill_at_all(self, wheel):
        said = broken(wheel)
        assert said["complete"].startswith(f"there is none; {MODULE} holds highway")
        assert "protobuf" in said["licences"]

    def test_a_licence_that_was_taken_out(self, described):
        member = "toy-1.0.dist-info/licenses/third_party/protobuf/LICENSE"
        altered(described, {member: b"all rights reserved\n"})
        assert broken(described) == {"licences": "no text for protobuf"}


class TestTraces:
    @pytest.mark.parametrize(
        ("content", "name", "version"),
        [
            (b"\0N6google8protobuf11MessageLiteE\0", "protobuf", ""),
            (b"[libprotobuf %s %s:%d] %s\n", "protobuf", ""),
            (b"N4absl12lts_2025012712log_internal", "abseil-cpp", "20250127"),
            (b".?AVSink@log_internal@lts_20250127@absl@@", "abseil-cpp", "20250127"),
            (b".?AVMessageLite@protobuf@google@@", "protobuf", ""),
            (b".?AVInferenceError@onnx@@", "onnx", ""),
            (b"__pybind11_internals_v4_gcc", "pybind11", ""),
            (b"Critical nanobind error: ", "nanobind", ""),
            (b"NSt3__112basic_stringE", "libc++", ""),
            (b" inflate 1.2.13 Copyright 1995-2022 Mark Adler ", "zlib", "1.2.13"),
            (b"\0onnxforge.component protobuf 4025001\0", "protobuf", "25.1"),
        ],
    )
    def test_known_bytes(self, content, name, version):
        (trace,) = traces_in(b"\x7fELF" + content)
        assert (trace.name, trace.version) == (name, version)

    def test_two_versions_of_one_component_are_both_told(self):
        lines = b"onnxforge.component onnx 1.23.2\0onnxforge.component onnx 1.22.0\0"
        assert [trace.version for trace in traces_in(lines)] == ["1.22.0", "1.23.2"]

    def test_other_bytes_are_nothing(self):
        assert traces_in(b"google protobuf onnx abseil pybind11 N4absurd") == ()


class TestLicences:
    @pytest.mark.parametrize(
        "source",
        [
            "// A library\n// Copyright\n//\n// Redistribution and use are fine.\n#if 1\n// no",
            "/**\n * A library\n * Copyright\n *\n * Redistribution and use are fine.\n */\n#if 1",
        ],
    )
    def test_a_leading_comment_is_a_text(self, tmp_path, source):
        path = tmp_path / "x.h"
        path.write_text(source, encoding="utf-8")
        assert leading_comment(path, "x") == (
            b"A library\nCopyright\n\nRedistribution and use are fine.\n"
        )

    @pytest.mark.parametrize("source", ["// A library\nint x;\n", "int x;\n", ""])
    def test_a_comment_without_a_licence_is_an_error(self, tmp_path, source):
        path = tmp_path / "x.h"
        path.write_text(source, encoding="utf-8")
        with pytest.raises(WheelError, match="the text of x's licence was not found"):
            leading_comment(path, "x")

    def test_a_missing_file_is_an_error_that_names_the_places(self, tmp_path):
        with pytest.raises(WheelError) as caught:
            license_file([tmp_path / "LICENSE", tmp_path / "COPYING"], "x")
        assert f"{tmp_path / 'COPYING'}: not there" in str(caught.value)


class TestComponents:
    def test_pybind11_is_described_as_it_is_installed(self):
        pytest.importorskip("pybind11")
        found = header_component(PYBIND11, installed_in("pybind11"))
        assert found.text.lower().startswith(b"copyright")
        assert len(found.library) == 64
        assert found.purl == f"pkg:pypi/pybind11@{found.version}"

    def test_nanobind_brings_a_hash_map_along(self, tmp_path):
        information = tmp_path / "nanobind-2.15.0.dist-info"
        header = tmp_path / "nanobind/ext/robin_map/include/tsl/robin_map.h"
        for folder in (information / "licenses", header.parent):
            folder.mkdir(parents=True)
        (information / "METADATA").write_text(
            "Metadata-Version: 2.4\nName: nanobind\nVersion: 2.15.0\n"
        )
        (information / "licenses/LICENSE").write_text("Copyright\n")
        header.write_text("/**\n * MIT License\n *\n * Permission is hereby granted, x\n */\n")
        assert header_component(NANOBIND, tmp_path).version == "2.15.0"
        assert robin_map_component(tmp_path).text.startswith(b"MIT License\n\nPermission")

    def test_two_installed_versions_are_an_error(self, tmp_path):
        for version in ("1", "2"):
            (tmp_path / f"pybind11-{version}.dist-info").mkdir()
        with pytest.raises(WheelError, match="not installed once"):
            header_component(PYBIND11, tmp_path)

    def test_a_pinned_source_has_every_place_it_can_be_had_from(self, tmp_path):
        (tmp_path / "LICENSE").write_text("Apache License\n")
        found = source_component(load_pins().pin("protobuf", "3.21.12"), tmp_path)
        assert [origin.filename for origin in found.origins] == [
            "protobuf-3.21.12.tar.gz",
            "grpcio-tools-1.54.3.tar.gz",
        ]

    def test_the_tables_name_their_release(self):
        found = unicode_component(REPOSITORY)
        assert re.fullmatch(r"\d+\.\d+\.\d+", found.version)
        assert b"UNICODE LICENSE V3" in found.text

    def test_zigs_libcxx(self):
        ziglang = pytest.importorskip("ziglang")
        found = libcxx_component(Path(ziglang.__file__).parent / "lib")
        assert re.fullmatch(r"\d+\.\d+\.\d+", found.version)
        assert b"LLVM" in found.text


class TestMaking:
    def test_only_settings_that_change_the_wheel_are_told(self):
        config = BuildConfig(protobuf=Linkage.SHARED, lto=True, jobs=7, cmake_args=("-DA=B",))
        assert chosen_settings(SimpleNamespace(config=config)) == {
            "setting protobuf": '"shared"',
            "setting lto": "true",
            "setting cmake_args": '["-DA=B"]',
        }

    def test_folders_of_the_machine_become_words(self):
        facts = {"a": "-I/home/me/x/build/inc -I/home/me/y", "b": "/home/means /home/me"}
        folders = {"/home/me": "<home>", "/home/me/x/build": "<build>"}
        assert hide_folders(facts, folders) == {
            "a": "-I<build>/inc -I<home>/y",
            "b": "/home/means <home>",
        }

    def test_each_part_of_the_tree_has_its_digest(self, tmp_path):
        (tmp_path / "cpp").mkdir()
        (tmp_path / "cpp/x.cc").write_text("int x;\n")
        before = source_digests(tmp_path)
        (tmp_path / "cpp/x.cc").write_text("int y;\n")
        after = source_digests(tmp_path)
        assert [name for name in before if before[name] != after[name]] == ["sources cpp"]
