#include "phone/session.h"

#include <errno.h>
#include <string.h>

#include "phone/report.h"

namespace sbn::phone {
namespace {

constexpr char kMagic[] = "sbncalls";
constexpr int64_t kWord = 8, kAlignment = 64;

[[noreturn]] void refuse(const Calls& calls, const char* why) {
  fail("%s: does not hold calls of this model: %s", calls.path, why);
}

// Bytes that begin at a multiple of `alignment`, a power of two.
const uint8_t* take(Calls* calls, int64_t bytes, int64_t alignment = kWord) {
  calls->at = min((calls->at + alignment - 1) & -alignment, calls->size);
  if (bytes < 0 || bytes > calls->size - calls->at) refuse(*calls, "it ends too early");
  const uint8_t* found = calls->data + calls->at;
  calls->at += bytes;
  return found;
}

int64_t take_number(Calls* calls) {
  int64_t number;
  memcpy(&number, take(calls, kWord), sizeof number);
  return number;
}

// The input of the name that comes next.
size_t take_input(Calls* calls, const sbn_model* model, sbn_tensor* tensor) {
  const int64_t length = take_number(calls);
  const uint8_t* name = take(calls, length);
  for (size_t i = 0; i < sbn_model_inputs(model); ++i) {
    sbn_model_input(model, i, tensor);
    if (strlen(tensor->name) != static_cast<size_t>(length)) continue;
    if (memcmp(tensor->name, name, static_cast<size_t>(length)) == 0) return i;
  }
  refuse(*calls, "it has other inputs");
}

// The context keeps what an earlier call gave, which may be a smaller batch.
void forget_inputs(const Session& session) {
  for (size_t i = 0; i < sbn_model_inputs(session.model); ++i) {
    const native::Port& port = session.model->graph.inputs[i];
    session.context->inputs[i] = nullptr;
    if (port.has_default) sbn_context_set_number(session.context, i, port.default_number);
  }
}

}  // namespace

Calls read_calls(const char* path) {
  FILE* file = fopen(path, "rb");
  if (!file) fail("%s: %s", path, strerror(errno));
  const int64_t size = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
  if (size < 0) fail("%s: %s", path, strerror(errno));
  rewind(file);
  auto* data = keep<uint8_t>(static_cast<size_t>(size));
  if (fread(data, 1, static_cast<size_t>(size), file) != static_cast<size_t>(size))
    fail("%s: cannot be read", path);
  fclose(file);
  Calls calls = {path, data, size, 0, 0};
  if (memcmp(take(&calls, kWord), kMagic, kWord) != 0) refuse(calls, "it begins otherwise");
  calls.left = take_number(&calls);
  if (calls.left < 1) refuse(calls, "there are none");
  return calls;
}

Session open_session(const char* path, int threads) {
  sbn_model* model = sbn_model_open(path);
  if (!model) fail("%s", sbn_last_error());
  sbn_context* context = sbn_context_new(model);
  if (!context || sbn_context_set_threads(context, threads)) fail("%s: %s", path, sbn_last_error());
  return {model, context};
}

int64_t give_next(Calls* calls, const Session& session) {
  --calls->left;
  forget_inputs(session);
  const int64_t batch = take_number(calls);
  for (int64_t inputs = take_number(calls); inputs > 0; --inputs) {
    sbn_tensor tensor;
    const size_t index = take_input(calls, session.model, &tensor);
    Size expected = native::bytes_of(static_cast<native::ElementType>(tensor.type));
    for (int32_t i = 0; i < tensor.rank; ++i)
      expected = expected * Size(tensor.shape[i] < 0 ? batch : tensor.shape[i]);
    const int64_t bytes = take_number(calls);
    if (!expected.valid() || bytes != expected.value())
      refuse(*calls, "an input has another size");
    const uint8_t* data = take(calls, bytes, kAlignment);
    if (session.model->graph.inputs[index].is_number()) {
      int64_t number;
      memcpy(&number, data, sizeof number);
      sbn_context_set_number(session.context, index, number);
    } else {
      sbn_context_set_input(session.context, index, data);
    }
  }
  return batch;
}

void run_call(const Session& session, int64_t batch) {
  if (sbn_context_run(session.context, batch)) fail("%s", sbn_last_error());
}

}  // namespace sbn::phone
