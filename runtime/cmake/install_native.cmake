# Installs libsbn_native for C and C++ programs: the header, both libraries, sbn.pc for pkg-config,
# and a package for CMake's find_package(sbn). A wheel takes none of it, but from the build of one
# it can be installed too: cmake --install FOLDER --component native --prefix PREFIX
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(ONLY_WHEN_NAMED "")
if(DEFINED SKBUILD_STATE)
  set(ONLY_WHEN_NAMED EXCLUDE_FROM_ALL)
endif()
set(PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/sbn)
file(RELATIVE_PATH SBN_PREFIX_FROM_PC /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)

configure_file(cmake/sbn.pc.in sbn.pc @ONLY)
configure_package_config_file(
  cmake/sbnConfig.cmake.in sbnConfig.cmake
  INSTALL_DESTINATION ${PACKAGE_DIR}
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(sbnConfigVersion.cmake COMPATIBILITY SameMinorVersion)

function(install_native destination)
  install(FILES ${ARGN} DESTINATION ${destination} COMPONENT native ${ONLY_WHEN_NAMED})
endfunction()
# The file is named by its ABI here, and beside the Python of a wheel it is not.
install_native(${CMAKE_INSTALL_LIBDIR} $<TARGET_FILE:sbn_native> RENAME ${SBN_SONAME})
install(
  CODE "file(CREATE_LINK ${SBN_SONAME}
        \$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/libsbn_native.so SYMBOLIC)"
  COMPONENT native ${ONLY_WHEN_NAMED})
install_native(${CMAKE_INSTALL_LIBDIR} $<TARGET_FILE:sbn_native_static>)
install_native(${CMAKE_INSTALL_INCLUDEDIR} include/sbn.h)
install_native(${CMAKE_INSTALL_LIBDIR}/pkgconfig ${CMAKE_CURRENT_BINARY_DIR}/sbn.pc)
install_native(${PACKAGE_DIR} ${CMAKE_CURRENT_BINARY_DIR}/sbnConfig.cmake
               ${CMAKE_CURRENT_BINARY_DIR}/sbnConfigVersion.cmake)
