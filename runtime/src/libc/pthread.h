// What is used of it, for targets whose C library has no headers here.
#pragma once

#include <stdint.h>

#if defined(__ANDROID__) && defined(__LP64__)
using pthread_t = long;
using pthread_key_t = int;
struct pthread_mutex_t {
  int32_t space[10];  // zeroes are an unlocked one
};
struct pthread_cond_t {
  int32_t space[12];
};
#elif defined(__APPLE__)
using pthread_t = struct _opaque_pthread_t*;
using pthread_key_t = unsigned long;
struct pthread_mutex_t {
  long space[8];
};
struct pthread_cond_t {
  long space[6];
};
#elif defined(_WIN32)
using pthread_t = void*;
using pthread_mutex_t = void*;
using pthread_cond_t = void*;
#endif
struct pthread_attr_t;
struct pthread_mutexattr_t;
struct pthread_condattr_t;

#if defined(_WIN32)

#include "base/kernel32.h"

inline int pthread_create(pthread_t* thread, const pthread_attr_t*, void* (*body)(void*),
                          void* argument) {
  // The result, in which the two types of function differ, is not read.
  const auto run = reinterpret_cast<uint32_t (*)(void*)>(reinterpret_cast<void*>(body));
  *thread = CreateThread(nullptr, 0, run, argument, 0, nullptr);
  return *thread ? 0 : 1;
}
inline int pthread_join(pthread_t thread, void**) {
  WaitForSingleObject(thread, UINT32_MAX);
  return CloseHandle(thread) ? 0 : 1;
}
inline int pthread_mutex_init(pthread_mutex_t* mutex, const pthread_mutexattr_t*) {
  *mutex = nullptr;
  return 0;
}
inline int pthread_mutex_destroy(pthread_mutex_t*) { return 0; }
inline int pthread_mutex_lock(pthread_mutex_t* mutex) {
  AcquireSRWLockExclusive(mutex);
  return 0;
}
inline int pthread_mutex_unlock(pthread_mutex_t* mutex) {
  ReleaseSRWLockExclusive(mutex);
  return 0;
}
inline int pthread_cond_init(pthread_cond_t* condition, const pthread_condattr_t*) {
  *condition = nullptr;
  return 0;
}
inline int pthread_cond_destroy(pthread_cond_t*) { return 0; }
inline int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex) {
  return SleepConditionVariableSRW(condition, mutex, UINT32_MAX, 0) ? 0 : 1;
}
inline int pthread_cond_broadcast(pthread_cond_t* condition) {
  WakeAllConditionVariable(condition);
  return 0;
}

#else

extern "C" {
int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*body)(void*),
                   void* argument);
int pthread_join(pthread_t thread, void** result);
int pthread_mutex_init(pthread_mutex_t* mutex, const pthread_mutexattr_t* attributes);
int pthread_mutex_destroy(pthread_mutex_t* mutex);
int pthread_mutex_lock(pthread_mutex_t* mutex);
int pthread_mutex_unlock(pthread_mutex_t* mutex);
int pthread_cond_init(pthread_cond_t* condition, const pthread_condattr_t* attributes);
int pthread_cond_destroy(pthread_cond_t* condition);
int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex);
int pthread_cond_broadcast(pthread_cond_t* condition);
int pthread_key_create(pthread_key_t* key, void (*destroy)(void*));
void* pthread_getspecific(pthread_key_t key);
int pthread_setspecific(pthread_key_t key, const void* value);
}

#endif
