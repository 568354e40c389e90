# Builds for Android, with clang and LLVM's linker alone: src/libc has the declarations of a C
# library, android/CMakeLists.txt what stands for bionic when linking. CMake's own support of the
# system wants an NDK. The machine is given, -DCMAKE_SYSTEM_PROCESSOR=aarch64 or x86_64, and the
# oldest API, -DSBN_ANDROID_API=26.
find_program(SBN_CLANG NAMES clang++-19 clang++ REQUIRED)
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_CXX_COMPILER ${SBN_CLANG})
set(CMAKE_CXX_COMPILER_TARGET ${CMAKE_SYSTEM_PROCESSOR}-linux-android${SBN_ANDROID_API})
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES CMAKE_SYSTEM_PROCESSOR SBN_ANDROID_API)
