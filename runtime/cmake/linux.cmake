# Linux and Android.

set(PLATFORM_OPTIONS -fno-asynchronous-unwind-tables)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # It makes calls of memset from loops even where there is no libc; clang does not.
  list(APPEND PLATFORM_OPTIONS -fno-tree-loop-distribute-patterns)
endif()
if(PROCESSOR STREQUAL "x86_64")
  list(APPEND PLATFORM_OPTIONS -fcf-protection=none)
elseif(PROCESSOR STREQUAL "aarch64")
  # Android keeps a stack in x18.
  list(APPEND PLATFORM_OPTIONS -mno-outline-atomics -ffixed-x18)
endif()

function(link_operators)
  # Sessions call into the library even after onnxruntime has closed it.
  target_link_options(sbn PRIVATE LINKER:-z,nodelete)
  if(SBN_SANITIZE)
    target_link_options(sbn PRIVATE -fsanitize=${SBN_SANITIZE})
    return()
  endif()
  target_sources(sbn PRIVATE src/base/freestanding.cc)
  target_link_options(
    sbn
    PRIVATE
    -nostdlib
    LINKER:-z,noexecstack
    LINKER:-z,relro
    LINKER:-z,now
    LINKER:-z,max-page-size=16384
    LINKER:--hash-style=both
    LINKER:--build-id=none
    LINKER:--no-undefined)
  target_link_libraries(sbn PRIVATE gcc)
  set_target_properties(sbn PROPERTIES NO_SONAME OFF LINK_FLAGS_RELEASE -s)
endfunction()

function(link_native)
  find_package(Threads REQUIRED)
  file(STRINGS include/sbn.h SBN_ABI REGEX "^#define SBN_ABI ")
  string(REGEX REPLACE "[^0-9]" "" SBN_ABI "${SBN_ABI}")
  set(SBN_SONAME libsbn_native.so.${SBN_ABI})
  set_target_properties(sbn_native_static PROPERTIES OUTPUT_NAME sbn_native)
  set_target_properties(sbn_native PROPERTIES NO_SONAME ON)
  target_link_options(sbn_native PRIVATE LINKER:-soname,${SBN_SONAME})
  foreach(target sbn_native sbn_native_static)
    target_link_libraries(${target} PUBLIC Threads::Threads)
  endforeach()
  if(SBN_SANITIZE)
    target_link_options(sbn_native PRIVATE -fsanitize=${SBN_SANITIZE})
  else()
    # No C++ library is needed: nothing of it is used.
    target_link_options(sbn_native PRIVATE LINKER:--as-needed LINKER:--no-undefined)
    target_sources(sbn_native PRIVATE src/native/old_glibc.cc)
    target_link_options(sbn_native PRIVATE LINKER:--wrap=pthread_create
                        LINKER:--wrap=pthread_join)
    set_target_properties(sbn_native PROPERTIES LINK_FLAGS_RELEASE -s)
  endif()
  include(cmake/install_native.cmake)
endfunction()
