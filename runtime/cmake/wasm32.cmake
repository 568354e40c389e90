# Builds for WebAssembly, with clang and LLVM's linker alone: src/libc and src/wasm have what the runtime
# needs of a C library.
find_program(SBN_CLANG NAMES clang++-19 clang++ REQUIRED)
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR wasm32)
set(CMAKE_CXX_COMPILER ${SBN_CLANG})
set(CMAKE_CXX_COMPILER_TARGET wasm32)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
