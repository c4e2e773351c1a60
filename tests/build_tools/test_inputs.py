"""The key of everything that a wheel is made from."""

from __future__ import annotations

from build_tools.inputs import Inputs, source_files
from tests.build_tools.support import write_tree

TREE = {
    "CMakeLists.txt": "project(x)",
    "pyproject.toml": "[project]",
    "cpp/kernels/simd/matmul.cc": "int x;",
    "python/onnxforge/__init__.py": "",
    "build_tools/build.py": "",
    "tests/test_x.py": "",
    "docs/x.md": "",
}


def inputs(files, **changes):
    values = {"facts": {"compiler": "gcc"}, "libraries": {"onnx": "1"}, **changes}
    return Inputs(files=files, **values)


def test_what_goes_into_the_wheel_counts_and_nothing_else(tmp_path):
    found = source_files(write_tree(tmp_path, TREE))
    assert sorted(found) == sorted(set(TREE) - {"tests/test_x.py", "docs/x.md"})


def test_what_is_made_does_not_count(tmp_path):
    root = write_tree(tmp_path, TREE)
    before = source_files(root)
    write_tree(
        root,
        {
            "python/onnxforge/__pycache__/x.cpython-311.pyc": "x",
            "python/onnxforge/_core.so": "x",
            "cpp/.mypy_cache/x.json": "x",
        },
    )
    assert source_files(root) == before


def test_an_untracked_source_counts(tmp_path):
    root = write_tree(tmp_path, TREE)
    before = inputs(source_files(root))
    write_tree(root, {"cpp/kernels/reference/new.cc": ""})
    assert inputs(source_files(root)).key != before.key


def test_the_key_depends_on_content_name_facts_and_libraries():
    base = inputs({"a": "1"})
    others = [
        inputs({"a": "2"}),
        inputs({"b": "1"}),
        inputs({"a": "1"}, facts={"compiler": "clang"}),
        inputs({"a": "1"}, libraries={"onnx": "2"}),
    ]
    assert inputs({"a": "1"}).key == base.key
    assert len({base.key, *(other.key for other in others)}) == 5


def test_what_has_changed_is_named():
    earlier = inputs({"a": "1", "b": "1", "c": "1"}).as_dict()
    now = inputs({"a": "1", "b": "2", "d": "1"}, facts={"compiler": "clang"})
    assert now.changes(earlier) == ["b", "c", "d", "compiler"]
    assert inputs({"a": "1"}).changes(inputs({"a": "1"}).as_dict()) == []
