# Builds for macOS and iOS on another machine, with clang, LLVM's linker and no SDK: src/libc
# declares what is used of the system's library, and libSystem.tbd names it to the linker.
# SBN_TARGET: arm64-apple-macos11.0, x86_64-apple-macos11.0, arm64-apple-ios14.0,
# arm64-apple-ios14.0-simulator, x86_64-apple-ios14.0-simulator.
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES SBN_TARGET)
find_program(SBN_CLANG NAMES clang++-19 clang++ REQUIRED)
find_program(SBN_LINKER NAMES ld64.lld-19 ld64.lld REQUIRED)
find_program(SBN_AR NAMES llvm-ar-19 llvm-ar REQUIRED)
find_program(SBN_RANLIB NAMES llvm-ranlib-19 llvm-ranlib REQUIRED)
set(CMAKE_SYSTEM_NAME Darwin)
string(REGEX MATCH "^[^-]+" CMAKE_SYSTEM_PROCESSOR "${SBN_TARGET}")
set(CMAKE_CXX_COMPILER ${SBN_CLANG})
set(CMAKE_CXX_COMPILER_TARGET ${SBN_TARGET})
set(CMAKE_AR ${SBN_AR})
set(CMAKE_RANLIB ${SBN_RANLIB})
set(CMAKE_INSTALL_NAME_TOOL ${CMAKE_COMMAND} -E true)
set(CMAKE_OSX_SYSROOT "")
set(CMAKE_OSX_ARCHITECTURES "")
set(CMAKE_OSX_DEPLOYMENT_TARGET "")
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
set(SBN_OWN_HEADERS ON)
