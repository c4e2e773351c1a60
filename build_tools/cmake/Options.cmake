# Every choice a person can make, with its default; nothing else in the build reads a user's variable.
#
# Outputs: the ONNXFORGE_* cache variables below, ONNX_USE_PROTOBUF_SHARED_LIBS (AUTO|ON|OFF) and the
#   language defaults (C++17 without extensions, position-independent, hidden) for all later targets.
include_guard(GLOBAL)

# onnxforge_tristate(<name> <default> <help>): a cache variable that is AUTO, ON or OFF, validated.
# CMake's other spellings of ON and OFF are accepted and rewritten.
function(onnxforge_tristate name default help)
  set(${name} "${default}" CACHE STRING "${help} [AUTO|ON|OFF]")
  set_property(CACHE ${name} PROPERTY STRINGS AUTO ON OFF)
  string(TOUPPER "${${name}}" value)
  if(value MATCHES "^(1|YES|TRUE|Y)$")
    set(value ON)
  elseif(value MATCHES "^(0|NO|FALSE|N)$")
    set(value OFF)
  endif()
  if(NOT value MATCHES "^(AUTO|ON|OFF)$")
    message(FATAL_ERROR "${name} is '${${name}}'\n  it may be: AUTO, ON or OFF (default ${default})\n"
                        "  meaning: ${help}")
  endif()
  set_property(CACHE ${name} PROPERTY VALUE "${value}")
endfunction()

option(ONNXFORGE_BUILD_TESTS "Build the C++ tests and register them with CTest" OFF)
option(ONNXFORGE_WERROR "Treat warnings in our own code as errors" OFF)
option(ONNXFORGE_LTO "Link-time optimisation of our own code" OFF)
option(ONNXFORGE_UNITY "Compile the files of a layer a few at a time: faster from nothing, slower per change" ON)
set(ONNXFORGE_SANITIZE "" CACHE STRING "Sanitizers for all code, e.g. address;undefined or thread")

set(ONNXFORGE_PROTOBUF_PREFIX "" CACHE PATH "Installed protobuf; empty: built here from source")
set(ONNXFORGE_ONNX_PREFIX "" CACHE PATH "Installed ONNX C++ library; empty: built here from source")
set(ONNXFORGE_PROTOBUF_SOURCE "" CACHE PATH "protobuf's sources; empty: fetched by build_tools")
set(ONNXFORGE_ONNX_SOURCE "" CACHE PATH "ONNX's sources; empty: fetched by build_tools")
set(ONNXFORGE_HIGHWAY_SOURCE "" CACHE PATH "Highway's sources; empty: fetched by build_tools")
onnxforge_tristate(ONNX_USE_PROTOBUF_SHARED_LIBS AUTO "Link a shared protobuf")

get_property(_multi_config GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
if(NOT _multi_config AND NOT CMAKE_BUILD_TYPE)
  set_property(CACHE CMAKE_BUILD_TYPE PROPERTY VALUE Release)
endif()

set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
