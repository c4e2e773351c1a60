# The same sources give the same objects in every folder: paths of this machine are replaced in debug
# information, in __FILE__ and in assertions. Used by this build and by every recipe.
#
# Output: onnxforge_map_folder(<folder> <name>); this build's own source and build folder are mapped already,
#   for the including directory and all below it.
include_guard(GLOBAL)

function(onnxforge_map_folder folder name)
  if(MSVC)
    add_compile_options(/experimental:deterministic "/pathmap:${folder}=${name}")
  else()
    add_compile_options("-ffile-prefix-map=${folder}=${name}")
  endif()
endfunction()

# The later one wins, so that a build folder inside the source folder goes by its own name.
onnxforge_map_folder("${CMAKE_SOURCE_DIR}" source)
onnxforge_map_folder("${CMAKE_BINARY_DIR}" build)
