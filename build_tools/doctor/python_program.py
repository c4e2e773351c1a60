# Runs under whatever Python is found, so it uses nothing that Python 3.6 does not have.
"""What one Python says of itself, as JSON; with the argument "packages" also what is installed."""

import importlib.util
import json
import os
import sys
import sysconfig
from typing import Any, Dict, List


def variable(name: str) -> str:
    """Return a build variable as text."""
    return str(sysconfig.get_config_var(name) or "")


def has_distutils() -> bool:
    """Say whether ``import distutils`` works: by the standard library, or setuptools stands in.

    Nothing is imported: where setuptools is installed, looking for distutils loads all of it.
    """
    own = os.path.join(sysconfig.get_path("stdlib") or "", "distutils", "log.py")
    return os.path.isfile(own) or importlib.util.find_spec("setuptools") is not None


def packages() -> List[List[Any]]:
    """Return name, version and protobuf requirements of each installed package."""
    try:
        from importlib.metadata import distributions
    except ImportError:
        return []
    found = []  # type: List[List[Any]]
    for entry in distributions():
        try:
            found.append(headers(entry.read_text("METADATA") or ""))
        except Exception:  # one damaged package hides no other
            continue
    return [entry for entry in found if entry[0]]


def headers(text: str) -> List[Any]:
    """Read what is needed of a package's metadata; the description below may be a book."""
    name, version, needs = "", "", []  # type: str, str, List[str]
    for line in text.splitlines():
        field, _, value = line.partition(": ")
        if not line.strip():
            break
        if field == "Name":
            name = value.strip()
        elif field == "Version":
            version = value.strip()
        elif field == "Requires-Dist" and value.lower().startswith("protobuf"):
            needs.append(value)
    return [name, version, needs]


def main() -> None:
    """Write everything to standard output."""
    include = sysconfig.get_path("include") or ""
    major, minor, micro = sys.version_info[:3]
    free_threaded = variable("Py_GIL_DISABLED") == "1"
    says: Dict[str, Any] = {
        "version": f"{major}.{minor}.{micro}",
        "abi": f"cp{major}{minor}{'t' if free_threaded else ''}",
        "soabi": variable("SOABI"),
        "prefix": sys.prefix,
        "include_dir": include,
        "has_headers": os.path.isfile(os.path.join(include, "Python.h")),
        "free_threaded": free_threaded,
        "is_debug": hasattr(sys, "gettotalrefcount"),
        "site_packages": sysconfig.get_path("platlib") or "",
        "has_distutils": has_distutils(),
        "distributions": packages() if "packages" in sys.argv[1:] else [],
    }
    print(json.dumps(says))


if __name__ == "__main__":
    main()
