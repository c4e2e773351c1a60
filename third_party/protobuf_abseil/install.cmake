# Installs what the recipe built: bin/protoc, lib/libprotobuf*, the headers of protobuf, utf8_range and abseil, and
# the CMake packages protobuf, absl and utf8_range, all relative to each other, so that the prefix may be moved.
include(CMakePackageConfigHelpers)

install(TARGETS libprotobuf-lite libprotobuf EXPORT protobuf-targets)
if(PROTOBUF_PROTOC)
  install(PROGRAMS "${PROTOBUF_PROTOC}" DESTINATION "${CMAKE_INSTALL_BINDIR}" RENAME protoc)
else()
  install(TARGETS protoc EXPORT protobuf-targets)
endif()
install(DIRECTORY "${PROTOBUF_SOURCE}/src/google/protobuf" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/google"
        FILES_MATCHING PATTERN "*.h" PATTERN "*.inc" PATTERN "*.proto"
        PATTERN "compiler/*/*" EXCLUDE PATTERN "testdata" EXCLUDE PATTERN "*test*" EXCLUDE PATTERN "testing" EXCLUDE)
install(FILES "${PROTOBUF_SOURCE}/third_party/utf8_range/utf8_range.h"
              "${PROTOBUF_SOURCE}/third_party/utf8_range/utf8_validity.h" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(DIRECTORY "${ABSEIL_CPP_SOURCE}/absl" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        FILES_MATCHING PATTERN "*.h" PATTERN "*.inc" PATTERN "testdata" EXCLUDE PATTERN "testing" EXCLUDE)

# Since 22 protobuf's own files only point to this text, which the archive of a package index leaves out.
install(FILES LICENSE.protobuf DESTINATION "${CMAKE_INSTALL_DATADIR}/licenses/protobuf" RENAME LICENSE)

set(package "${CMAKE_INSTALL_LIBDIR}/cmake/protobuf")
install(EXPORT protobuf-targets NAMESPACE protobuf:: DESTINATION "${package}")
configure_package_config_file(
  ../protobuf/protobuf-config.cmake.in "${PROJECT_BINARY_DIR}/protobuf-config.cmake"
  INSTALL_DESTINATION "${package}" PATH_VARS CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/protobuf-config-version.cmake"
                                 VERSION ${PROTOC_VERSION}.0 COMPATIBILITY AnyNewerVersion)
install(FILES "${PROJECT_BINARY_DIR}/protobuf-config.cmake"
              "${PROJECT_BINARY_DIR}/protobuf-config-version.cmake" DESTINATION "${package}")
foreach(name IN ITEMS absl utf8_range)
  install(FILES ${name}-config.cmake DESTINATION "${CMAKE_INSTALL_LIBDIR}/cmake/${name}")
endforeach()
