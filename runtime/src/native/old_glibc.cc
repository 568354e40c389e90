// Since glibc 2.34 two functions have a second version, in which the linker binds them by default.
// The shared library asks for the first one, which every glibc has: what is built on a new system
// runs on an old one. The linker sends calls of them here (--wrap).
#include <pthread.h>

#if defined(__GLIBC__) && defined(__x86_64__)
#define SBN_FIRST "GLIBC_2.2.5"
#elif defined(__GLIBC__) && defined(__aarch64__)
#define SBN_FIRST "GLIBC_2.17"
#endif

extern "C" {
#ifdef SBN_FIRST
__asm__(".symver first_pthread_create, pthread_create@" SBN_FIRST);
__asm__(".symver first_pthread_join, pthread_join@" SBN_FIRST);
#else
#define first_pthread_create __real_pthread_create
#define first_pthread_join __real_pthread_join
#endif

int first_pthread_create(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
int first_pthread_join(pthread_t, void**);

int __wrap_pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                          void* (*body)(void*), void* argument) {
  return first_pthread_create(thread, attributes, body, argument);
}

int __wrap_pthread_join(pthread_t thread, void** result) {
  return first_pthread_join(thread, result);
}
}
