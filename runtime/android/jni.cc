// What sbn.runtime.Library calls, functions of sbn.h. Memory and texts go through direct buffers of
// Java, so that one function of its native interface is enough. Of that there is no header here: it
// is a table of functions, and a buffer's address is number 230.
#include <string.h>

#include "base/arithmetic.h"
#include "base/attributes.h"
#include "sbn.h"

namespace {

struct Java {
  void* const* functions;
};
using Class = void*;
using Buffer = void*;

template <class T = void>
T* memory_of(Java* java, Buffer buffer) {
  constexpr size_t kGetDirectBufferAddress = 230;
  using Function = void* (*)(Java*, Buffer);
  const auto function = reinterpret_cast<Function>(java->functions[kGetDirectBufferAddress]);
  return static_cast<T*>(function(java, buffer));
}

// A pointer, as Java keeps it.
template <class T>
T* of(int64_t handle) {
  return reinterpret_cast<T*>(handle);
}
int64_t handle_of(const void* pointer) { return reinterpret_cast<int64_t>(pointer); }

// The bytes of a text, which go to a buffer as far as they fit; -1 for null.
int32_t copy(const char* text, char* to, int32_t size) {
  if (!text) return -1;
  const auto length = static_cast<int64_t>(strlen(text));
  memcpy(to, text, static_cast<size_t>(sbn::min(length, size)));
  return static_cast<int32_t>(sbn::min(length, INT32_MAX));
}

}  // namespace

#define SBN_JAVA(result, name) extern "C" SBN_EXPORT result Java_sbn_runtime_Library_##name

SBN_JAVA(int32_t, version)(Java* java, Class, Buffer text, int32_t size) {
  return copy(sbn_version(), memory_of<char>(java, text), size);
}

SBN_JAVA(int32_t, kernels)(Java* java, Class, Buffer text, int32_t size) {
  return copy(sbn_isa(), memory_of<char>(java, text), size);
}

SBN_JAVA(int32_t, lastError)(Java* java, Class, Buffer text, int32_t size) {
  return copy(sbn_last_error(), memory_of<char>(java, text), size);
}

SBN_JAVA(int64_t, load)(Java* java, Class, Buffer file, int64_t size) {
  return handle_of(sbn_model_load(memory_of(java, file), static_cast<size_t>(size)));
}

SBN_JAVA(int64_t, open)(Java* java, Class, Buffer path) {
  return handle_of(sbn_model_open(memory_of<char>(java, path)));
}

SBN_JAVA(void, freeModel)(Java*, Class, int64_t model) { sbn_model_free(of<sbn_model>(model)); }

SBN_JAVA(int32_t, inputs)(Java*, Class, int64_t model) {
  return static_cast<int32_t>(sbn_model_inputs(of<sbn_model>(model)));
}

SBN_JAVA(int32_t, outputs)(Java*, Class, int64_t model) {
  return static_cast<int32_t>(sbn_model_outputs(of<sbn_model>(model)));
}

namespace {

// Type, rank and sizes go to `numbers`, the name to `text`.
int32_t describe(const sbn_tensor& tensor, int64_t* numbers, char* text, int32_t size) {
  numbers[0] = tensor.type, numbers[1] = tensor.rank;
  memcpy(numbers + 2, tensor.shape, sizeof tensor.shape);
  return copy(tensor.name, text, size);
}

}  // namespace

SBN_JAVA(int32_t, input)
(Java* java, Class, int64_t model, int32_t index, Buffer numbers, Buffer text, int32_t size) {
  sbn_tensor tensor;
  if (sbn_model_input(of<sbn_model>(model), static_cast<size_t>(index), &tensor) != 0) return -1;
  return describe(tensor, memory_of<int64_t>(java, numbers), memory_of<char>(java, text), size);
}

SBN_JAVA(int32_t, output)
(Java* java, Class, int64_t model, int32_t index, Buffer numbers, Buffer text, int32_t size) {
  sbn_tensor tensor;
  if (sbn_model_output(of<sbn_model>(model), static_cast<size_t>(index), &tensor) != 0) return -1;
  return describe(tensor, memory_of<int64_t>(java, numbers), memory_of<char>(java, text), size);
}

