# Python and pybind11, both from the environment the build runs in.
#
# Input: Python_EXECUTABLE (scikit-build-core sets it), pybind11_DIR. Cross-compiling, both come from the builder
#   with Python_INCLUDE_DIR (and Python_LIBRARY for Windows) of the Python that the extension is for.
# Output: Python::Module, pybind11::module … and onnxforge_add_extension(<target> <source>…).
include_guard(GLOBAL)

set(Python_FIND_VIRTUALENV FIRST)
set(Python_FIND_STRATEGY LOCATION)
if(CMAKE_CROSSCOMPILING)
  set(PYBIND11_USE_CROSSCOMPILING ON) # else pybind11 asks for an interpreter of the same version
  find_package(Python 3.10 REQUIRED COMPONENTS Development.Module)
else()
  find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module)
endif()

# A build folder that outlives the environment it was made in (pip's isolated ones) must look again.
if(NOT EXISTS "${pybind11_DIR}/pybind11Config.cmake")
  # Not by `-m pybind11 --cmakedir`, which puts a folder with a blank into quotes.
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -c "import pybind11; print(pybind11.get_cmake_dir())"
    OUTPUT_VARIABLE _pybind11_dir
    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  set(pybind11_DIR "${_pybind11_dir}" CACHE PATH "pybind11's CMake package" FORCE)
endif()
set(PYBIND11_FINDPYTHON ON)
find_package(pybind11 3.0 CONFIG QUIET)
if(NOT pybind11_FOUND)
  message(FATAL_ERROR "No pybind11 ≥ 3.0\n  looked at: the packages of ${Python_EXECUTABLE}, CMAKE_PREFIX_PATH"
                      "\n  what to do: ${Python_EXECUTABLE} -m pip install 'pybind11>=3'")
endif()
if(CMAKE_CROSSCOMPILING AND WIN32)
  # FindPython takes the import library for a static one, and has it bring what the builder's own Python is linked
  # with: -ldl -lm.
  set_property(TARGET Python::Module PROPERTY INTERFACE_LINK_LIBRARIES "")
endif()

# onnxforge_add_extension(<target> <source>…): the Python extension module <target>, installed into the
# package. It exports PyInit_<target> and nothing else.
function(onnxforge_add_extension target)
  onnxforge_map_folder("${pybind11_INCLUDE_DIR}" pybind11)
  foreach(folder IN LISTS Python_INCLUDE_DIRS)
    onnxforge_map_folder("${folder}" python)
  endforeach()
  add_library(${target} MODULE ${ARGN})
  target_link_libraries(${target} PRIVATE pybind11::module)
  pybind11_extension(${target})
  onnxforge_target_defaults(${target})
  onnxforge_extension_linkage(${target} PyInit_${target})
  if(WIN32)
    # pybind11 exports its exception classes there, for modules that share them.
    target_compile_definitions(${target} PRIVATE PYBIND11_EXPORT_EXCEPTION=)
  endif()
  # A shared protobuf outside the loader's folders is found again; with a static one there is nothing to find.
  set_target_properties(${target} PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
  install(TARGETS ${target} LIBRARY DESTINATION onnxforge COMPONENT python)
endfunction()
