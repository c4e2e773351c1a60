# How our targets are compiled and linked: nothing leaves the extension but its PyInit function,
# unused sections go, and the result depends neither on the build folder nor on the machine's CPU.
#
# Input: ONNXFORGE_LTO, ONNXFORGE_UNITY, ONNXFORGE_SANITIZE_FLAGS.
# Output: onnxforge_target_defaults(<target>…), onnxforge_precompile_headers(<target> <header>…),
#   onnxforge_extension_linkage(<target> <init-symbol>).
include_guard(GLOBAL)
include(CheckIPOSupported)
include(Reproducible)

if(ONNXFORGE_LTO)
  check_ipo_supported(RESULT _ipo OUTPUT _ipo_why LANGUAGES CXX)
  if(NOT _ipo)
    message(FATAL_ERROR "ONNXFORGE_LTO is ON, but the compiler cannot do it\n"
                        "  ${CMAKE_CXX_COMPILER} said: ${_ipo_why}\n  what to do: ONNXFORGE_LTO=OFF")
  endif()
endif()

# onnxforge_target_defaults(<target>…): what every target of our own gets.
function(onnxforge_target_defaults)
  foreach(target IN LISTS ARGN)
    onnxforge_warnings(${target})
    set_target_properties(${target} PROPERTIES INTERPROCEDURAL_OPTIMIZATION ${ONNXFORGE_LTO}
                                               UNITY_BUILD ${ONNXFORGE_UNITY} UNITY_BUILD_BATCH_SIZE 8)
    if(MSVC)
      target_compile_definitions(${target} PRIVATE NOMINMAX)
    else()
      target_compile_options(${target} PRIVATE -ffunction-sections -fdata-sections)
    endif()
  endforeach()
endfunction()

# onnxforge_precompile_headers(<target> <header>…): for files that are compiled one by one; several at once read
# their headers once as it is, and the precompiled form would cost more than it saves.
function(onnxforge_precompile_headers target)
  get_target_property(unity ${target} UNITY_BUILD)
  if(NOT unity)
    target_precompile_headers(${target} PRIVATE ${ARGN})
  endif()
endfunction()

# onnxforge_extension_linkage(<target> <init-symbol>): a Python extension that exports <init-symbol> alone.
# ELF: a version script makes all else local, --exclude-libs covers linkers that treat archives apart.
# Mach-O: an export list. Windows: only what is marked.
function(onnxforge_extension_linkage target symbol)
  set(list "${CMAKE_CURRENT_BINARY_DIR}/${target}.exports")
  if(APPLE)
    file(CONFIGURE OUTPUT "${list}" CONTENT "_${symbol}\n")
    target_link_options(${target} PRIVATE "LINKER:-exported_symbols_list,${list}" LINKER:-dead_strip)
  elseif(NOT WIN32)
    file(CONFIGURE OUTPUT "${list}" CONTENT "{\n  global: ${symbol};\n  local: *;\n};\n")
    target_link_options(
      ${target} PRIVATE "LINKER:--version-script=${list}" LINKER:--gc-sections LINKER:--as-needed LINKER:-z,relro
      LINKER:-z,now LINKER:-z,noexecstack)
    if(NOT CMAKE_CROSSCOMPILING) # zig's driver does not know the option, and its linker does not need it
      target_link_options(${target} PRIVATE LINKER:--exclude-libs,ALL)
    endif()
    onnxforge_strip(${target})
  endif()
  if(NOT WIN32)
    set_target_properties(${target} PROPERTIES LINK_DEPENDS "${list}")
  endif()
endfunction()

# A release extension carries no symbol table: half the size, and no names of internals.
function(onnxforge_strip target)
  target_link_options(${target} PRIVATE $<$<CONFIG:Release,MinSizeRel>:LINKER:--strip-all>)
endfunction()
