# abseil's headers, by the names that ONNX's CMakeLists.txt asks for. The objects lie in protobuf's libraries.
get_filename_component(_absl_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
foreach(
  _absl_name IN
  ITEMS absl_check absl_log algorithm base bind_front bits btree cleanup cord core_headers debugging die_if_null
        dynamic_annotations flags flat_hash_map flat_hash_set function_ref hash layout log_initialize log_severity
        memory node_hash_map node_hash_set optional span status statusor strings synchronization time type_traits
        utility variant)
  if(NOT TARGET absl::${_absl_name})
    add_library(absl::${_absl_name} INTERFACE IMPORTED)
    set_target_properties(absl::${_absl_name} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${_absl_prefix}/include")
  endif()
endforeach()
unset(_absl_name)
unset(_absl_prefix)
