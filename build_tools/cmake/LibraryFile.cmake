# What a library file really is, read from the file and never from its name or from a wish.
#
# Output: onnxforge_library_linkage, onnxforge_is_import_library, onnxforge_is_position_independent,
#   onnxforge_find_library_files.
include_guard(GLOBAL)

# onnxforge_is_import_library(<archive> <out>): does it stand for a DLL? Its symbol table then has what no other
# library defines: __IMPORT_DESCRIPTOR_<dll>, with MinGW _head_<dll>. The table is the archive's first member and
# alone is read: a search through all of a static protobuf takes a second.
function(onnxforge_is_import_library archive out)
  set(${out} FALSE PARENT_SCOPE)
  if(NOT WIN32) # no other system has them
    return()
  endif()
  file(READ "${archive}" size OFFSET 56 LIMIT 10) # ar's header: the member's size, padded with blanks
  string(STRIP "${size}" size)
  if(NOT size MATCHES "^[0-9]+$") # no member
    return()
  endif()
  math(EXPR table_end "68 + ${size}")
  file(STRINGS "${archive}" marks LIMIT_COUNT 1 LIMIT_INPUT ${table_end}
       REGEX "__IMPORT_DESCRIPTOR_|_head_[A-Za-z0-9_]*_dll")
  if(NOT marks STREQUAL "")
    set(${out} TRUE PARENT_SCOPE)
  endif()
endfunction()

# onnxforge_library_linkage(<file> <out>): static, shared or unknown, from the content.
function(onnxforge_library_linkage file out)
  file(READ "${file}" magic LIMIT 8 HEX)
  if(magic MATCHES "^213c(617263683e0a|7468696e3e0a)$") # "!<arch>\n", "!<thin>\n"
    set(linkage static)
    onnxforge_is_import_library("${file}" is_import)
    if(is_import)
      set(linkage shared)
    endif()
  elseif(magic MATCHES "^7f454c46") # ELF; an object file is not named like a library
    set(linkage shared)
  elseif(magic MATCHES "^(cffaedfe|cefaedfe|cafebabe|feedfacf)") # Mach-O, thin or universal
    set(linkage shared)
    if(file MATCHES "\\.a$") # a universal static archive starts like a universal dylib
      set(linkage static)
    endif()
  else()
    set(linkage unknown)
  endif()
  set(${out} ${linkage} PARENT_SCOPE)
endfunction()

# onnxforge_find_windows_libraries(<prefix> <name> <out-static> <out-shared>): both kinds end in .lib, with and
# without a lib before; those of a Debug build end in d, and no other can be linked into one.
function(onnxforge_find_windows_libraries prefix name out_static out_shared)
  if("${CMAKE_BUILD_TYPE};${CMAKE_CONFIGURATION_TYPES}" MATCHES "^;?Debug;?$")
    set(names "${name}d" "${name}")
  else()
    set(names "${name}")
  endif()
  set(found_static "")
  set(found_shared "")
  foreach(spelt IN LISTS names)
    foreach(file IN ITEMS "${spelt}.lib" "lib${spelt}.lib" "lib${spelt}.a" "lib${spelt}.dll.a")
      if(EXISTS "${prefix}/lib/${file}")
        onnxforge_library_linkage("${prefix}/lib/${file}" linkage)
        list(APPEND found_${linkage} "${prefix}/lib/${file}")
      endif()
    endforeach()
  endforeach()
  foreach(kind IN ITEMS static shared)
    set(first "")
    if(found_${kind})
      list(GET found_${kind} 0 first)
    endif()
    set(${out_${kind}} "${first}" PARENT_SCOPE)
  endforeach()
endfunction()

# onnxforge_find_library_files(<prefix> <name> <out-static> <out-shared>): the two files of that name below
# <prefix>, each empty where there is none; no other folder is searched.
function(onnxforge_find_library_files prefix name out_static out_shared)
  if(WIN32)
    onnxforge_find_windows_libraries("${prefix}" ${name} static shared)
    set(${out_static} "${static}" PARENT_SCOPE)
    set(${out_shared} "${shared}" PARENT_SCOPE)
    return()
  endif()
  set(folders "${prefix}/lib" "${prefix}/lib64")
  if(CMAKE_LIBRARY_ARCHITECTURE)
    list(APPEND folders "${prefix}/lib/${CMAKE_LIBRARY_ARCHITECTURE}")
  endif()
  foreach(kind IN ITEMS static shared)
    string(TOUPPER ${kind} upper)
    set(file)
    set(names "${CMAKE_${upper}_LIBRARY_PREFIX}${name}${CMAKE_${upper}_LIBRARY_SUFFIX}")
    find_library(file NAMES ${names} PATHS ${folders} NO_DEFAULT_PATH NO_CACHE)
    if(NOT file)
      set(file "")
    endif()
    set(${out_${kind}} "${file}" PARENT_SCOPE)
  endforeach()
endfunction()

# onnxforge_is_position_independent(<archive> <out>): can all of it go into a shared object? Asked of the
# linker (0.2 s), because the answer otherwise comes as a relocation error after the long compile.
function(onnxforge_is_position_independent archive out)
  if(WIN32) # its code can be loaded at any address
    set(${out} TRUE PARENT_SCOPE)
    return()
  endif()
  set(probe "${CMAKE_CURRENT_BINARY_DIR}/position-independent${CMAKE_SHARED_LIBRARY_SUFFIX}")
  if(APPLE)
    set(whole -dynamiclib -undefined dynamic_lookup "-Wl,-force_load,${archive}")
  else()
    set(whole -shared -Wl,--whole-archive "${archive}" -Wl,--no-whole-archive)
  endif()
  separate_arguments(flags NATIVE_COMMAND "${CMAKE_CXX_FLAGS}")
  execute_process(COMMAND "${CMAKE_CXX_COMPILER}" ${flags} -o "${probe}" ${whole}
                  RESULT_VARIABLE status OUTPUT_QUIET ERROR_VARIABLE why)
  file(REMOVE "${probe}")
  if(status EQUAL 0)
    set(${out} TRUE PARENT_SCOPE)
  else()
    set(${out} FALSE PARENT_SCOPE)
    string(REGEX MATCH "[^\n]*relocation[^\n]*" relocation "${why}")
    message(VERBOSE "${archive} is not position independent: ${relocation}")
  endif()
endfunction()
