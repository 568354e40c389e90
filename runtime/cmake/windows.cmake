# 64-bit Windows, with clang++ and lld-link. No SDK is used, there or elsewhere: src/libc has what
# there is of a C library, on kernel32.dll alone.

if(MSVC OR NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  message(FATAL_ERROR "On Windows clang++ builds it: cmake -G Ninja -DCMAKE_CXX_COMPILER=clang++")
endif()
set(CMAKE_MSVC_RUNTIME_LIBRARY "")
set(CMAKE_CXX_STANDARD_LIBRARIES "")
add_compile_options(-nostdlibinc -isystem ${PROJECT_SOURCE_DIR}/src/libc)

# Who walks a stack, as a debugger does, needs unwind tables there.
set(PLATFORM_OPTIONS -fasynchronous-unwind-tables)

# What links a library with kernel32.dll.
find_program(SBN_LIBRARIAN NAMES llvm-lib-19 llvm-lib REQUIRED)
if(PROCESSOR STREQUAL "aarch64")
  set(machine arm64)
else()
  set(machine x64)
endif()
set(KERNEL32 ${CMAKE_CURRENT_BINARY_DIR}/kernel32.lib)
add_custom_command(
  OUTPUT ${KERNEL32}
  COMMAND ${SBN_LIBRARIAN} /nologo /machine:${machine} /out:${KERNEL32}
          /def:${PROJECT_SOURCE_DIR}/src/libc/kernel32.def
  DEPENDS src/libc/kernel32.def
  VERBATIM)
add_custom_target(kernel32 DEPENDS ${KERNEL32})

# Exported are the functions of sbn.h: by sbn.dll those in front of this text, by sbn_native.dll all
# but RegisterCustomOps.
file(READ include/sbn.h header)
string(FIND "${header}" "\n/* libsbn_native" middle)
function(exports begin length to)
  string(SUBSTRING "${header}" ${begin} ${length} part)
  string(REGEX MATCHALL "\n[a-z][^\n(]*[ *][A-Za-z_]+\\(" found "${part}")
  list(TRANSFORM found REPLACE "^.*[ *]([A-Za-z_]+)\\(" "LINKER:/export:\\1")
  set(${to} ${found} PARENT_SCOPE)
endfunction()

function(link_dll target exported)
  target_sources(${target} PRIVATE src/base/freestanding.cc src/libc/windows_dll.cc ${ARGN})
  target_compile_options(${target} PRIVATE -ffreestanding ${PLATFORM_OPTIONS})
  target_include_directories(${target} PRIVATE src)
  target_link_options(${target} PRIVATE LINKER:/nodefaultlib LINKER:/brepro ${exported})
  target_link_libraries(${target} PRIVATE ${KERNEL32})
  add_dependencies(${target} kernel32)
endfunction()

function(link_operators)
  exports(0 ${middle} exported)
  link_dll(sbn "${exported}")
endfunction()

function(link_native)
  exports(0 -1 exported)
  list(REMOVE_ITEM exported LINKER:/export:RegisterCustomOps)
  target_compile_options(sbn_native_objects PRIVATE -ffreestanding ${PLATFORM_OPTIONS})
  link_dll(sbn_native "${exported}" src/libc/text.cc src/libc/windows.cc)
endfunction()
