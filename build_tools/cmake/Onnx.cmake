# Upstream's ONNX C++ library (lite protobuf): an installed prefix, or built here by third_party/onnx.
#
# Input: ONNXFORGE_ONNX_PREFIX, ONNXFORGE_ONNX_SOURCE, the outputs of Protobuf.cmake.
# Output: target ONNX::onnx; ONNXFORGE_ONNX_VERSION, ONNXFORGE_ONNX_ORIGIN.
include_guard(GLOBAL)

# onnxforge_onnx_from_prefix(<prefix> <out-version>): ONNX's own exported targets on the protobuf chosen
# above; its ONNXConfig is passed by, because that would look for a protobuf once more.
function(onnxforge_onnx_from_prefix prefix out_version)
  find_path(package NAMES ONNXTargets.cmake NO_DEFAULT_PATH NO_CACHE
            PATHS "${prefix}/lib/cmake/ONNX" "${prefix}/lib64/cmake/ONNX"
                  "${prefix}/lib/${CMAKE_LIBRARY_ARCHITECTURE}/cmake/ONNX")
  if(NOT package)
    message(FATAL_ERROR "No ONNX C++ library in ONNXFORGE_ONNX_PREFIX\n"
                        "  looked at: lib/cmake/ONNX/ONNXTargets.cmake and lib64/… in ${prefix}\n"
                        "  what to do: give the prefix ONNX was installed to, or none to build it here")
  endif()
  include("${package}/ONNXTargets.cmake")
  include("${package}/ONNXConfigVersion.cmake")
  get_target_property(definitions ONNX::onnx INTERFACE_COMPILE_DEFINITIONS)
  if(NOT "ONNX_USE_LITE_PROTO=1" IN_LIST definitions)
    message(FATAL_ERROR "The ONNX in ${prefix} was built for full protobuf\n"
                        "  it was built with: ${definitions}\n"
                        "  what to do: build it with -DONNX_USE_LITE_PROTO=ON, or give no prefix")
  endif()
  set_property(TARGET ONNX::onnx PROPERTY IMPORTED_GLOBAL TRUE)
  set_property(TARGET ONNX::onnx_proto PROPERTY IMPORTED_GLOBAL TRUE)
  set(${out_version} "${PACKAGE_VERSION}" PARENT_SCOPE)
endfunction()

# onnxforge_onnx_from_source(<out-version>): the recipe, inside this build.
function(onnxforge_onnx_from_source out_version)
  onnxforge_source(onnx ONNX_SOURCE)
  onnxforge_add_recipe(onnx)
  file(STRINGS "${ONNX_SOURCE}/VERSION_NUMBER" version LIMIT_COUNT 1)
  set(${out_version} "${version}" PARENT_SCOPE)
endfunction()

if(ONNXFORGE_ONNX_PREFIX)
  onnxforge_onnx_from_prefix("${ONNXFORGE_ONNX_PREFIX}" ONNXFORGE_ONNX_VERSION)
  set(ONNXFORGE_ONNX_ORIGIN "${ONNXFORGE_ONNX_PREFIX}")
  onnxforge_map_folder("${ONNXFORGE_ONNX_PREFIX}/include/onnx" onnx)
else()
  onnxforge_onnx_from_source(ONNXFORGE_ONNX_VERSION)
  set(ONNXFORGE_ONNX_ORIGIN "built here by third_party/onnx")
endif()
