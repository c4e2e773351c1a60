"""How CMake finds pybind11: beside the Python that it is for, wherever that is."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pybind11

from tests.packaging.cmake_project import Project, ok


def test_in_a_folder_whose_name_has_a_blank(tmp_path, monkeypatch):
    packages = tmp_path / "some packages"
    shutil.copytree(Path(pybind11.__file__).parent, packages / "pybind11")
    monkeypatch.setenv("PYTHONPATH", str(packages))
    body = 'include(Pybind11)\nfile(WRITE "${CMAKE_BINARY_DIR}/found.txt" "${pybind11_DIR}")'
    project = Project.write(tmp_path / "project", body)
    ok(project.configure(f"-DPython_EXECUTABLE={sys.executable}"))
    found = Path((project.build / "found.txt").read_text(encoding="utf-8"))
    assert found.is_relative_to(packages)
    assert (found / "pybind11Config.cmake").is_file()
