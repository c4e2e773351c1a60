# protobuf: an installed prefix, or built here by third_party/protobuf.
#
# Input: ONNXFORGE_PROTOBUF_PREFIX, ONNXFORGE_PROTOBUF_SOURCE, ONNX_USE_PROTOBUF_SHARED_LIBS.
# Output: targets protobuf::libprotobuf-lite, protobuf::protoc and, where there is one,
#   protobuf::libprotobuf; ONNXFORGE_PROTOBUF_LINKAGE (static|shared, read from the file),
#   ONNXFORGE_PROTOBUF_VERSION, ONNXFORGE_PROTOBUF_ORIGIN.
include_guard(GLOBAL)
include(LibraryFile)
include(Reproducible)

# Where only one kind of library is there, that one; where both are, what was asked for, and if nothing was,
# the static one unless it cannot go into an extension. What was asked for and is not there is an error.
function(onnxforge_choose_library prefix name out)
  onnxforge_find_library_files("${prefix}" ${name} static shared)
  if(NOT static AND NOT shared)
    message(FATAL_ERROR "No ${name} library in ONNXFORGE_PROTOBUF_PREFIX\n"
                        "  looked at: lib, lib64 and lib/${CMAKE_LIBRARY_ARCHITECTURE} in ${prefix}\n"
                        "  what to do: give the prefix that protobuf was installed to, or none")
  endif()
  set(position_independent FALSE)
  if(static)
    onnxforge_is_position_independent("${static}" position_independent)
  endif()
  if(ONNX_USE_PROTOBUF_SHARED_LIBS STREQUAL "AUTO")
    set(choice "${shared}")
    if(position_independent)
      set(choice "${static}")
    endif()
  elseif(ONNX_USE_PROTOBUF_SHARED_LIBS)
    set(choice "${shared}")
  else()
    set(choice "${static}")
  endif()
  onnxforge_check_choice("${choice}" "${static}" "${shared}" ${position_independent})
  set(${out} "${choice}" PARENT_SCOPE)
endfunction()

# What is not there, or is not what its name says, is an error here and not a surprise at the link.
function(onnxforge_check_choice choice static shared position_independent)
  set(asked "ONNX_USE_PROTOBUF_SHARED_LIBS=${ONNX_USE_PROTOBUF_SHARED_LIBS}")
  set(found "  found: static '${static}', shared '${shared}' in ${ONNXFORGE_PROTOBUF_PREFIX}\n")
  if(static AND NOT position_independent AND (choice STREQUAL static OR NOT choice))
    message(FATAL_ERROR "${static} is not position independent: it cannot go into a Python extension\n"
                        "  asked for: ${asked}\n${found}"
                        "  what to do: build protobuf with -DCMAKE_POSITION_INDEPENDENT_CODE=ON, give a prefix "
                        "with a shared protobuf and ONNX_USE_PROTOBUF_SHARED_LIBS=ON, or give no prefix")
  endif()
  if(NOT choice)
    message(FATAL_ERROR "${asked}, but there is no such library\n${found}"
                        "  what to do: ONNX_USE_PROTOBUF_SHARED_LIBS=AUTO takes what is there")
  endif()
  onnxforge_library_linkage("${choice}" linkage)
  if((linkage STREQUAL "shared" AND NOT choice STREQUAL shared)
     OR (linkage STREQUAL "static" AND NOT choice STREQUAL static) OR linkage STREQUAL "unknown")
    message(FATAL_ERROR "${choice} is, by its content, a library of this kind: ${linkage}\n"
                        "  asked for: ${asked}\n  what to do: give the prefix of an intact protobuf")
  endif()
endfunction()

# onnxforge_protobuf_version(<include-dir> <out>): from the headers, e.g. 3.21.12 or, as C++ counts it, 6.31.1.
function(onnxforge_protobuf_version include_dir out)
  set(header "${include_dir}/google/protobuf/port_def.inc")
  set(newer "${include_dir}/google/protobuf/runtime_version.h") # since 26
  set(line "")
  foreach(file IN ITEMS "${newer}" "${header}")
    if(NOT line AND EXISTS "${file}")
      file(STRINGS "${file}" line REGEX "^#define PROTOBUF_(OSS_)?VERSION [0-9]+" LIMIT_COUNT 1)
    endif()
  endforeach()
  if(NOT line MATCHES "([0-9]+)$")
    message(FATAL_ERROR "No protobuf headers\n  looked at: ${header}, ${newer}\n"
                        "  what to do: install protobuf's headers beside its library (libprotobuf-dev)")
  endif()
  math(EXPR major "${CMAKE_MATCH_1} / 1000000")
  math(EXPR minor "${CMAKE_MATCH_1} / 1000 % 1000")
  math(EXPR patch "${CMAKE_MATCH_1} % 1000")
  set(${out} "${major}.${minor}.${patch}" PARENT_SCOPE)
endfunction()

