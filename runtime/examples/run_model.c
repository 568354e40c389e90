/* Classifies one image with a model of `sbn export`, through onnxruntime's C API.
 *
 *   cc -std=c11 -O2 run_model.c -I ORT/include -L ORT/lib -lonnxruntime -o run_model
 *   ./run_model digits.onnx ./libsbn.so image.raw [RUNS [THREADS]]
 *
 * ORT is an unpacked release of onnxruntime 1.17 or newer. The image is a file of nothing
 * but numbers, as many and of the type that the model takes: bytes [height, width,
 * channels] for a model that takes pixels, else 32-bit floats [channels, height, width],
 * normalised. `sbn bundle` writes down which.
 */
#include <onnxruntime_c_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { WARM_UP = 10, MOST_DIMENSIONS = 8 };

static const OrtApi* ort;

static void fail(const char* what, const char* why) {
  fprintf(stderr, "run_model: %s: %s\n", what, why);
  exit(1);
}

static void check(OrtStatus* status) {
  if (status) fail("onnxruntime", ort->GetErrorMessage(status));
}

static double now_ms(void) {
  struct timespec time;
  timespec_get(&time, TIME_UTC);
  return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static int compare_times(const void* left, const void* right) {
  const double a = *(const double*)left, b = *(const double*)right;
  return (a > b) - (a < b);
}

static long number(const char* text, const char* what) {
  char* end;
  const long value = strtol(text, &end, 10);
  if (*end || value < 1 || value > 1000000) fail(text, what);
  return value;
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
  if (argc < 4 || argc > 6) {
    fprintf(stderr, "usage: run_model MODEL LIBRARY IMAGE [RUNS [THREADS]]\n");
    return 2;
  }
  const long runs = argc > 4 ? number(argv[4], "is no number of runs") : 100;
  const long threads = argc > 5 ? number(argv[5], "is no number of threads") : 1;
  ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);
  if (!ort) fail("onnxruntime", "is older than the header that this was compiled with");

  OrtEnv* env;
  check(ort->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "run_model", &env));
  OrtSessionOptions* options;
  check(ort->CreateSessionOptions(&options));
  check(ort->RegisterCustomOpsLibrary_V2(options, argv[2]));
  check(ort->SetIntraOpNumThreads(options, (int)threads));
  OrtSession* session;
  check(ort->CreateSession(env, argv[1], options, &session));
  ort->ReleaseSessionOptions(options);

  /* What the model takes. A dimension that it leaves open is the number of images: one. */
  OrtAllocator* allocator;
  check(ort->GetAllocatorWithDefaultOptions(&allocator));
  char* input_name;
  check(ort->SessionGetInputName(session, 0, allocator, &input_name));
  OrtTypeInfo* type;
  check(ort->SessionGetInputTypeInfo(session, 0, &type));
  const OrtTensorTypeAndShapeInfo* info;
  check(ort->CastTypeInfoToTensorInfo(type, &info));
  ONNXTensorElementDataType element;
  check(ort->GetTensorElementType(info, &element));
  size_t rank;
  check(ort->GetDimensionsCount(info, &rank));
  if (rank > MOST_DIMENSIONS) fail(argv[1], "takes no images");
  int64_t shape[MOST_DIMENSIONS];
  check(ort->GetDimensions(info, shape, rank));
  ort->ReleaseTypeInfo(type);
  size_t size = element == ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 ? 1 : sizeof(float);
  for (size_t i = 0; i < rank; ++i) {
    if (shape[i] < 0) shape[i] = 1;
    size *= (size_t)shape[i];
  }

  void* pixels = read_file(argv[3], size);
  OrtMemoryInfo* memory;
  check(ort->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory));
  OrtValue* image;
  check(ort->CreateTensorWithDataAsOrtValue(memory, pixels, size, shape, rank, element, &image));
  ort->ReleaseMemoryInfo(memory);

  double* times = malloc((size_t)runs * sizeof *times);
  if (!times) fail(argv[4], "out of memory");
  const char* const input_names[] = {input_name};
  const char* const output_names[] = {"probabilities"};
  const OrtValue* const inputs[] = {image};
  OrtValue* output = NULL;
  for (long run = -WARM_UP; run < runs; ++run) {
    if (output) ort->ReleaseValue(output);
    output = NULL;
    const double start = now_ms();
    check(ort->Run(session, NULL, input_names, inputs, 1, output_names, 1, &output));
    if (run >= 0) times[run] = now_ms() - start;
  }

  float* probabilities;
  check(ort->GetTensorMutableData(output, (void**)&probabilities));
  OrtTensorTypeAndShapeInfo* result;
  check(ort->GetTensorTypeAndShape(output, &result));
  size_t classes, best = 0;
  check(ort->GetTensorShapeElementCount(result, &classes));
  ort->ReleaseTensorTypeAndShapeInfo(result);
  for (size_t i = 1; i < classes; ++i) {
    if (probabilities[i] > probabilities[best]) best = i;
  }
  qsort(times, (size_t)runs, sizeof *times, compare_times);
  printf("class %zu, probability %.6f\n", best, (double)probabilities[best]);
  printf("median of %ld runs: %.4f ms\n", runs, times[runs / 2]);

  free(times);
  ort->ReleaseValue(output);
  ort->ReleaseValue(image);
  free(pixels);
  check(ort->AllocatorFree(allocator, input_name));
  ort->ReleaseSession(session);
  ort->ReleaseEnv(env);
  return 0;
}
