# The same sources give the same objects in every folder: paths of this machine are replaced in debug
# information, in __FILE__ and in assertions. Used by this build and by every recipe.
#
# Output: onnxforge_map_folder(<folder> <name>); this build's own source and build folder are mapped already,
#   for the including directory and all below it.
include_guard(GLOBAL)

function(onnxforge_map_folder folder name)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "MSVC")
    # Paths are compared as they stand on the command line, where CMake writes them with backslashes.
    file(TO_NATIVE_PATH "${folder}" native)
    add_compile_options(/experimental:deterministic "/pathmap:${native}=${name}")
  elseif(MSVC) # clang-cl
    add_compile_options("/clang:-ffile-prefix-map=${folder}=${name}")
  else()
    add_compile_options("-ffile-prefix-map=${folder}=${name}")
  endif()
endfunction()

if(MSVC)
  add_link_options(/Brepro) # a digest in the place of the time of day
endif()

# The later one wins, so that a build folder inside the source folder goes by its own name.
onnxforge_map_folder("${CMAKE_SOURCE_DIR}" source)
onnxforge_map_folder("${CMAKE_BINARY_DIR}" build)
