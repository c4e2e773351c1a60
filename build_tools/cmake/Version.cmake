# The version's one home is python/onnxforge/_version.py; CMake and scikit-build-core both read it.
include_guard(GLOBAL)

# onnxforge_read_version(<file> <out>): <out> = the X.Y.Z of the line `__version__ = "X.Y.Z…"`.
function(onnxforge_read_version file out)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
  file(STRINGS "${file}" line REGEX "^__version__")
  if(NOT line MATCHES "\"([0-9]+\\.[0-9]+\\.[0-9]+)")
    message(FATAL_ERROR "No version in ${file}\n"
                        "  looked for: a line like __version__ = \"1.2.3\"\n  found: '${line}'")
  endif()
  set(${out} "${CMAKE_MATCH_1}" PARENT_SCOPE)
endfunction()
