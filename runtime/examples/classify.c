/* Classifies one image with a model of `sbn export`, without onnxruntime.
 *
 *   cc -std=c11 -O2 classify.c -I INCLUDE libsbn_native.a -o classify
 *   ./classify digits.onnx image.raw [RUNS]
 *
 * INCLUDE is the folder of sbn.h. The image is a file of nothing but numbers, as many and of the
 * type that the model takes: bytes [height, width, channels] for a model that takes pixels, else
 * 32-bit floats [channels, height, width], normalised. `sbn bundle` writes down which.
 */
#include <sbn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void fail(const char* what, const char* why) {
  fprintf(stderr, "classify: %s: %s\n", what, why);
  exit(1);
}

static double now_us(void) {
  struct timespec time;
  timespec_get(&time, TIME_UTC);
  return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static int compare_times(const void* left, const void* right) {
  const double a = *(const double*)left, b = *(const double*)right;
  return (a > b) - (a < b);
}

/* The bytes of a file that must hold exactly `size` of them. */
static void* read_file(const char* path, size_t size) {
  FILE* file = fopen(path, "rb");
  if (!file) fail(path, "cannot be opened");
  void* data = malloc(size);
  if (!data) fail(path, "out of memory");
  if (fread(data, 1, size, file) != size || fgetc(file) != EOF) {
    char why[64];
    snprintf(why, sizeof why, "the model takes exactly %zu bytes", size);
    fail(path, why);
  }
  fclose(file);
  return data;
}

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    fprintf(stderr, "usage: classify MODEL IMAGE [RUNS]\n");
    return 2;
  }
  const long runs = argc > 3 ? strtol(argv[3], NULL, 10) : 100;
  if (runs < 1 || runs > 1000000) fail(argv[3], "is no number of runs");
  sbn_model* model = sbn_model_open(argv[1]);
  if (!model) fail("sbn", sbn_last_error());
  sbn_context* context = sbn_context_new(model);
  if (!context) fail("sbn", sbn_last_error());

  sbn_tensor input;
  if (sbn_model_input(model, 0, &input)) fail("sbn", sbn_last_error());
  size_t size = input.type == SBN_UINT8 ? 1 : sizeof(float);
  for (int i = 1; i < input.rank; ++i) size *= (size_t)input.shape[i];
  void* image = read_file(argv[2], size);
  if (sbn_context_set_input(context, 0, image)) fail("sbn", sbn_last_error());

  double* times = malloc((size_t)runs * sizeof *times);
  if (!times) fail(argv[3], "out of memory");
  for (long run = 0; run < runs; ++run) {
    const double start = now_us();
    if (sbn_context_run(context, 1)) fail("sbn", sbn_last_error());
    times[run] = now_us() - start;
  }

  for (size_t i = 0; i < sbn_model_outputs(model); ++i) {
    sbn_tensor output;
    const float* probabilities = sbn_context_output(context, i, &output);
    if (!probabilities) fail("sbn", sbn_last_error());
    if (strcmp(output.name, "probabilities") != 0) continue;
    int64_t best = 0;
    for (int64_t c = 1; c < output.shape[1]; ++c) {
      if (probabilities[c] > probabilities[best]) best = c;
    }
    printf("class %lld, probability %.6f\n", (long long)best, (double)probabilities[best]);
  }
  qsort(times, (size_t)runs, sizeof *times, compare_times);
  printf("median of %ld runs: %.1f us\n", runs, times[runs / 2]);

  free(times);
  free(image);
  sbn_context_free(context);
  sbn_model_free(model);
  return 0;
}
