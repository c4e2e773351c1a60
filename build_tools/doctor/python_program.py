# Runs under whatever Python is found, so it uses nothing that Python 3.6 does not have.
"""What one Python says of itself, as JSON; with the argument "packages" also what is installed."""

import json
import os
import sys
import sysconfig
from typing import Any, Dict, List


def variable(name: str) -> str:
    """Return a build variable as text."""
    return str(sysconfig.get_config_var(name) or "")


def importable(name: str) -> bool:
    """Say whether a module can be imported."""
    try:
        __import__(name)
    except Exception:  # a broken module is as good as none
        return False
    return True


def packages() -> List[List[Any]]:
    """Return name, version and protobuf requirements of each installed package."""
    try:
        from importlib.metadata import distributions
    except ImportError:
        return []
    found: List[List[Any]] = []
    for entry in distributions():
        try:
            needs = [line for line in entry.requires or () if line.lower().startswith("protobuf")]
            found.append([entry.metadata["Name"], entry.version, needs])
        except Exception:  # one damaged package hides no other
            continue
    return found


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
        "has_distutils": importable("distutils"),
        "distributions": packages() if "packages" in sys.argv[1:] else [],
    }
    print(json.dumps(says))


if __name__ == "__main__":
    main()
