# CMake's side of build_tools/toolchain/zig.py: the wrappers of one target, and what CMake cannot find out.
#
# Input: ONNXFORGE_ZIG_WRAPPERS (the folder with cc, c++, ar and ranlib), ONNXFORGE_TARGET_SYSTEM,
#   ONNXFORGE_TARGET_PROCESSOR.
# Output: CMake's settings for cross compiling. CMake reads this file several times: there is no guard.
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ONNXFORGE_ZIG_WRAPPERS ONNXFORGE_TARGET_SYSTEM
     ONNXFORGE_TARGET_PROCESSOR)
set(CMAKE_SYSTEM_NAME "${ONNXFORGE_TARGET_SYSTEM}")
set(CMAKE_SYSTEM_PROCESSOR "${ONNXFORGE_TARGET_PROCESSOR}")
set(CMAKE_C_COMPILER "${ONNXFORGE_ZIG_WRAPPERS}/cc")
set(CMAKE_CXX_COMPILER "${ONNXFORGE_ZIG_WRAPPERS}/c++")
set(CMAKE_AR "${ONNXFORGE_ZIG_WRAPPERS}/ar" CACHE FILEPATH "")
set(CMAKE_RANLIB "${ONNXFORGE_ZIG_WRAPPERS}/ranlib" CACHE FILEPATH "")
# Zig builds a C++ runtime for every kind of build: the checks use that of the product, and pybind11's checks for
# link-time optimisation, which is not used, are answered.
set(CMAKE_TRY_COMPILE_CONFIGURATION Release)
foreach(_check IN ITEMS HAS_FLTO HAS_FLTO_AUTO HAS_FLTO_THIN)
  set(${_check} OFF CACHE INTERNAL "")
endforeach()
# The least system of a Mach-O file stands in zig's name of the target; there is no SDK and no install_name_tool.
if(CMAKE_SYSTEM_NAME STREQUAL "Darwin")
  set(CMAKE_INSTALL_NAME_TOOL "/bin/true" CACHE FILEPATH "")
  set(CMAKE_OSX_SYSROOT "" CACHE PATH "")
  set(CMAKE_OSX_DEPLOYMENT_TARGET "" CACHE STRING "")
  set(CMAKE_OSX_ARCHITECTURES "" CACHE STRING "")
endif()
