"""The version's one home: CMake, scikit-build-core and the package itself read it here."""

__version__ = "0.1.0"
