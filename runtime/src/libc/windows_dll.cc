// What clang and the linker expect of a C library for Windows, where none is linked.
#include "base/attributes.h"
#include "base/kernel32.h"

namespace {

using Constructor = void (*)();

// The linker puts the constructors of global values, which the compiler calls .CRT$XCU, between
// them.
__attribute__((section(".CRT$XCA"))) const Constructor g_first = nullptr;
__attribute__((section(".CRT$XCZ"))) const Constructor g_last = nullptr;

}  // namespace

extern "C" {

// Asked for by code that computes with floats.
int _fltused = 0;

// Called when the library is loaded, and when a thread begins or ends.
int _DllMainCRTStartup(void*, uint32_t reason, void*) {
  constexpr uint32_t kLoaded = 1, kAddressInModule = 4, kPin = 1;
  if (reason != kLoaded) return 1;
  const Constructor* const volatile end = &g_last;
  for (const Constructor* at = &g_first + 1; at < end; ++at) (*at)();
  // Sessions call into the library even after onnxruntime has closed it: it stays.
  void* module;
  return GetModuleHandleExW(kAddressInModule | kPin, reinterpret_cast<const wchar_t*>(&_fltused),
                            &module);
}
}

// Functions with frames of more than a page call it before they move the stack pointer: a thread's
// stack grows by the page below that is touched. x86-64 gives the bytes in rax, and may lose r10
// and r11; ARM gives units of 16 bytes in x15, and may lose x16 and x17.
#if SBN_X86
__asm__(R"(
    .text
    .globl __chkstk
__chkstk:
    leaq 8(%rsp), %r10
    movq %rax, %r11
1:  cmpq $4096, %r11
    jbe 2f
    subq $4096, %r10
    subq $4096, %r11
    orb $0, (%r10)
    jmp 1b
2:  subq %r11, %r10
    orb $0, (%r10)
    retq
)");
#elif SBN_ARM64
__asm__(R"(
    .text
    .globl __chkstk
__chkstk:
    mov x16, sp
    sub x17, x16, x15, lsl #4
1:  sub x16, x16, #4096
    cmp x16, x17
    b.ls 2f
    ldr xzr, [x16]
    b 1b
2:  ldr xzr, [x17]
    ret
)");
#endif
