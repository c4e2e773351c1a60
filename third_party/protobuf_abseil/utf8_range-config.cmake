# The headers of protobuf's own UTF-8 check. Its object lies in protobuf's libraries.
get_filename_component(_utf8_range_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
foreach(_utf8_range_name IN ITEMS utf8_range utf8_validity)
  if(NOT TARGET utf8_range::${_utf8_range_name})
    add_library(utf8_range::${_utf8_range_name} INTERFACE IMPORTED)
    set_target_properties(utf8_range::${_utf8_range_name} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES
                                                                     "${_utf8_range_prefix}/include")
  endif()
endforeach()
unset(_utf8_range_name)
unset(_utf8_range_prefix)
