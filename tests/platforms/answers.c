/* answers LIBRARY OUT MODEL...: runs models in a native runtime with every kernel set of this machine,
 * on one thread and on two, and writes the bytes of all outputs to OUT.
 *
 * Inputs are made here, the same everywhere. With RUNS in the environment each model runs so many
 * times, and its best time goes to standard error. */
#include "sbn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "library.h"

#define FUNCTIONS(_)                                                              \
  _(int, sbn_isa_available, (const char*))                                        \
  _(int, sbn_set_isa, (const char*))                                              \
  _(const char*, sbn_last_error, (void))                                          \
  _(const char*, sbn_version, (void))                                             \
  _(sbn_model*, sbn_model_open, (const char*))                                    \
  _(void, sbn_model_free, (sbn_model*))                                           \
  _(size_t, sbn_model_inputs, (const sbn_model*))                                 \
  _(size_t, sbn_model_outputs, (const sbn_model*))                                \
  _(int, sbn_model_input, (const sbn_model*, size_t, sbn_tensor*))                \
  _(sbn_context*, sbn_context_new, (const sbn_model*))                            \
  _(void, sbn_context_free, (sbn_context*))                                       \
  _(int, sbn_context_set_threads, (sbn_context*, int))                            \
  _(int, sbn_context_set_input, (sbn_context*, size_t, const void*))              \
  _(int, sbn_context_set_number, (sbn_context*, size_t, int64_t))                 \
  _(int, sbn_context_run, (sbn_context*, int64_t))                                \
  _(const void*, sbn_context_output, (const sbn_context*, size_t, sbn_tensor*))   \
  _(int, sbn_model_fit, (const sbn_model*, const sbn_picture*, uint8_t*, size_t)) \
  _(int, sbn_model_normalise, (const sbn_model*, const uint8_t*, void*, size_t))  \
  _(int, sbn_model_calibrate, (const sbn_model*, int64_t, float*, size_t))

#define DECLARE(result, name, arguments) static result(*the_##name) arguments;
FUNCTIONS(DECLARE)

static void fail(const char* what, const char* why) {
  fprintf(stderr, "answers: %s: %s\n", what, why);
  exit(1);
}

static size_t bytes_of(const sbn_tensor* tensor, int64_t batch) {
  static const size_t widths[] = {[SBN_FLOAT32] = 4, [SBN_UINT8] = 1,  [SBN_INT8] = 1,
                                  [SBN_INT16] = 2,   [SBN_INT32] = 4,  [SBN_INT64] = 8,
                                  [SBN_BOOL] = 1,    [SBN_UINT64] = 8};
  size_t bytes = widths[tensor->type];
  for (int i = 0; i < tensor->rank; ++i) {
    bytes *= (size_t)(tensor->shape[i] < 0 ? batch : tensor->shape[i]);
  }
  return bytes;
}

/* Bytes from 0 to 255, or floats from -2 to 2. */
static void* made(const sbn_tensor* tensor, int64_t batch) {
  const size_t bytes = bytes_of(tensor, batch);
  unsigned char* data = malloc(bytes);
  uint32_t x = 12345;
  for (size_t i = 0; i < bytes; i += tensor->type == SBN_FLOAT32 ? 4 : 1) {
    x = x * 1664525u + 1013904223u;
    const float value = (float)(int32_t)x / 1073741824.0f;
    if (tensor->type == SBN_FLOAT32) {
      memcpy(data + i, &value, sizeof value);
    } else {
      data[i] = (unsigned char)(x >> 24);
    }
  }
  return data;
}

