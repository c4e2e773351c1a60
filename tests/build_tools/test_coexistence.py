"""What a wheel has in common with the extensions of an environment."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from build_tools.__main__ import main
from build_tools.coexistence import (
    Resident,
    descriptors_in,
    package_folders,
    prove_coexistence,
    residents_in,
    residents_of,
)
from build_tools.context import Context
from build_tools.errors import UsageError
from build_tools.process import SystemRunner
from build_tools.record import Record
from build_tools.wheel_file import WheelFile
from tests.build_tools.support import make_host
from tests.build_tools.wheels import (
    MODULE,
    extension,
    needs_c_compiler,
    shared_object,
    write_wheel,
)

CXX = shutil.which("g++")
LEAK = "SHOW int onnx_leaked(void) { return 1; }\n"
ONNX_FILE = b"\x0a\x12onnx/onnx-ml.proto"


def resident(name, *, exported=(), unique=(), descriptors=(), protobufs=()):
    return Resident(
        name=name,
        exported=frozenset(exported),
        unique=frozenset(unique),
        descriptors=frozenset(descriptors),
        protobufs=frozenset(protobufs),
    )


@pytest.fixture
def context():
    return Context(host=make_host(), runner=SystemRunner(), record=Record())


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder of packages with one extension that leaks a name, and a file that is no library."""
    packages = tmp_path / "environment/lib/python3.11/site-packages"
    (packages / "other").mkdir(parents=True)
    (packages / "other/_ext.so").write_bytes(extension(tmp_path, also=LEAK))
    (packages / "other/broken.so").write_bytes(b"not a library")
    (packages / "other/code.py").write_bytes(b"")
    return packages


class TestClaims:
    def broken(self, own, other):
        return {
            proof.claim.split()[1]: proof.evidence
            for proof in prove_coexistence((own,), (other,), "here")
            if not proof.ok
        }

    def test_nothing_in_common(self):
        own = resident("toy/a.so", exported=["a"], unique=["u"], descriptors=["x.proto"])
        other = resident("other/b.so", exported=["b"], unique=["v"], descriptors=["x.proto"])
        assert self.broken(own, other) == {}

    def test_a_name_that_both_export(self):
        own, other = (resident(name, exported=["a", "b"]) for name in ("toy/a.so", "other/b.so"))
        assert self.broken(own, other) == {"exported": "other/b.so: 2 names, a, b"}

    def test_a_name_that_both_bind_for_the_process(self):
        own, other = (resident(name, unique=["u"]) for name in ("toy/a.so", "other/b.so"))
        assert self.broken(own, other) == {"name": "other/b.so: 1 names, u"}

    def test_one_file_in_one_shared_protobuf_aborts(self):
        facts = {"descriptors": ["onnx/onnx-ml.proto"], "protobufs": ["libprotobuf.so.32"]}
        own, other = resident("toy/a.so", **facts), resident("other/b.so", **facts)
        assert self.broken(own, other) == {
            "file": "other/b.so: onnx/onnx-ml.proto in libprotobuf.so.32"
        }
        apart = resident("other/b.so", **{**facts, "protobufs": ["libprotobuf.so.23"]})
        assert self.broken(own, apart) == {}

    def test_the_installed_copy_of_the_wheel_itself_is_left_out(self):
        own = resident("toy/a.so", exported=["a"])
        assert self.broken(own, resident("toy/a.so", exported=["a"])) == {}
        assert self.broken(own, resident("toy.libs/libx.so", exported=["a"])) == {}


class TestReading:
    @pytest.mark.parametrize(
        ("content", "names"),
        [
            (b"\0" + ONNX_FILE + b"\x12\4onnx", ["onnx/onnx-ml.proto"]),
            (b"\x0a\x13onnx/onnx-ml.proto", []),
            (b"reads onnx/onnx-ml.proto from a file", []),
        ],
    )
    def test_serialised_files_of_messages(self, content, names):
        assert list(descriptors_in(content)) == names

    @needs_c_compiler
    def test_an_environment_is_read_and_what_is_no_library_is_told(self, folder):
        found, unread = residents_of([folder])
        assert [(entry.name, sorted(entry.exported)) for entry in found] == [
            ("other/_ext.so", ["onnx_leaked"])
        ]
        assert unread == ("other/broken.so",)

    @needs_c_compiler
    @pytest.mark.skipif(CXX is None or sys.platform != "linux", reason="no g++, or no ELF")
    def test_unique_names_descriptors_and_needed_protobufs(self, tmp_path):
        protobuf = tmp_path / "libprotobuf.so.32"
        shared_object(protobuf, "int x;", "-Wl,-soname,libprotobuf.so.32")
        code = tmp_path / "unique.cc"
        code.write_text(
            "template <class T> struct S { static int value; };\n"
            "template <class T> int S<T>::value = 1;\n"
            'extern "C" int* f() { return &S<int>::value; }\n'
            'const char* file() { return "\\x0a\\x12onnx/onnx-ml.proto"; }\n',
            encoding="utf-8",
        )
        made = tmp_path / "unique.so"
        link = ("-Wl,--no-as-needed", protobuf)
        command = [CXX, "-shared", "-fPIC", "-fgnu-unique", "-o", made, code, *link]
        subprocess.run(command, check=True)
        wheel = write_wheel(tmp_path, {MODULE: made.read_bytes()})
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        (found,) = residents_in(WheelFile.open(wheel), scratch)
        assert found.unique == {"_ZN1SIiE5valueE"}
        assert found.descriptors == {"onnx/onnx-ml.proto"}
        assert found.protobufs == {"libprotobuf.so.32"}
        assert found.package == "toy"

    def test_an_interpreter_names_its_own_folders(self, context):
        assert any(
            path.name in {"site-packages", "dist-packages"}
            for path in package_folders(Path(sys.executable), context)
        )

    @needs_c_compiler
    def test_an_environment_or_a_plain_folder(self, folder, context):
        assert package_folders(folder.parents[2], context) == (folder,)
        assert package_folders(folder, context) == (folder,)

    def test_what_is_neither(self, tmp_path, context):
        with pytest.raises(UsageError, match="neither a folder nor a Python that runs"):
            package_folders(tmp_path / "nothing", context)


@needs_c_compiler
class TestCommand:
    def test_a_clash_is_told_and_fails(self, tmp_path, folder, capsys):
        wheel = write_wheel(tmp_path, {MODULE: extension(tmp_path, also=LEAK)})
        code = main(["audit", "--json", "--environment", str(folder.parents[2]), str(wheel)])
        said = capsys.readouterr()
        (entry,) = json.loads(said.out)
        (proof,) = [
            proof for proof in entry["proofs"] if proof["claim"].startswith("no exported name is")
        ]
        assert code == 61
        assert proof["evidence"] == "other/_ext.so: 1 names, onnx_leaked"
        assert "other/broken.so" in said.err

    def test_a_wheel_that_leaks_nothing_clashes_with_nothing(self, tmp_path, folder, capsys):
        wheel = write_wheel(tmp_path, {MODULE: extension(tmp_path)})
        code = main(["audit", "--json", "--environment", str(folder), str(wheel)])
        (entry,) = json.loads(capsys.readouterr().out)
        claims = [proof["ok"] for proof in entry["proofs"][-3:]]
        assert (code, claims) == (0, [True, True, True])
