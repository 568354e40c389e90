/* operators ONNXRUNTIME LIBRARY OUT MODEL...: runs models in onnxruntime with the operators of LIBRARY,
 * with every kernel set of this machine, and writes the bytes of all outputs to OUT. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "library.h"
#include "onnxruntime.h"
#include "sbn.h"

static const OrtApi* ort;

static void fail(const char* what, const char* why) {
  fprintf(stderr, "operators: %s: %s\n", what, why);
  exit(1);
}

static void check(OrtStatus* failure) {
  if (failure) fail("onnxruntime", ort->GetErrorMessage(failure));
}

/* A path as onnxruntime takes it. */
static OrtChar* path_of(const char* text) {
  OrtChar* path = calloc(strlen(text) + 1, sizeof *path);
  for (size_t i = 0; text[i]; ++i) path[i] = (OrtChar)text[i];
  return path;
}

/* Bytes from 0 to 255, or floats from -2 to 2. */
static void* made(size_t count, int floats) {
  unsigned char* data = malloc(count * sizeof(float));
  uint32_t x = 12345;
  for (size_t i = 0; i < count; ++i) {
    x = x * 1664525u + 1013904223u;
    const float value = (float)(int32_t)x / 1073741824.0f;
    if (floats) {
      memcpy(data + i * sizeof value, &value, sizeof value);
    } else {
      data[i] = (unsigned char)(x >> 24);
    }
  }
  return data;
}

static void run(OrtEnv* env, OrtSessionOptions* options, const char* model, FILE* out) {
  OrtSession* session;
  OrtAllocator* allocator;
  OrtTypeInfo* type;
  const OrtTensorTypeAndShapeInfo* info;
  ONNXTensorElementDataType element;
  OrtMemoryInfo* memory;
  OrtValue* input;
  char* input_name;
  int64_t shape[8];
  size_t rank, outputs, count = 1;
  check(ort->CreateSession(env, path_of(model), options, &session));
  /* With the options onnxruntime closes the library, which must stay all the same. */
  ort->ReleaseSessionOptions(options);
  check(ort->GetAllocatorWithDefaultOptions(&allocator));
  check(ort->SessionGetInputName(session, 0, allocator, &input_name));
  check(ort->SessionGetInputTypeInfo(session, 0, &type));
  check(ort->CastTypeInfoToTensorInfo(type, &info));
  check(ort->GetTensorElementType(info, &element));
  check(ort->GetDimensionsCount(info, &rank));
  check(ort->GetDimensions(info, shape, rank));
  for (size_t i = 0; i < rank; ++i) {
    if (shape[i] < 0) shape[i] = 3;
    count *= (size_t)shape[i];
  }
  const int floats = element == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  void* data = made(count, floats);
  check(ort->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory));
  check(ort->CreateTensorWithDataAsOrtValue(memory, data, count * (floats ? sizeof(float) : 1), shape,
                                            rank, element, &input));
  check(ort->SessionGetOutputCount(session, &outputs));
  for (size_t i = 0; i < outputs; ++i) {
    char* name;
    check(ort->SessionGetOutputName(session, i, allocator, &name));
    const char *const in[] = {input_name}, *const outs[] = {name};
    OrtValue* result = NULL;
    const OrtValue* const given[] = {input};
    OrtTensorTypeAndShapeInfo* made_shape;
    void* bytes;
    check(ort->Run(session, NULL, in, given, 1, outs, 1, &result));
    check(ort->GetTensorMutableData(result, &bytes));
    check(ort->GetTensorTypeAndShape(result, &made_shape));
    check(ort->GetTensorShapeElementCount(made_shape, &count));
    fwrite(bytes, sizeof(float), count, out);
    ort->ReleaseTensorTypeAndShapeInfo(made_shape);
    ort->ReleaseValue(result);
  }
  ort->ReleaseValue(input);
  ort->ReleaseMemoryInfo(memory);
  ort->ReleaseTypeInfo(type);
  ort->ReleaseSession(session);
  free(data);
}

int main(int argc, char** argv) {
  static const char* const sets[] = {"scalar", "avx2", "avx512bw", "avx512", "neon", "neon_lut2"};
  if (argc < 5) fail("usage", "operators ONNXRUNTIME LIBRARY OUT MODEL...");
  void* runtime = system_open(argv[1]);
  Library* library = library_open(argv[2]);
  if (!runtime || !library) fail("cannot load", argv[runtime ? 2 : 1]);
  const OrtApiBase* (*get_base)(void) = (const OrtApiBase* (*)(void))system_symbol(runtime, "OrtGetApiBase");
  int (*available)(const char*) = (int (*)(const char*))library_symbol(library, "sbn_isa_available");
  int (*set_isa)(const char*) = (int (*)(const char*))library_symbol(library, "sbn_set_isa");
  const char* (*version)(void) = (const char* (*)(void))library_symbol(library, "sbn_version");
  if (!get_base || !available || !set_isa || !version) fail("not whole", argv[2]);
  ort = get_base()->GetApi(17);
  if (!ort) fail("too old", get_base()->GetVersionString());
  OrtEnv* env;
  check(ort->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "operators", &env));
  FILE* out = fopen(argv[3], "wb");
  for (size_t s = 0; s < sizeof sets / sizeof *sets; ++s) {
    if (!available(sets[s])) continue;
    set_isa(sets[s]);
    printf("%s ", sets[s]);
    for (int i = 4; i < argc; ++i) {
      OrtSessionOptions* options;
      check(ort->CreateSessionOptions(&options));
      check(ort->SetIntraOpNumThreads(options, 2));
#if defined(SBN_MACHO) || defined(SBN_PE)
      OrtStatus* (*add)(OrtSessionOptions*, const OrtApiBase*) =
          (OrtStatus * (*)(OrtSessionOptions*, const OrtApiBase*))
              library_symbol(library, "RegisterCustomOps");
      check(add(options, get_base()));
#else
      check(ort->RegisterCustomOpsLibrary_V2(options, path_of(argv[2])));
#endif
      run(env, options, argv[i], out);
    }
  }
  ort->ReleaseEnv(env);
  fclose(out);
  printf("\n%s\n%s\n", version(), get_base()->GetVersionString());
  return 0;
}
