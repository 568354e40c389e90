# sbn_native.xcframework: the native runtime as a static library for iPhones and iPads, and for the
# simulators of both kinds of Mac. It is static because an app then has nothing to embed or to sign.
include(ExternalProject)
find_program(SBN_LIPO NAMES llvm-lipo-19 llvm-lipo REQUIRED)
get_filename_component(IOS ${SBN_IOS_DIR} ABSOLUTE BASE_DIR ${CMAKE_CURRENT_BINARY_DIR})
set(XCFRAMEWORK ${IOS}/sbn_native.xcframework)
set(DEVICE ${XCFRAMEWORK}/ios-arm64)
set(SIMULATOR ${XCFRAMEWORK}/ios-arm64_x86_64-simulator)

set(TRIPLES arm64-apple-ios14.0 arm64-apple-ios14.0-simulator x86_64-apple-ios14.0-simulator)
foreach(TRIPLE IN LISTS TRIPLES)
  ExternalProject_Add(
    ${TRIPLE}
    SOURCE_DIR ${CMAKE_CURRENT_SOURCE_DIR}
    BINARY_DIR ${IOS}/${TRIPLE}
    CMAKE_ARGS
      -DCMAKE_TOOLCHAIN_FILE=${CMAKE_CURRENT_SOURCE_DIR}/cmake/clang-apple.cmake
      -DSBN_TARGET=${TRIPLE}
      -DSBN_NATIVE=ON
      -DCMAKE_BUILD_TYPE=${CMAKE_BUILD_TYPE}
      -DSKBUILD_PROJECT_VERSION=${PROJECT_VERSION}
    BUILD_COMMAND ${CMAKE_COMMAND} --build . --target sbn_native_static
    BUILD_ALWAYS ON
    INSTALL_COMMAND "")
endforeach()

configure_file(ios/Info.plist ${XCFRAMEWORK}/Info.plist COPYONLY)
foreach(SLICE IN LISTS DEVICE SIMULATOR)
  # In a folder named as the module: Xcode puts the headers of all frameworks into one.
  foreach(HEADER include/sbn.h ios/module.modulemap)
    get_filename_component(NAME ${HEADER} NAME)
    configure_file(${HEADER} ${SLICE}/Headers/sbn_native/${NAME} COPYONLY)
  endforeach()
endforeach()
add_custom_target(
  xcframework ALL
  COMMAND ${CMAKE_COMMAND} -E copy_if_different ${IOS}/arm64-apple-ios14.0/libsbn_native.a ${DEVICE}
  COMMAND ${SBN_LIPO} -create -output ${SIMULATOR}/libsbn_native.a
          ${IOS}/arm64-apple-ios14.0-simulator/libsbn_native.a
          ${IOS}/x86_64-apple-ios14.0-simulator/libsbn_native.a
  DEPENDS ${TRIPLES}
  VERBATIM)
install(
  DIRECTORY ${XCFRAMEWORK}
  DESTINATION sbn_deploy/libraries/ios
  COMPONENT ios)
