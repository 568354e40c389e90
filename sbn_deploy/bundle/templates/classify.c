{{if calibrated}}
#include <math.h>
{{end}}
#include <onnxruntime_c_api.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static const OrtApi* ort;

static void check(OrtStatus* status) {
  if (!status) return;
  fprintf(stderr, "%s\n", ort->GetErrorMessage(status));
  exit(1);
}

int main(int argc, char** argv) {
  static uint8_t pixels[{{pixels}}];
  FILE* file = argc == 2 ? fopen(argv[1], "rb") : NULL;
  if (!file || fread(pixels, 1, sizeof pixels, file) != sizeof pixels) {
    fprintf(stderr, "usage: classify FILE, of %zu bytes\n", sizeof pixels);
    return 2;
  }
  fclose(file);

  ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);
  if (!ort) {
    fprintf(stderr, "onnxruntime is older than the header that this was compiled with\n");
    return 1;
  }
  OrtEnv* env;
  OrtSessionOptions* options;
  OrtSession* session;
  check(ort->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "classify", &env));
  check(ort->CreateSessionOptions(&options));
  check(ort->RegisterCustomOpsLibrary_V2(options, "./libsbn.so"));
  check(ort->SetIntraOpNumThreads(options, 1));
  check(ort->CreateSession(env, {{file|c}}, options, &session));
  ort->ReleaseSessionOptions(options);

{{if pixels}}
  uint8_t* x = pixels;
  const ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
{{end}}
{{if floats}}
  static float x[{{pixels}}];
  static const float mean[] = { {{mean_f}} }, std[] = { {{std_f}} };
  for (int c = 0; c < {{channels}}; ++c) {
    for (int i = 0; i < {{height}} * {{width}}; ++i) {
      const float pixel = (float)pixels[{{channels}} * i + {{channel}}] / {{pixel_max}}.0f;
      x[{{height}} * {{width}} * c + i] = (pixel - mean[c]) / std[c];
    }
  }
  const ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
{{end}}
  const int64_t shape[] = {1, {{shape}}};
  const size_t size = {{pixels}} * sizeof *x;
  OrtMemoryInfo* memory;
  OrtValue* input;
  check(ort->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory));
  check(ort->CreateTensorWithDataAsOrtValue(memory, x, size, shape, 4, type, &input));

  const char* const inputs[] = {{{input|c}}};
  const char* const outputs[] = {"probabilities"};
  const OrtValue* const values[] = {input};
  OrtValue* output = NULL;
  float* probabilities;
  check(ort->Run(session, NULL, inputs, values, 1, outputs, 1, &output));
  check(ort->GetTensorMutableData(output, (void**)&probabilities));
{{if calibrated}}
  /* The calibration of the model, for {{networks}}. */
  static const double offsets[] = { {{offsets}} };
  double p[{{class_count}}], top = -INFINITY, sum = 0;
  for (int i = 0; i < {{class_count}}; ++i) {
    p[i] = (log(fmax((double)probabilities[i], 1e-300)) + offsets[i]) / {{temperature}};
    top = fmax(top, p[i]);
  }
  for (int i = 0; i < {{class_count}}; ++i) sum += p[i] = exp(p[i] - top);
  for (int i = 0; i < {{class_count}}; ++i) probabilities[i] = (float)(p[i] / sum);
{{end}}
  int best = 0;
  for (int i = 1; i < {{class_count}}; ++i) {
    if (probabilities[i] > probabilities[best]) best = i;
  }
  printf("class %d, probability %.6f\n", best, (double)probabilities[best]);

  ort->ReleaseValue(output);
  ort->ReleaseValue(input);
  ort->ReleaseMemoryInfo(memory);
  ort->ReleaseSession(session);
  ort->ReleaseEnv(env);
  return 0;
}
