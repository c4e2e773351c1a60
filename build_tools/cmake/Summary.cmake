# The end of configuring: every decision and where it came from.
include_guard(GLOBAL)

function(onnxforge_print_row name)
  string(LENGTH "${name}" length)
  math(EXPR padding "22 - ${length}")
  string(REPEAT " " ${padding} spaces)
  list(JOIN ARGN " " value)
  if(value STREQUAL "")
    set(value none)
  endif()
  message(STATUS "  ${name}${spaces}${value}")
endfunction()

function(onnxforge_print_summary)
  message(STATUS "onnxforge ${PROJECT_VERSION}")
  onnxforge_print_row("CMake, generator" ${CMAKE_VERSION}, ${CMAKE_GENERATOR})
  onnxforge_print_row("compiler" ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}
                      "(${CMAKE_CXX_COMPILER})")
  onnxforge_print_row("target" ${CMAKE_SYSTEM_NAME} ${CMAKE_SYSTEM_PROCESSOR})
  onnxforge_print_row("build type, standard" ${CMAKE_BUILD_TYPE}, C++${CMAKE_CXX_STANDARD})
  onnxforge_print_row("Python" ${Python_VERSION} "${Python_SOABI} (${Python_EXECUTABLE})")
  onnxforge_print_row("pybind11" ${pybind11_VERSION} "(${pybind11_DIR})")
  onnxforge_print_row("protobuf" ${ONNXFORGE_PROTOBUF_VERSION} ${ONNXFORGE_PROTOBUF_LINKAGE}
                      "(${ONNXFORGE_PROTOBUF_ORIGIN})")
  onnxforge_print_row("shared protobuf" "asked: ${ONNX_USE_PROTOBUF_SHARED_LIBS},"
                      "found: ${ONNXFORGE_PROTOBUF_LINKAGE}")
  onnxforge_print_row("ONNX" ${ONNXFORGE_ONNX_VERSION} "(${ONNXFORGE_ONNX_ORIGIN})")
  onnxforge_print_row("Highway" ${ONNXFORGE_HIGHWAY_VERSION} "(${HIGHWAY_SOURCE})")
  onnxforge_print_row("C++ tests" ${ONNXFORGE_BUILD_TESTS})
  onnxforge_print_row("warnings are errors" ${ONNXFORGE_WERROR})
  onnxforge_print_row("sanitizers" "${ONNXFORGE_SANITIZE_FLAGS}")
  onnxforge_print_row("link-time optimised" ${ONNXFORGE_LTO})
endfunction()