/* What a picture becomes in a classifier of three classes, and probabilities when calibrated. */
static void classify(const sbn_model* model, FILE* out) {
  enum { WIDTH = 37, HEIGHT = 23, CHANNELS = 4, CLASSES = 3 };
  sbn_tensor picture = {.type = SBN_UINT8, .rank = 1, .shape = {WIDTH * HEIGHT * CHANNELS}};
  sbn_tensor input;
  the_sbn_model_input(model, 0, &input);
  const size_t bytes = bytes_of(&input, 1);
  const size_t size = input.type == SBN_FLOAT32 ? bytes / sizeof(float) : bytes;
  uint8_t* pixels = malloc(size);
  void *colours = made(&picture, 1), *data = malloc(bytes);
  const sbn_picture given = {colours, WIDTH, HEIGHT, CHANNELS, 6};
  if (the_sbn_model_fit(model, &given, pixels, size) == 0) {
    if (the_sbn_model_normalise(model, pixels, data, bytes)) fail("normalise", the_sbn_last_error());
    fwrite(pixels, 1, size, out);
    fwrite(data, 1, bytes, out);
    float probabilities[CLASSES] = {0.2f, 0.7f, 0.1f};
    if (the_sbn_model_calibrate(model, 2, probabilities, CLASSES)) {
      fail("calibrate", the_sbn_last_error());
    }
    fwrite(probabilities, sizeof(float), CLASSES, out);
  }
  free(pixels), free(colours), free(data);
}

static void time_runs(sbn_context* context, int64_t batch, const char* path, int threads) {
  const char* runs = getenv("RUNS");
  double best = 1e30;
  for (int i = 0; runs && i < atoi(runs); ++i) {
    const double begin = microseconds();
    the_sbn_context_run(context, batch);
    const double took = microseconds() - begin;
    if (took < best) best = took;
  }
  if (runs) fprintf(stderr, "%s: %.1f us on %d threads\n", path, best, threads);
}

static void run(const char* path, int threads, FILE* out) {
  const int64_t batch = 3;
  sbn_model* model = the_sbn_model_open(path);
  if (!model) fail("cannot load", the_sbn_last_error());
  sbn_context* context = the_sbn_context_new(model);
  if (!context || the_sbn_context_set_threads(context, threads)) fail(path, the_sbn_last_error());
  const size_t inputs = the_sbn_model_inputs(model);
  void** given = calloc(inputs, sizeof *given);
  for (size_t i = 0; i < inputs; ++i) {
    sbn_tensor tensor;
    the_sbn_model_input(model, i, &tensor);
    if (tensor.rank == 0 && tensor.type == SBN_INT64) {
      /* Noise: its seed; how many samples stays as the file says. */
      if (strcmp(tensor.name, "seed") == 0) the_sbn_context_set_number(context, i, 99);
      continue;
    }
    given[i] = made(&tensor, batch);
    if (the_sbn_context_set_input(context, i, given[i])) fail(path, the_sbn_last_error());
  }
  if (the_sbn_context_run(context, batch)) fail(path, the_sbn_last_error());
  time_runs(context, batch, path, threads);
  for (size_t i = 0; i < the_sbn_model_outputs(model); ++i) {
    sbn_tensor tensor;
    const void* data = the_sbn_context_output(context, i, &tensor);
    if (!data) fail(path, the_sbn_last_error());
    fwrite(data, 1, bytes_of(&tensor, batch), out);
  }
  classify(model, out);
  the_sbn_context_free(context);
  the_sbn_model_free(model);
  for (size_t i = 0; i < inputs; ++i) free(given[i]);
  free(given);
}

int main(int argc, char** argv) {
  static const char* const sets[] = {"scalar", "avx2", "avx512bw", "avx512", "neon", "neon_lut2"};
  if (argc < 4) fail("usage", "answers LIBRARY OUT MODEL...");
  Library* library = library_open(argv[1]);
  if (!library) fail("cannot load", argv[1]);
#define FIND(result, name, arguments)                                  \
  the_##name = (result(*) arguments)library_symbol(library, #name);    \
  if (!the_##name) fail("not in the library", #name);
  FUNCTIONS(FIND)
  FILE* out = fopen(argv[2], "wb");
  for (size_t s = 0; s < sizeof sets / sizeof *sets; ++s) {
    if (!the_sbn_isa_available(sets[s])) continue;
    the_sbn_set_isa(sets[s]);
    printf("%s ", sets[s]);
    for (int i = 3; i < argc; ++i) {
      for (int threads = 1; threads <= 2; ++threads) run(argv[i], threads, out);
    }
  }
  fclose(out);
  /* What a path that leads nowhere says. */
  if (the_sbn_model_open("none.onnx")) fail("loaded", "none.onnx");
  printf("\n%s\n%s\n", the_sbn_version(), the_sbn_last_error());
  return 0;
}
