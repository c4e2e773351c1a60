# Sanitizers, for every target of the build alike: a mixture of instrumented and plain C++ containers
# gives false reports, so third-party code built here is instrumented too.
#
# Input: ONNXFORGE_SANITIZE, a list (';' or ',') of address, undefined, thread, leak.
# Output: directory-wide compile and link options; ONNXFORGE_SANITIZE_FLAGS for the summary.
include_guard(GLOBAL)

string(REPLACE "," ";" _sanitizers "${ONNXFORGE_SANITIZE}")
foreach(_sanitizer IN LISTS _sanitizers)
  if(NOT _sanitizer MATCHES "^(address|undefined|thread|leak)$")
    message(FATAL_ERROR "ONNXFORGE_SANITIZE names '${_sanitizer}'\n"
                        "  it may name: address, undefined, thread, leak (several: address;undefined)")
  endif()
endforeach()
if("thread" IN_LIST _sanitizers AND "address" IN_LIST _sanitizers)
  message(FATAL_ERROR "ONNXFORGE_SANITIZE is '${ONNXFORGE_SANITIZE}'\n"
                      "  thread and address exclude each other; configure two build folders")
endif()
if(_sanitizers AND MSVC)
  message(FATAL_ERROR "ONNXFORGE_SANITIZE is '${ONNXFORGE_SANITIZE}'\n"
                      "  it is available with GCC and Clang only; leave it empty with MSVC")
endif()

set(ONNXFORGE_SANITIZE_FLAGS "")
if(_sanitizers)
  list(JOIN _sanitizers "," _joined)
  set(ONNXFORGE_SANITIZE_FLAGS "-fsanitize=${_joined}")
  add_compile_options(${ONNXFORGE_SANITIZE_FLAGS} -fno-omit-frame-pointer -g)
  add_link_options(${ONNXFORGE_SANITIZE_FLAGS})
endif()
