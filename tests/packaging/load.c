/* Loads the library that it is given and uses it, also after closing it. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>

#include "sbn.h"

/* An onnxruntime too old for the library: it has version 1 of the API only, and of that
 * what makes an error. */
struct OrtStatus {
  char message[200];
};

static struct OrtStatus status;

static struct OrtStatus* create_status(int code, const char* message) {
  (void)code;
  snprintf(status.message, sizeof status.message, "%s", message);
  return &status;
}

typedef struct OrtStatus* CreateStatus(int, const char*);

static CreateStatus* const table[] = {create_status};

static const void* get_api(uint32_t version) { return version == 1 ? table : NULL; }

static const char* get_version(void) { return "1.2.3"; }

struct OrtApiBase {
  const void* (*get_api)(uint32_t version);
  const char* (*get_version)(void);
};

static void* function(void* library, const char* name) {
  void* found = dlsym(library, name);
  if (!found) fprintf(stderr, "%s\n", dlerror());
  return found;
}

int main(int argc, char** argv) {
  void* library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  if (!library) {
    fprintf(stderr, "%s\n", argc == 2 ? dlerror() : "usage: load LIBRARY");
    return 1;
  }
  const char* (*version)(void);
  const char* (*isa)(void);
  int (*available)(const char*);
  int (*set)(const char*);
  struct OrtStatus* (*register_ops)(struct OrtSessionOptions*, const struct OrtApiBase*);
  *(void**)&version = function(library, "sbn_version");
  *(void**)&isa = function(library, "sbn_isa");
  *(void**)&available = function(library, "sbn_isa_available");
  *(void**)&set = function(library, "sbn_set_isa");
  *(void**)&register_ops = function(library, "RegisterCustomOps");
  if (!version || !isa || !available || !set || !register_ops) return 1;
  dlclose(library);

  printf("%s %s\n", version(), isa());
  printf("%d %d\n", available("scalar"), available("nonsense"));
  const int unknown = set("nonsense"), known = set("scalar");
  printf("%d %d %s\n", unknown, known, isa());
  const struct OrtApiBase base = {get_api, get_version};
  printf("%s\n", register_ops(NULL, &base)->message);
  return 0;
}
