// Runs a network once in the native runtime between two calls of getppid(), which trace.c waits for.
//
//     infer LIBRARY MODEL BYTES ISA
//
// BYTES are those of its input, ISA the kernel set.
#include <dlfcn.h>
#include <sbn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { kWarmUp = 2 };  // the first run allocates

static void* library;

static void* function(const char* name) {
  void* found = dlsym(library, name);
  if (!found) exit(fprintf(stderr, "%s\n", dlerror()));
  return found;
}
#define CALL(name) ((__typeof__(&name))function(#name))

int main(int argc, char** argv) {
  if (argc != 5 || !(library = dlopen(argv[1], RTLD_NOW))) return 2;
  if (CALL(sbn_set_isa)(argv[4])) return 2;
  sbn_model* model = CALL(sbn_model_open)(argv[2]);
  sbn_context* context = model ? CALL(sbn_context_new)(model) : NULL;
  unsigned char* x = malloc(strtoul(argv[3], NULL, 10));
  for (unsigned long i = 0; x && i < strtoul(argv[3], NULL, 10); ++i) x[i] = (unsigned char)(i * 37);
  int failed = !context || !x || CALL(sbn_context_set_input)(context, 0, x);
  const __typeof__(&sbn_context_run) run = CALL(sbn_context_run);
  for (int i = 0; i < kWarmUp && !failed; ++i) failed = run(context, 1);
  getppid();
  failed = failed || run(context, 1);
  getppid();
  if (failed) fprintf(stderr, "%s\n", CALL(sbn_last_error)());
  return failed;
}
