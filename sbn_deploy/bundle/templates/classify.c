{{if calibrated}}
#include <math.h>
{{end}}
#include <onnxruntime_c_api.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
{{if fits}}
#include "image.h"
{{end}}

static const OrtApi* ort;

static void check(OrtStatus* status) {
  if (!status) return;
  fprintf(stderr, "%s\n", ort->GetErrorMessage(status));
  exit(1);
}

{{if fits}}
/* Binary PPM or PGM of any size, upright, or the bytes that the model takes. */
static int read_image(FILE* file, uint8_t* bytes, size_t size) {
  char kind;
  int width, height, most;
  const int found = fscanf(file, "P%c%d%d%d", &kind, &width, &height, &most);
  if (found < 4 || (kind != '5' && kind != '6') || fgetc(file) == EOF) {
    rewind(file);
    return fread(bytes, 1, size, file) == size;
  }
  if (width < 1 || height < 1 || most != 255) return 0;
  const size_t count = (size_t)width * (size_t)height * (kind == '6' ? 3 : 1);
  uint8_t* pixels = malloc(count);
  const int whole = pixels && fread(pixels, 1, count, file) == count;
  const struct image image = {
      .pixels8 = pixels,
      .width = width,
      .height = height,
      .mode = kind == '6' ? IMAGE_RGB : IMAGE_GREY,
  };
  if (whole) image_to_bytes(&image, bytes);
  free(pixels);
  return whole;
}

{{end}}
int main(int argc, char** argv) {
  static uint8_t pixels[{{pixels}}];
  FILE* file = argc == 2 ? fopen(argv[1], "rb") : NULL;
{{if fits}}
  if (!file || !read_image(file, pixels, sizeof pixels)) {
    fprintf(stderr, "usage: classify FILE, a binary PPM or PGM, or %zu bytes\n", sizeof pixels);
    return 2;
  }
{{end}}
{{if sized}}
  if (!file || fread(pixels, 1, sizeof pixels, file) != sizeof pixels) {
    fprintf(stderr, "usage: classify FILE, of %zu bytes\n", sizeof pixels);
    return 2;
  }
{{end}}
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
