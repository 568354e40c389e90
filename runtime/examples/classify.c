/* Classifies a picture with a model of `sbn export`, without onnxruntime.
 *
 *   cc -std=c11 -O2 classify.c $(pkg-config --cflags --libs sbn) -o classify
 *   ./classify picture.ppm digits.onnx [RUNS [THREADS]]
 *
 * The picture is a binary PPM or PGM (P6 or P5) of just the size that the model takes; `convert
 * photo.jpg -resize 32x32! picture.ppm` of ImageMagick makes one. `sbn bundle` writes programs that
 * read pictures of every size. With RUNS, that many are timed.
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

/* --- The file's metadata, which is JSON --- */

static const char* skip_space(const char* at) { return at + strspn(at, " \t\r\n"); }

/* Behind the string that begins here. */
static const char* skip_string(const char* at) {
  for (++at; *at && *at != '"'; ++at) {
    if (*at == '\\' && at[1]) ++at;
  }
  return *at ? at + 1 : at;
}

/* Behind the value that begins here. */
static const char* skip_value(const char* at) {
  int depth = 0;
  do {
    if (*at == '"') {
      at = skip_string(at);
    } else {
      depth += (*at == '{' || *at == '[') - (*at == '}' || *at == ']');
      ++at;
    }
  } while (*at && (depth > 0 || (depth == 0 && !strchr(",]}", *at))));
  return at;
}

/* The value of a key of the object that begins here, or NULL. */
static const char* value_of(const char* object, const char* key) {
  const size_t length = strlen(key);
  const char* at = object && *object == '{' ? skip_space(object + 1) : "";
  while (*at == '"') {
    const char* name = at + 1;
    const char* end = skip_string(at);
    const int found = (size_t)(end - name) == length + 1 && strncmp(name, key, length) == 0;
    at = skip_space(end);
    if (*at == ':') at = skip_space(at + 1);
    if (found) return at;
    at = skip_space(skip_value(at));
    if (*at == ',') at = skip_space(at + 1);
  }
  return NULL;
}

/* An entry of the list that begins here, or NULL. */
static const char* entry_of(const char* list, long index) {
  if (!list || *list != '[') return NULL;
  const char* at = skip_space(list + 1);
  for (; index > 0 && *at && *at != ']'; --index) {
    at = skip_space(skip_value(at));
    if (*at == ',') at = skip_space(at + 1);
  }
  return *at && *at != ']' ? at : NULL;
}

static float number_or(const char* value, float otherwise) {
  return value ? strtof(value, NULL) : otherwise;
}

/* --- The picture --- */

struct picture {
  long width, height, channels, most;
  unsigned char* pixels; /* [height, width, channels] */
};

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

static struct picture read_picture(const char* path) {
  struct picture p = {0, 0, 0, 0, NULL};
  FILE* file = fopen(path, "rb");
  if (!file) fail(path, "cannot be opened");
  const int letter = fgetc(file), kind = fgetc(file);
  p.channels = kind == '6' ? 3 : kind == '5' ? 1 : 0;
  if (letter != 'P' || p.channels == 0) fail(path, "is no binary PPM or PGM (P6 or P5)");
  p.width = header_number(file);
  p.height = header_number(file);
  p.most = header_number(file);
  if (p.width < 1 || p.height < 1 || p.width > 16384 || p.height > 16384) {
    fail(path, "its width or height is not in 1 to 16384");
  }
  if (p.most < 1 || p.most > 255) fail(path, "its pixels are not one byte for each channel");
  const size_t size = (size_t)p.width * (size_t)p.height * (size_t)p.channels;
  p.pixels = malloc(size);
  if (!p.pixels) fail(path, "out of memory");
  if (fread(p.pixels, 1, size, file) != size) fail(path, "ends too early");
  fclose(file);
  return p;
}

/* The model's input of a picture: its bytes, or floats [channels, height, width] normalised as the
 * metadata says. docs/images.md defines both. */
