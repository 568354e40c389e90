/* Runs a model of `sbn export`, of whatever task. It needs libsbn_native and a C library.
 *
 *   cc -std=c11 -O2 run.c $(pkg-config --cflags --libs sbn) -o run
 *   ./run model.onnx x0.raw [x1.raw ...]
 *
 * There is a file for each input, with the numbers of one example as the model takes them, in its
 * type. It prints the name of each output, and below it its numbers.
 */
#include <sbn.h>
#include <stdio.h>
#include <stdlib.h>

static void fail(const char* what, const char* why) {
  fprintf(stderr, "run: %s: %s\n", what, why);
  exit(1);
}

static void check(int failed) {
  if (failed) fail("sbn", sbn_last_error());
}

static size_t bytes_of(int32_t type) {
  switch (type) {
    case SBN_UINT8:
    case SBN_INT8:
    case SBN_BOOL: return 1;
    case SBN_INT16: return 2;
    case SBN_FLOAT32:
    case SBN_INT32: return 4;
    default: return 8;
  }
}

/* How many numbers there are in a batch of one. */
static size_t count_of(const sbn_tensor* tensor) {
  size_t count = 1;
  for (int32_t i = 0; i < tensor->rank; ++i) {
    count *= (size_t)(tensor->shape[i] < 0 ? 1 : tensor->shape[i]);
  }
  return count;
}

static void* numbers_of(const char* path, size_t bytes) {
  char* numbers = malloc(bytes + 1);
  FILE* file = fopen(path, "rb");
  if (!file) fail(path, "cannot be opened");
  if (!numbers) fail(path, "out of memory");
  if (fread(numbers, 1, bytes + 1, file) != bytes) {
    char why[60];
    snprintf(why, sizeof why, "does not hold %zu bytes", bytes);
    fail(path, why);
  }
  fclose(file);
  return numbers;
}

static void print(const sbn_tensor* tensor, const void* data) {
  printf("%s\n", tensor->name);
  const size_t count = count_of(tensor);
  for (size_t i = 0; i < count; ++i) {
    switch (tensor->type) {
      case SBN_FLOAT32: printf("%.9g\n", (double)((const float*)data)[i]); break;
      case SBN_INT32: printf("%ld\n", (long)((const int32_t*)data)[i]); break;
      case SBN_INT64: printf("%lld\n", (long long)((const int64_t*)data)[i]); break;
      case SBN_UINT8:
      case SBN_BOOL: printf("%d\n", ((const uint8_t*)data)[i]); break;
      default: fail(tensor->name, "is of a type that this program does not print");
    }
  }
}

int main(int argc, char** argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: run MODEL FILE...\n");
    return 2;
  }
  sbn_model* model = sbn_model_open(argv[1]);
  check(!model);
  sbn_context* context = sbn_context_new(model);
  check(!context);
  /* Numbers that control noise keep their defaults. */
  void* inputs[64] = {NULL};
  int given = 0;
  for (size_t i = 0; i < sbn_model_inputs(model) && given < 64; ++i) {
    sbn_tensor input;
    check(sbn_model_input(model, i, &input));
    if (input.rank == 0) continue;
    if (given + 2 >= argc) fail(input.name, "has no file");
    inputs[given] = numbers_of(argv[given + 2], count_of(&input) * bytes_of(input.type));
    check(sbn_context_set_input(context, i, inputs[given++]));
  }
  if (given + 2 < argc) fail(argv[given + 2], "there is no such input");
  check(sbn_context_run(context, 1));
  for (size_t i = 0; i < sbn_model_outputs(model); ++i) {
    sbn_tensor output;
    const void* data = sbn_context_output(context, i, &output);
    check(!data);
    print(&output, data);
  }
  for (int i = 0; i < given; ++i) free(inputs[i]);
  sbn_context_free(context);
  sbn_model_free(model);
  return 0;
}
