# sbn-runtime.zip: the library for the machines that phones and emulators have, the classes around
# it, and for C and C++ the header and what makes a package of it that the NDK's tools find (prefab).
# `sbn bundle` makes sbn-runtime.aar of it, which has each library a second time, in that package.
include(ExternalProject)
find_program(SBN_JAVAC javac REQUIRED)
get_filename_component(JDK ${SBN_JAVAC} DIRECTORY)
find_program(SBN_JAR jar HINTS ${JDK} REQUIRED)
get_filename_component(ANDROID ${SBN_ANDROID_DIR} ABSOLUTE BASE_DIR ${CMAKE_CURRENT_BINARY_DIR})
set(SBN_ANDROID_API 26)
set(SOURCE ${CMAKE_CURRENT_SOURCE_DIR}/android)
set(ARCHIVE ${ANDROID}/archive)
set(PREFAB ${ARCHIVE}/prefab/modules/sbn_native)
set(COPY ${CMAKE_COMMAND} -E copy_if_different)

# 32-bit ARM is not among them: code for it calls functions of a compiler's library that only the NDK
# has.
set(MACHINES aarch64 x86_64)
set(ABIS arm64-v8a x86_64)
set(COPY_LIBRARIES "")
foreach(MACHINE ABI IN ZIP_LISTS MACHINES ABIS)
  ExternalProject_Add(
    android-${MACHINE}
    SOURCE_DIR ${CMAKE_CURRENT_SOURCE_DIR}
    BINARY_DIR ${ANDROID}/${MACHINE}
    CMAKE_ARGS
      -DCMAKE_TOOLCHAIN_FILE=${CMAKE_CURRENT_SOURCE_DIR}/cmake/android.cmake
      -DCMAKE_SYSTEM_PROCESSOR=${MACHINE}
      -DSBN_ANDROID_API=${SBN_ANDROID_API}
      -DCMAKE_BUILD_TYPE=${CMAKE_BUILD_TYPE}
      -DSKBUILD_PROJECT_VERSION=${PROJECT_VERSION}
    BUILD_ALWAYS ON
    INSTALL_COMMAND "")
  set(LIBRARY ${ANDROID}/${MACHINE}/libsbn_native.so)
  list(APPEND COPY_LIBRARIES
       COMMAND ${COPY} ${LIBRARY} ${ARCHIVE}/jni/${ABI}/libsbn_native.so)
  configure_file(${SOURCE}/archive/abi.json.in ${PREFAB}/libs/android.${ABI}/abi.json @ONLY)
  file(MAKE_DIRECTORY ${ARCHIVE}/jni/${ABI})
endforeach()

configure_file(${SOURCE}/archive/AndroidManifest.xml.in ${ARCHIVE}/AndroidManifest.xml @ONLY)
configure_file(${SOURCE}/archive/prefab.json.in ${ARCHIVE}/prefab/prefab.json @ONLY)
configure_file(${SOURCE}/archive/module.json ${PREFAB}/module.json COPYONLY)
configure_file(${SOURCE}/archive/proguard.txt ${ARCHIVE}/proguard.txt COPYONLY)
configure_file(${SOURCE}/archive/aar-metadata.properties
               ${ARCHIVE}/META-INF/com/android/build/gradle/aar-metadata.properties COPYONLY)
configure_file(include/sbn.h ${PREFAB}/include/sbn.h COPYONLY)
configure_file(../LICENSE ${ARCHIVE}/LICENSE COPYONLY)
file(WRITE ${ARCHIVE}/R.txt "")
file(MAKE_DIRECTORY ${ANDROID}/classes)

# For Java 8, and with its library alone: that much Android has since API 26.
file(GLOB JAVA_SOURCES CONFIGURE_DEPENDS ${SOURCE}/java/sbn/runtime/*.java)
# The archiver of the JDK: that of CMake notes when files were read.
set(ZIP ${SBN_JAR} --create --no-manifest --date=1980-01-02T00:00:00Z --file)
set(CONTENT "")
foreach(NAME AndroidManifest.xml LICENSE META-INF R.txt classes.jar jni prefab proguard.txt)
  list(APPEND CONTENT -C ${ARCHIVE} ${NAME})
endforeach()
add_custom_target(
  aar ALL
  ${COPY_LIBRARIES}
  COMMAND ${SBN_JAVAC} --release 8 -Xlint:all,-options -Werror -d ${ANDROID}/classes ${JAVA_SOURCES}
  COMMAND ${ZIP} ${ARCHIVE}/classes.jar -C ${ANDROID}/classes sbn
  COMMAND ${ZIP} ${ANDROID}/sbn-runtime.zip ${CONTENT}
  DEPENDS android-aarch64 android-x86_64
  VERBATIM)
install(
  FILES ${ANDROID}/sbn-runtime.zip
  DESTINATION sbn_deploy/libraries/android
  COMPONENT android)