static void* input_of(const struct picture* p, const char* path, const sbn_tensor* input,
                      const char* preprocess) {
  const int is_bytes = input->type == SBN_UINT8;
  if (input->rank != 4 || (!is_bytes && input->type != SBN_FLOAT32)) {
    fail(path, "the model does not take pictures");
  }
  const int64_t* sizes = input->shape + (is_bytes ? 1 : 2); /* height, width */
  const int64_t channels = input->shape[is_bytes ? 3 : 1];
  char why[200];
  if (p->height != sizes[0] || p->width != sizes[1] || p->channels != channels) {
    snprintf(why, sizeof why, "is %ld x %ld with %ld channels; the model takes %lld x %lld with %lld",
             p->width, p->height, p->channels, (long long)sizes[1], (long long)sizes[0],
             (long long)channels);
    fail(path, why);
  }
  const float full = number_or(value_of(preprocess, "pixel_max"), 255.0f);
  if ((float)p->most != full) {
    snprintf(why, sizeof why, "its full intensity is %ld, the model's is %g", p->most, (double)full);
    fail(path, why);
  }
  if (is_bytes) return p->pixels;
  const char* order = value_of(preprocess, "order");
  const int reversed = order && strncmp(order, "\"bgr\"", 5) == 0;
  const long count = p->width * p->height;
  float* floats = malloc((size_t)(count * p->channels) * sizeof *floats);
  if (!floats) fail(path, "out of memory");
  for (long c = 0; c < p->channels; ++c) {
    const float mean = number_or(entry_of(value_of(preprocess, "mean"), c), 0.0f);
    const float std = number_or(entry_of(value_of(preprocess, "std"), c), 1.0f);
    const long from = reversed ? p->channels - 1 - c : c;
    for (long i = 0; i < count; ++i) {
      floats[c * count + i] = ((float)p->pixels[i * p->channels + from] / full - mean) / std;
    }
  }
  return floats;
}

/* --- The answer --- */

/* The probabilities of the last run, and how many there are. */
static const float* probabilities_of(const sbn_model* model, const sbn_context* context,
                                     int64_t* classes) {
  for (size_t i = 0; i < sbn_model_outputs(model); ++i) {
    sbn_tensor output;
    const float* found = sbn_context_output(context, i, &output);
    if (!found) fail("sbn", sbn_last_error());
    if (strcmp(output.name, "probabilities") != 0 || output.rank != 2) continue;
    *classes = output.shape[1];
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
  double* times = malloc((size_t)runs * sizeof *times);
  if (!times) fail("RUNS", "out of memory");
  for (long run = 0; run < runs; ++run) {
    const double start = now_us();
    if (sbn_context_run(context, 1)) fail("sbn", sbn_last_error());
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
  const struct picture picture = read_picture(argv[1]);
  sbn_model* model = sbn_model_open(argv[2]);
  if (!model) fail("sbn", sbn_last_error());
  sbn_context* context = sbn_context_new(model);
  if (!context) fail("sbn", sbn_last_error());
  if (sbn_context_set_threads(context, threads)) fail("sbn", sbn_last_error());

  sbn_tensor input;
  if (sbn_model_input(model, 0, &input)) fail("sbn", sbn_last_error());
  const char* metadata = sbn_model_metadata(model, "sbn");
  void* data = input_of(&picture, argv[1], &input, value_of(metadata, "preprocess"));
  if (sbn_context_set_input(context, 0, data)) fail("sbn", sbn_last_error());
  if (sbn_context_run(context, 1)) fail("sbn", sbn_last_error());

  int64_t classes = 0;
  const float* probabilities = probabilities_of(model, context, &classes);
  int64_t best = 0;
  for (int64_t c = 1; c < classes; ++c) {
    if (probabilities[c] > probabilities[best]) best = c;
  }
  const char* name = entry_of(value_of(metadata, "classes"), (long)best);
  if (name && *name == '"') {
    printf("%.*s, probability %.6f\n", (int)(skip_string(name) - name - 2), name + 1,
           (double)probabilities[best]);
  } else {
    printf("class %lld, probability %.6f\n", (long long)best, (double)probabilities[best]);
  }
  if (runs > 0) time_runs(context, runs);

  if (data != picture.pixels) free(data);
  free(picture.pixels);
  sbn_context_free(context);
  sbn_model_free(model);
  return 0;
}
