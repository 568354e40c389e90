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
#endif
struct pthread_attr_t;
struct pthread_mutexattr_t;
struct pthread_condattr_t;

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
