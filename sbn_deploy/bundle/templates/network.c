#include <onnxruntime_c_api.h>
#include <stdio.h>
#include <stdlib.h>

enum { INPUTS = {{input_count}} };

static const struct {
  const char* name;
  size_t bytes, rank;
  int64_t shape[8];
  ONNXTensorElementDataType type;
} inputs[INPUTS] = {
{{c_inputs}}
};

static const OrtApi* ort;

static void check(OrtStatus* status) {
  if (!status) return;
  fprintf(stderr, "%s\n", ort->GetErrorMessage(status));
  exit(1);
}

static void* numbers_of(const char* path, size_t bytes) {
  void* numbers = malloc(bytes);
  FILE* file = fopen(path, "rb");
  if (!numbers || !file || fread(numbers, 1, bytes, file) != bytes) {
    fprintf(stderr, "%s does not hold %zu bytes\n", path, bytes);
    exit(2);
  }
  fclose(file);
  return numbers;
}

int main(int argc, char** argv) {
  if (argc != 1 + INPUTS) {
    fprintf(stderr, "usage: run FILE for each of %d inputs\n", INPUTS);
    return 2;
  }
  ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);
  if (!ort) {
    fprintf(stderr, "onnxruntime is older than the header that this was compiled with\n");
    return 1;
  }
  OrtEnv* env;
  OrtSessionOptions* options;
  OrtSession* session;
  OrtMemoryInfo* memory;
  check(ort->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "run", &env));
  check(ort->CreateSessionOptions(&options));
  check(ort->RegisterCustomOpsLibrary_V2(options, "./libsbn.so"));
  check(ort->SetIntraOpNumThreads(options, 1));
  check(ort->CreateSession(env, {{file|c}}, options, &session));
  check(ort->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory));

  const char* names[INPUTS];
  OrtValue* values[INPUTS];
  void* numbers[INPUTS];
  for (int i = 0; i < INPUTS; ++i) {
    names[i] = inputs[i].name;
    numbers[i] = numbers_of(argv[1 + i], inputs[i].bytes);
    check(ort->CreateTensorWithDataAsOrtValue(memory, numbers[i], inputs[i].bytes, inputs[i].shape,
                                              inputs[i].rank, inputs[i].type, &values[i]));
  }
  const char* const outputs[] = {{{answer|c}}};
  OrtValue* output = NULL;
  OrtTensorTypeAndShapeInfo* info;
  size_t count;
  float* answer;
  check(ort->Run(session, NULL, names, (const OrtValue* const*)values, INPUTS, outputs, 1, &output));
  check(ort->GetTensorTypeAndShape(output, &info));
  check(ort->GetTensorShapeElementCount(info, &count));
  check(ort->GetTensorMutableData(output, (void**)&answer));
  for (size_t i = 0; i < count; ++i) printf("%.6g\n", (double)answer[i]);

  ort->ReleaseTensorTypeAndShapeInfo(info);
  ort->ReleaseValue(output);
  for (int i = 0; i < INPUTS; ++i) {
    ort->ReleaseValue(values[i]);
    free(numbers[i]);
  }
  ort->ReleaseMemoryInfo(memory);
  ort->ReleaseSession(session);
  ort->ReleaseSessionOptions(options);
  ort->ReleaseEnv(env);
  return 0;
}
