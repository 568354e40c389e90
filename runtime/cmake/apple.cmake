# macOS and iOS: with Apple's own compiler, or with clang-apple.cmake on another machine.

if(SBN_OWN_HEADERS)
  add_compile_options(-nostdlibinc -isystem ${PROJECT_SOURCE_DIR}/src/libc)
  # In place of Apple's linker, whose version CMake would ask for.
  set(PLATFORM_LINK_OPTIONS -fuse-ld=${SBN_LINKER} -mlinker-version=907 -nostdlib
                            LINKER:-fixup_chains
                            LINKER:-needed_library,${PROJECT_SOURCE_DIR}/src/libc/libSystem.tbd)
endif()

function(link_operators)
  set_target_properties(sbn PROPERTIES INSTALL_NAME_DIR @rpath BUILD_WITH_INSTALL_NAME_DIR ON)
  target_link_options(sbn PRIVATE ${PLATFORM_LINK_OPTIONS} LINKER:-dead_strip LINKER:-x)
endfunction()

function(link_native)
  set_target_properties(sbn_native_static PROPERTIES OUTPUT_NAME sbn_native)
  set_target_properties(sbn_native PROPERTIES INSTALL_NAME_DIR @rpath
                                              BUILD_WITH_INSTALL_NAME_DIR ON)
  target_link_options(sbn_native PRIVATE ${PLATFORM_LINK_OPTIONS} LINKER:-dead_strip LINKER:-x)
endfunction()
