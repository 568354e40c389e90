/* Classifies a picture with a model of `sbn export`. It needs libsbn_native and a C library.
 *
 *   cc -std=c11 -O2 classify.c $(pkg-config --cflags --libs sbn) -o classify
 *   ./classify picture.ppm digits.onnx [RUNS [THREADS]]
 *
 * The picture is a binary PPM or PGM (P6 or P5) of any size, upright; `convert photo.jpg -auto-orient
 * picture.ppm` of ImageMagick makes one. A file of another kind holds the pixels of one image as the
 * model takes them, [height, width, channels]. With RUNS, that many are timed.
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

static void check(int failed) {
  if (failed) fail("sbn", sbn_last_error());
}

static void* allocate(size_t bytes) {
  void* memory = malloc(bytes);
  if (!memory) fail("memory", "there is too little of it");
  return memory;
}

/* The next number of a header, in which comments begin with '#'. */
static long header_number(FILE* file) {
  int c = fgetc(file);
  while (c == '#' || c == ' ' || c == '\t' || c == '\r' || c == '\n') {
    if (c == '#') {
      while (c != '\n' && c != EOF) c = fgetc(file);
    }
    c = fgetc(file);
  }
  long number = 0;
  if (c < '0' || c > '9') return -1;
  for (; c >= '0' && c <= '9' && number < 100000; c = fgetc(file)) number = number * 10 + c - '0';
  return number;
}

/* Numbers from 0 to `most` as such from 0 to 255, rounded, of two the even one. */
static void stretch_range(uint8_t* pixels, size_t count, long most) {
  for (size_t i = 0; i < count && most != 255; ++i) {
    const long above = 2 * 255 * (long)pixels[i] + most, value = above / (2 * most);
    const long even = value - (above % (2 * most) == 0 && value % 2 == 1);
    pixels[i] = (uint8_t)(even < 255 ? even : 255);
  }
}

/* The picture behind the letters "P5" or "P6". */
static sbn_picture read_picture(FILE* file, const char* path, int kind) {
  const long width = header_number(file), height = header_number(file), most = header_number(file);
  if (width < 1 || height < 1 || width > 16384 || height > 16384) {
    fail(path, "its width or height is not in 1 to 16384");
  }
  if (most < 1 || most > 255) fail(path, "its pixels are not one byte for each channel");
  const int32_t channels = kind == '6' ? 3 : 1;
  const size_t size = (size_t)width * (size_t)height * (size_t)channels;
  uint8_t* pixels = allocate(size);
  if (fread(pixels, 1, size, file) != size) fail(path, "ends too early");
  stretch_range(pixels, size, most);
  return (sbn_picture){pixels, (int32_t)width, (int32_t)height, channels, 1};
}

/* The pixels of one image as the model takes them. */
static uint8_t* read_pixels(const char* path, const sbn_model* model, size_t size) {
  uint8_t* pixels = allocate(size + 1);
  FILE* file = fopen(path, "rb");
  if (!file) fail(path, "cannot be opened");
  const int letter = fgetc(file), kind = fgetc(file);
  if (letter == 'P' && (kind == '5' || kind == '6')) {
    const sbn_picture picture = read_picture(file, path, kind);
    check(sbn_model_fit(model, &picture, pixels, size));
    free((void*)picture.pixels);
  } else {
    rewind(file);
    if (fread(pixels, 1, size + 1, file) != size) {
      char why[100];
      snprintf(why, sizeof why, "is neither a binary PPM or PGM (P6 or P5) nor %zu bytes", size);
      fail(path, why);
    }
  }
  fclose(file);
  return pixels;
}

/* The probabilities of the last run, and how many there are. */
static const float* probabilities_of(const sbn_model* model, const sbn_context* context,
                                     size_t* classes) {
  for (size_t i = 0; i < sbn_model_outputs(model); ++i) {
    sbn_tensor output;
    const float* found = sbn_context_output(context, i, &output);
    check(!found);
    if (strcmp(output.name, "probabilities") != 0 || output.rank != 2) continue;
    *classes = (size_t)output.shape[1];
    return found;
  }
  fail("sbn", "the model has no probabilities of classes");
  return NULL;
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

static void time_runs(sbn_context* context, long runs) {
  double* times = allocate((size_t)runs * sizeof *times);
  for (long run = 0; run < runs; ++run) {
    const double start = now_us();
    check(sbn_context_run(context, 1));
    times[run] = now_us() - start;
  }
  qsort(times, (size_t)runs, sizeof *times, compare_times);
  printf("median of %ld runs: %.1f us\n", runs, times[runs / 2]);
  free(times);
}

static long number_in(const char* text, long most) {
  char* end;
  const long number = strtol(text, &end, 10);
  if (end == text || *end || number < 1 || number > most) {
    char why[60];
    snprintf(why, sizeof why, "is not a whole number from 1 to %ld", most);
    fail(text, why);
  }
  return number;
}

int main(int argc, char** argv) {
  if (argc < 3 || argc > 5) {
    fprintf(stderr, "usage: classify PICTURE MODEL [RUNS [THREADS]]\n");
    return 2;
  }
  const long runs = argc > 3 ? number_in(argv[3], 1000000) : 0;
  const int threads = argc > 4 ? (int)number_in(argv[4], 256) : 1;
  sbn_model* model = sbn_model_open(argv[2]);
  check(!model);
  sbn_context* context = sbn_context_new(model);
  check(!context);
  check(sbn_context_set_threads(context, threads));

  sbn_tensor input;
  check(sbn_model_input(model, 0, &input));
  size_t size = 1; /* of one image */
  for (int32_t i = 1; i < input.rank; ++i) size *= (size_t)input.shape[i];
  const size_t bytes = input.type == SBN_UINT8 ? size : size * sizeof(float);
  uint8_t* pixels = read_pixels(argv[1], model, size);
  void* data = allocate(bytes);
  check(sbn_model_normalise(model, pixels, data, bytes));
  check(sbn_context_set_input(context, 0, data));
  check(sbn_context_run(context, 1));

  size_t classes = 0, best = 0;
  const float* found = probabilities_of(model, context, &classes);
  float* probabilities = allocate(classes * sizeof *probabilities);
  memcpy(probabilities, found, classes * sizeof *probabilities);
  check(sbn_model_calibrate(model, 0, probabilities, classes));
  for (size_t c = 1; c < classes; ++c) {
    if (probabilities[c] > probabilities[best]) best = c;
  }
  char name[256];
  if (sbn_model_class(model, best, name, sizeof name)) {
    snprintf(name, sizeof name, "class %zu", best);
  }
  printf("%s, probability %.6f\n", name, (double)probabilities[best]);
  if (runs > 0) time_runs(context, runs);

  free(probabilities);
  free(data);
  free(pixels);
  sbn_context_free(context);
  sbn_model_free(model);
  return 0;
}
