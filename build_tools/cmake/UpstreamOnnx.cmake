# What is settled about upstream's ONNX from outside, so that no release needs a patch: C++17, one exported
# symbol, the same bytes from every folder, and a line for each library that is compiled in, which the bill of
# materials is held against (build_tools/bill/marks.py).
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

# A stripped extension names no versions. These come from protobuf's headers as the compiler sees them, from
# upstream's own version file and from the package of the binding that was found.
function(onnxforge_mark_components target)
  set(marks "#include <google/protobuf/message_lite.h>\n#define TEXT_OF(x) #x\n#define TEXT(x) TEXT_OF(x)\n")
  set(abseil "")
  if(absl_DIR)
    string(APPEND marks "#include <absl/base/config.h>\n")
    set(abseil "\n  \"onnxforge.component abseil-cpp \" TEXT(ABSL_LTS_RELEASE_VERSION) \".\" "
               "TEXT(ABSL_LTS_RELEASE_PATCH_LEVEL) \"\\0\"")
    string(CONCAT abseil ${abseil})
  endif()
  string(APPEND marks "extern \"C\" const char onnxforge_components[] =\n"
         "  \"onnxforge.component protobuf \" TEXT(GOOGLE_PROTOBUF_VERSION) \"\\0\"\n"
         "  \"onnxforge.component onnx ${ONNX_VERSION}\\0\"${abseil}")
  foreach(binding IN ITEMS pybind11 nanobind)
    if(${binding}_VERSION)
      string(APPEND marks "\n  \"onnxforge.component ${binding} ${${binding}_VERSION}\\0\"")
    endif()
  endforeach()
  file(CONFIGURE OUTPUT onnxforge_components.cc CONTENT "${marks};\n" @ONLY)
  target_sources(${target} PRIVATE "${CMAKE_CURRENT_BINARY_DIR}/onnxforge_components.cc")
  # Nothing calls for it, so the linker is told to keep it.
  if(MSVC)
    target_link_options(${target} PRIVATE LINKER:/INCLUDE:onnxforge_components)
  elseif(APPLE)
    target_link_options(${target} PRIVATE LINKER:-u,_onnxforge_components)
  else()
    target_link_options(${target} PRIVATE LINKER:--undefined=onnxforge_components)
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
    onnxforge_mark_components(onnx_cpp2py_export)
  endif()
endfunction()

cmake_language(DEFER CALL onnxforge_finish_upstream)
