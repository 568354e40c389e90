// Thread-local variables before API 29: the compiler calls this function for the address of one.
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/attributes.h"

namespace {

// What the compiler writes for each variable.
struct Variable {
  size_t size, alignment;
  size_t key;           // ours: that of pthread and 1, or 0 before the first use
  const void* initial;  // null for zeroes
};

pthread_mutex_t g_mutex;
// For threads that there is no memory for: they share it.
alignas(16) char g_shared[1024];

size_t key_of(Variable* variable) {
  size_t key = __atomic_load_n(&variable->key, __ATOMIC_ACQUIRE);
  if (key) return key;
  pthread_mutex_lock(&g_mutex);
  key = variable->key;
  pthread_key_t made;
  if (!key && pthread_key_create(&made, free) == 0) {
    key = static_cast<size_t>(made) + 1;
    __atomic_store_n(&variable->key, key, __ATOMIC_RELEASE);
  }
  pthread_mutex_unlock(&g_mutex);
  return key;
}

}  // namespace

extern "C" __attribute__((visibility("hidden"))) void* __emutls_get_address(Variable* variable) {
  const size_t key = key_of(variable);
  if (!key) return g_shared;
  const auto handle = static_cast<pthread_key_t>(key - 1);
  if (void* found = pthread_getspecific(handle)) return found;
  void* made = calloc(1, variable->size);
  if (!made || pthread_setspecific(handle, made) != 0) {
    free(made);
    return g_shared;
  }
  if (variable->initial) memcpy(made, variable->initial, variable->size);
  return made;
}
