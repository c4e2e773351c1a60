# Warnings for our own code; third-party code is SYSTEM and keeps its own.
#
# Input: ONNXFORGE_WERROR.  Output: onnxforge_warnings(<target>).
include_guard(GLOBAL)

function(onnxforge_warnings target)
  if(MSVC)
    # /bigobj: kernels compiled for several instruction sets have more sections than an object file holds.
    target_compile_options(${target} PRIVATE /W4 /permissive- /utf-8 /Zc:__cplusplus /bigobj)
  else()
    target_compile_options(
      ${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
                        -Wcast-align -Wvla -Wundef)
  endif()
  set_target_properties(${target} PROPERTIES COMPILE_WARNING_AS_ERROR ${ONNXFORGE_WERROR})
endfunction()
