"""How upstream's releases are built here, as data: one row for a range of releases.

What the releases are stands in ``build_tools.releases``. What is done to all of them alike stands
in ``make``: the lite protobuf runtime, which every published wheel links, and C++17.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from build_tools.errors import PinError

# setuptools still has setuptools.command.develop's old options and distutils for these.
_SETUPTOOLS = "setuptools==75.8.2"
_NEW_SETUPTOOLS = "setuptools==80.9.0"
_SCIKIT_BUILD = "scikit-build-core==0.11.6"
_STUBS = "protobuf==3.20.3"
"""What upstream's plugin for type stubs runs on while protoc is older than 4.25."""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Upstream's own tests of a range of releases."""

    folder: str
    """Where they lie in the source distribution; empty: it carries none in Python."""

    requires: tuple[str, ...] = ()
    """What they need beside the wheel and pytest."""

    ignored: tuple[str, ...] = ()
    """Test files that are left out, each with what it would need."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """How a range of releases is built."""

    range: SpecifierSet
    """The releases."""

    pythons: SpecifierSet
    """The Python versions it can be built and used on."""

    because: str
    """What sets the bounds of ``pythons``."""

    build_requires: tuple[str, ...]
    """What its build backend runs on; exact versions."""

    configure: dict[str, str] = field(default_factory=dict)
    """Cache entries that its CMakeLists.txt needs with today's CMake and Python."""

    suite: Suite
    """Its own tests."""


_POLICY = {"CMAKE_POLICY_VERSION_MINIMUM": "3.5"}
"""CMake 4 refuses projects that ask for less; 1.13 to 1.16.0 and the pybind11 they carry do."""

_UNITY = {"ONNX_USE_UNITY_BUILD": "ON"}
"""Upstream's own switch: files are compiled in groups. Those of 1.17 do not compile so."""

_PYBIND11 = "pybind11==2.13.6"
"""In place of the older one that 1.13 to 1.17 carry: it knows every Python up to 3.13."""
_TESTS = ("parameterized==0.9.0", "Pillow")
_NUMPY_2_1 = "numpy<2.2"
"""Up to 1.19 arrays of one element are taken for numbers, which NumPy 2.5 refuses."""
_OLD_TESTS = (*_TESTS, "google-re2==1.1.20251105", _NUMPY_2_1)
"""Up to 1.18 re2 matches regular expressions."""
_NUMPY_1 = "numpy<2; python_version < '3.13'"
"""1.17 is the first release whose evaluator knows NumPy 2; Python 3.13 has no older one."""

_13 = Release(
    range=SpecifierSet(">=1.13.1,<1.15"),
    pythons=SpecifierSet(">=3.7,<3.13"),
    because="its Python code uses what NumPy 2.1, the first for Python 3.13, has removed",
    build_requires=(_SETUPTOOLS, "wheel==0.45.1", "pytest-runner==6.0.1", _STUBS, _PYBIND11),
    configure=_POLICY,
    suite=Suite(folder=""),
)
_15 = Release(
    range=SpecifierSet(">=1.15,<1.17"),
    pythons=SpecifierSet(">=3.8"),
    because="its pyproject.toml",
    build_requires=(_SETUPTOOLS, "wheel==0.45.1", _STUBS, _PYBIND11),
    configure=_POLICY,
    suite=Suite(folder="onnx/test", requires=(*_OLD_TESTS, _NUMPY_1)),
)
_17 = replace(
    _15,
    range=SpecifierSet(">=1.17,<1.18"),
    suite=Suite(folder="onnx/test", requires=_OLD_TESTS),
)
_18 = replace(
    _17,
    range=SpecifierSet(">=1.18,<1.19"),
    pythons=SpecifierSet(">=3.9"),
    build_requires=(_NEW_SETUPTOOLS, "wheel==0.45.1", _STUBS, _PYBIND11),
    configure={},
    suite=Suite(folder="onnx/test", requires=(*_OLD_TESTS, "ml_dtypes")),
)
_19 = replace(
    _18,
    range=SpecifierSet(">=1.19,<1.20"),
    suite=Suite(folder="onnx/test", requires=(*_TESTS, _NUMPY_2_1)),
)
_20 = replace(
    _19,
    range=SpecifierSet(">=1.20,<1.21"),
    suite=Suite(folder="onnx/test", requires=_TESTS),
    pythons=SpecifierSet(">=3.10"),
    build_requires=(_NEW_SETUPTOOLS, "wheel==0.45.1", _STUBS, "nanobind==2.8.0"),
)
_21 = replace(
    _20,
    range=SpecifierSet(">=1.21,<1.22"),
    build_requires=(_NEW_SETUPTOOLS, "wheel==0.45.1", _STUBS, "nanobind==2.10.2"),
)
_22 = replace(
    _21,
    range=SpecifierSet(">=1.22,<1.23"),
    build_requires=(_SCIKIT_BUILD, _STUBS, "nanobind==2.12.0"),
)
_23 = replace(
    _22,
    range=SpecifierSet(">=1.23"),
    build_requires=(_SCIKIT_BUILD, _STUBS, "nanobind==2.15.0"),
    configure=_UNITY,
    suite=Suite(folder="tests/python", requires=(*_TESTS, "packaging")),
)

RELEASES: tuple[Release, ...] = (_13, _15, _17, _18, _19, _20, _21, _22, _23)


def release_of(version: str) -> Release:
    """Return the row for a release; raises PinError for one that is not known."""
    for release in RELEASES:
        if release.range.contains(Version(version)):
            return release
    raise PinError(
        f"it is not known how onnx {version} is built",
        looked=[f"known: {', '.join(str(release.range) for release in RELEASES)}"],
        fix="ask for 1.13.1 or a later release",
    )
