# Where third-party sources come from, and how a recipe becomes part of this build.
#
# Input: ONNXFORGE_<NAME>_SOURCE, ONNXFORGE_<NAME>_PREFIX, Python_EXECUTABLE.
# Output: onnxforge_source(<name> <out>), onnxforge_add_recipe(<name>).
include_guard(GLOBAL)

set(ONNXFORGE_PINS "${CMAKE_CURRENT_LIST_DIR}/../../third_party/pins.cdx.json")

# onnxforge_source(<name> <out>): the folder of <name>'s sources: ONNXFORGE_<NAME>_SOURCE, or what the
# project's own verified fetcher hands over; its answer is kept until the lock file changes.
function(onnxforge_source name out)
  string(TOUPPER "${name}" upper)
  set(source "${ONNXFORGE_${upper}_SOURCE}")
  if(NOT source)
    file(SHA256 "${ONNXFORGE_PINS}" pins)
    if(NOT IS_DIRECTORY "${ONNXFORGE_FETCHED_${upper}}" OR NOT ONNXFORGE_FETCHED_PINS STREQUAL pins)
      onnxforge_fetch()
      set(ONNXFORGE_FETCHED_PINS ${pins} CACHE INTERNAL "The lock file the fetched sources are of")
    endif()
    set(source "${ONNXFORGE_FETCHED_${upper}}")
  endif()
  if(NOT IS_DIRECTORY "${source}")
    message(FATAL_ERROR "No sources of ${name}\n  looked at: ${source}\n"
                        "  what to do: set ONNXFORGE_${upper}_SOURCE to the unpacked source folder")
  endif()
  set(${out} "${source}" PARENT_SCOPE)
endfunction()

# onnxforge_fetch(): all sources this build needs, in one `python -m build_tools fetch`, which answers in
# CMake's language: set(ONNXFORGE_<NAME>_SOURCE "…").
function(onnxforge_fetch)
  set(names "")
  foreach(name IN ITEMS protobuf onnx highway)
    string(TOUPPER "${name}" upper)
    if(NOT ONNXFORGE_${upper}_SOURCE AND NOT ONNXFORGE_${upper}_PREFIX)
      list(APPEND names ${name})
    endif()
  endforeach()
  list(JOIN names ", " shown)
  message(STATUS "Fetching the pinned sources of ${shown}")
  set(answer "${CMAKE_BINARY_DIR}/fetched-sources.cmake")
  cmake_path(GET ONNXFORGE_PINS PARENT_PATH root)
  cmake_path(GET root PARENT_PATH root)
  execute_process(
    COMMAND "${CMAKE_COMMAND}" -E env --modify "PYTHONPATH=path_list_prepend:${root}" PYTHONUTF8=1
            "${Python_EXECUTABLE}" -m build_tools fetch ${names} --print-cmake
    WORKING_DIRECTORY "${root}"
    OUTPUT_FILE "${answer}"
    RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "The sources of ${shown} could not be fetched: the reason stands above\n"
                        "  what to do: set ONNXFORGE_<NAME>_SOURCE to unpacked source folders, or "
                        "ONNXFORGE_<NAME>_PREFIX to installed ones")
  endif()
  include("${answer}")
  foreach(name IN LISTS names)
    string(TOUPPER "${name}" upper)
    set(ONNXFORGE_FETCHED_${upper} "${ONNXFORGE_${upper}_SOURCE}" CACHE INTERNAL "Fetched by build_tools")
  endforeach()
endfunction()

# onnxforge_add_recipe(<name>): third_party/<name>/CMakeLists.txt as a part of this build: SYSTEM,
# nothing of it installed, and only what is linked is built.
function(onnxforge_add_recipe name)
  add_subdirectory("${PROJECT_SOURCE_DIR}/third_party/${name}"
                   "${PROJECT_BINARY_DIR}/third_party/${name}" EXCLUDE_FROM_ALL SYSTEM)
endfunction()