SBN_JAVA(int32_t, metadata)
(Java* java, Class, int64_t model, Buffer key, Buffer text, int32_t size) {
  const char* found = sbn_model_metadata(of<sbn_model>(model), memory_of<char>(java, key));
  return copy(found, memory_of<char>(java, text), size);
}

SBN_JAVA(int32_t, className)
(Java* java, Class, int64_t model, int32_t index, Buffer text, int32_t size) {
  auto* to = memory_of<char>(java, text);
  const auto at = static_cast<size_t>(index);
  if (sbn_model_class(of<sbn_model>(model), at, to, static_cast<size_t>(size)) != 0) return -1;
  return static_cast<int32_t>(strlen(to));
}

SBN_JAVA(int32_t, fit)
(Java* java, Class, int64_t model, Buffer picture, int32_t width, int32_t height, int32_t channels,
 int32_t orientation, Buffer pixels, int64_t bytes) {
  const sbn_picture given = {memory_of<uint8_t>(java, picture), width, height, channels,
                             orientation};
  return sbn_model_fit(of<sbn_model>(model), &given, memory_of<uint8_t>(java, pixels),
                       static_cast<size_t>(bytes));
}

SBN_JAVA(int32_t, normalise)
(Java* java, Class, int64_t model, Buffer pixels, Buffer input, int64_t bytes) {
  return sbn_model_normalise(of<sbn_model>(model), memory_of<uint8_t>(java, pixels),
                             memory_of(java, input), static_cast<size_t>(bytes));
}

SBN_JAVA(int32_t, calibrate)
(Java* java, Class, int64_t model, int64_t samples, Buffer probabilities, int32_t classes) {
  return sbn_model_calibrate(of<sbn_model>(model), samples, memory_of<float>(java, probabilities),
                             static_cast<size_t>(classes));
}

SBN_JAVA(int64_t, newContext)(Java*, Class, int64_t model) {
  return handle_of(sbn_context_new(of<sbn_model>(model)));
}

SBN_JAVA(void, freeContext)(Java*, Class, int64_t context) {
  sbn_context_free(of<sbn_context>(context));
}

SBN_JAVA(int32_t, setThreads)(Java*, Class, int64_t context, int32_t threads) {
  return sbn_context_set_threads(of<sbn_context>(context), threads);
}

SBN_JAVA(int32_t, setInput)(Java* java, Class, int64_t context, int32_t index, Buffer data) {
  return sbn_context_set_input(of<sbn_context>(context), static_cast<size_t>(index),
                               memory_of(java, data));
}

SBN_JAVA(int32_t, setNumber)(Java*, Class, int64_t context, int32_t index, int64_t number) {
  return sbn_context_set_number(of<sbn_context>(context), static_cast<size_t>(index), number);
}

SBN_JAVA(int32_t, run)(Java*, Class, int64_t context, int64_t batch) {
  return sbn_context_run(of<sbn_context>(context), batch);
}

// What an output of the last run is; its bytes are copied by readOutput.
SBN_JAVA(int32_t, describeOutput)
(Java* java, Class, int64_t context, int32_t index, Buffer numbers) {
  sbn_tensor tensor;
  const auto at = static_cast<size_t>(index);
  if (!sbn_context_output(of<sbn_context>(context), at, &tensor)) return 1;
  char none;
  describe(tensor, memory_of<int64_t>(java, numbers), &none, 0);
  return 0;
}

SBN_JAVA(int32_t, readOutput)
(Java* java, Class, int64_t context, int32_t index, Buffer to, int64_t bytes) {
  const auto at = static_cast<size_t>(index);
  const void* data = sbn_context_output(of<sbn_context>(context), at, nullptr);
  if (!data) return 1;
  memcpy(memory_of(java, to), data, static_cast<size_t>(bytes));
  return 0;
}
