# What is settled about upstream's ONNX from outside, so that no release needs a patch: C++17, one exported
# symbol, the same bytes from every folder.
#
# CMake includes it after project(onnx …), because CMAKE_PROJECT_onnx_INCLUDE names it; what concerns
# targets waits until upstream's own CMakeLists has made them.
# Input: upstream's targets onnx, onnx_proto and onnx_cpp2py_export.
# Output: properties of these targets.
include_guard(GLOBAL)
list(PREPEND CMAKE_MODULE_PATH "${CMAKE_CURRENT_LIST_DIR}")
include(Linkage)

# 1.13 and 1.14 set C++11 themselves, whatever CMAKE_CXX_STANDARD says.
function(onnxforge_upstream_standard target)
  get_target_property(standard ${target} CXX_STANDARD)
  if(NOT standard OR standard LESS 17)
    set_target_properties(${target} PROPERTIES CXX_STANDARD 17 CXX_STANDARD_REQUIRED ON)
  endif()
endfunction()

function(onnxforge_finish_upstream)
  foreach(target IN ITEMS onnx onnx_proto onnx_cpp2py_export)
    if(TARGET ${target})
      onnxforge_upstream_standard(${target})
    endif()
  endforeach()
  if(TARGET onnx_cpp2py_export)
    onnxforge_extension_linkage(onnx_cpp2py_export PyInit_onnx_cpp2py_export)
  endif()
endfunction()

cmake_language(DEFER CALL onnxforge_finish_upstream)