# protoc writes code for exactly its own version of the headers.
function(onnxforge_check_protoc protoc version)
  execute_process(COMMAND "${protoc}" --version OUTPUT_VARIABLE said RESULT_VARIABLE status)
  string(REGEX MATCH "[0-9]+\\.[0-9.]+" protoc_version "${said}")
  string(REGEX REPLACE "^[0-9]+\\." "" tail "${version}") # protoc ≥ 22 leaves the language's major away
  if(NOT status EQUAL 0 OR NOT (protoc_version STREQUAL version OR protoc_version STREQUAL tail))
    message(FATAL_ERROR "protoc and protobuf's headers are of different versions\n"
                        "  protoc: '${protoc_version}' says ${protoc}\n  headers: ${version}\n"
                        "  what to do: give a prefix whose bin, include and lib come from one installation")
  endif()
endfunction()

function(onnxforge_import_library target file include_dir)
  add_library(${target} UNKNOWN IMPORTED GLOBAL)
  set_target_properties(${target} PROPERTIES IMPORTED_LOCATION "${file}"
                                             INTERFACE_INCLUDE_DIRECTORIES "${include_dir}")
  set_property(TARGET ${target} PROPERTY INTERFACE_LINK_LIBRARIES Threads::Threads)
  onnxforge_library_linkage("${file}" linkage)
  if(WIN32 AND linkage STREQUAL "shared")
    # Data of a DLL is found only by code that was told it is in one.
    set_property(TARGET ${target} PROPERTY INTERFACE_COMPILE_DEFINITIONS PROTOBUF_USE_DLLS)
  endif()
endfunction()

# onnxforge_protobuf_from_prefix(<prefix> <out-library> <out-version>): targets for the files below <prefix>.
# Neither FindProtobuf nor protobuf-config is asked: both look elsewhere too, and mix what they find.
function(onnxforge_protobuf_from_prefix prefix out_library out_version)
  onnxforge_choose_library("${prefix}" protobuf-lite library)
  find_program(protoc NAMES protoc PATHS "${prefix}/bin" "${prefix}/tools/protobuf"
               NO_DEFAULT_PATH NO_CACHE)
  if(NOT protoc)
    message(FATAL_ERROR "No protoc in ONNXFORGE_PROTOBUF_PREFIX\n"
                        "  looked at: bin and tools/protobuf in ${prefix}\n"
                        "  what to do: install protoc to the same prefix (protobuf-compiler)")
  endif()
  onnxforge_protobuf_version("${prefix}/include" version)
  onnxforge_check_protoc("${protoc}" ${version})

  onnxforge_import_library(protobuf::libprotobuf-lite "${library}" "${prefix}/include")
  string(REPLACE "protobuf-lite" "protobuf" full "${library}")
  if(EXISTS "${full}")
    onnxforge_import_library(protobuf::libprotobuf "${full}" "${prefix}/include")
  endif()
  add_executable(protobuf::protoc IMPORTED GLOBAL)
  set_target_properties(protobuf::protoc PROPERTIES IMPORTED_LOCATION "${protoc}")
  set(${out_library} "${library}" PARENT_SCOPE)
  set(${out_version} "${version}" PARENT_SCOPE)
endfunction()

# onnxforge_protobuf_from_source(<out-version>): the recipe, inside this build; static unless asked.
function(onnxforge_protobuf_from_source out_version)
  onnxforge_source(protobuf PROTOBUF_SOURCE)
  set(BUILD_SHARED_LIBS OFF)
  set(PROTOBUF_FULL OFF)
  if(ONNX_USE_PROTOBUF_SHARED_LIBS STREQUAL "ON")
    message(FATAL_ERROR "ONNX_USE_PROTOBUF_SHARED_LIBS=ON, but protobuf is built here, and statically: "
                        "a wheel cannot rely on a library in its build folder\n"
                        "  what to do: give ONNXFORGE_PROTOBUF_PREFIX, or leave it AUTO")
  endif()
  onnxforge_add_recipe(protobuf)
  onnxforge_protobuf_version("${PROTOBUF_SOURCE}/src" version)
  set(${out_version} "${version}" PARENT_SCOPE)
endfunction()

find_package(Threads REQUIRED)
if(ONNXFORGE_PROTOBUF_PREFIX)
  onnxforge_protobuf_from_prefix("${ONNXFORGE_PROTOBUF_PREFIX}" ONNXFORGE_PROTOBUF_ORIGIN
                                 ONNXFORGE_PROTOBUF_VERSION)
  onnxforge_library_linkage("${ONNXFORGE_PROTOBUF_ORIGIN}" ONNXFORGE_PROTOBUF_LINKAGE)
  onnxforge_map_folder("${ONNXFORGE_PROTOBUF_PREFIX}/include/google" google)
else()
  onnxforge_protobuf_from_source(ONNXFORGE_PROTOBUF_VERSION)
  set(ONNXFORGE_PROTOBUF_ORIGIN "built here by third_party/protobuf")
  set(ONNXFORGE_PROTOBUF_LINKAGE static)
endif()
