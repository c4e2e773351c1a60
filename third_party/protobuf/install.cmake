# Installs what the recipe built: bin/protoc, lib/libprotobuf*, include/google/protobuf and the CMake package
# lib/cmake/protobuf, all relative to each other, so that the prefix may be moved.
include(CMakePackageConfigHelpers)

install(TARGETS libprotobuf-lite EXPORT protobuf-targets)
if(PROTOBUF_FULL)
  install(TARGETS libprotobuf EXPORT protobuf-targets)
endif()
if(PROTOBUF_PROTOC)
  install(PROGRAMS "${PROTOBUF_PROTOC}" DESTINATION "${CMAKE_INSTALL_BINDIR}" RENAME protoc)
else()
  set_target_properties(
    protoc PROPERTIES INSTALL_RPATH
                      "$<IF:$<PLATFORM_ID:Darwin>,@loader_path,$ORIGIN>/../${CMAKE_INSTALL_LIBDIR}")
  install(TARGETS protoc EXPORT protobuf-targets)
endif()

foreach(file IN LISTS PROTOBUF_HEADERS PROTOBUF_PROTOS)
  get_filename_component(folder "google/protobuf/${file}" DIRECTORY)
  install(FILES "${PROTOBUF_SRC}/google/protobuf/${file}"
          DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/${folder}")
endforeach()

set(package "${CMAKE_INSTALL_LIBDIR}/cmake/protobuf")
install(EXPORT protobuf-targets NAMESPACE protobuf:: DESTINATION "${package}")
configure_package_config_file(
  protobuf-config.cmake.in "${PROJECT_BINARY_DIR}/protobuf-config.cmake"
  INSTALL_DESTINATION "${package}" PATH_VARS CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/protobuf-config-version.cmake"
                                 VERSION ${PROTOBUF_VERSION} COMPATIBILITY AnyNewerVersion)
install(FILES "${PROJECT_BINARY_DIR}/protobuf-config.cmake"
              "${PROJECT_BINARY_DIR}/protobuf-config-version.cmake" DESTINATION "${package}")
