// The functions of sbn.h that load and run models.
#include <stdlib.h>
#include <string.h>

#include "native/handles.h"

#if !SBN_WASM
#include <errno.h>
#include <stdio.h>
#endif

#define SBN_API extern "C" SBN_EXPORT

namespace {

using namespace sbn::native;
using sbn::Message;

thread_local char t_error[sizeof(Message)];

int failed(const char* text) { return sbn::native::failed(fail(text)); }

#if !SBN_WASM
constexpr long kMostFileBytes = 0x7fffffff;  // of a protocol buffer

// "path: ", of a long one the end: a message has room for the reason.
void begin_with(const char* path, Message* text) {
  constexpr size_t kMost = 300;
  const size_t length = strlen(path);
  if (length > kMost) *text << "..." << path + length - kMost << ": ";
  else *text << path << ": ";
}

// The bytes of a file in memory that free() gives back.
Status* read_file(const char* path, Bytes* to) {
  Message text;
  begin_with(path, &text);
  FILE* file = fopen(path, "rb");
  if (!file) return fail(text << strerror(errno));
  long size = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
  uint8_t* data = nullptr;
  if (size >= 0 && size <= kMostFileBytes) {
    rewind(file);
    data = static_cast<uint8_t*>(malloc(static_cast<size_t>(size) + 1));
    to->size = data ? fread(data, 1, static_cast<size_t>(size), file) : 0;
  }
  fclose(file);
  to->data = data;
  if (data && to->size == static_cast<size_t>(size)) return nullptr;
  free(data);
  return fail(text << "cannot be read");
}
#endif

void describe(const Model& model, const Port& port, sbn_tensor* tensor) {
  *tensor = {};
  tensor->name = model.graph.edges[port.edge].name;
  tensor->type = static_cast<int32_t>(port.type);
  tensor->rank = static_cast<int32_t>(port.rank);
  for (size_t i = 0; i < port.rank; ++i) tensor->shape[i] = port.dims[i];
}

}  // namespace

static_assert(SBN_MAX_RANK == sbn::ort::kMaxRank, "of sbn.h");

int sbn::native::failed(Status* failure) {
  if (!failure) return 0;
  memcpy(t_error, failure->text, sizeof t_error);
  release(failure);
  return 1;
}

SBN_API int sbn_abi(void) { return SBN_ABI; }

SBN_API const char* sbn_last_error(void) { return t_error; }

SBN_API sbn_model* sbn_model_load(const void* data, size_t size) {
  auto* model = static_cast<sbn_model*>(calloc(1, sizeof(sbn_model)));
  Status* failure = out_of_memory();
  if (model) failure = load_model({static_cast<const uint8_t*>(data), size}, model);
  if (!failed(failure)) return model;
  sbn_model_free(model);
  return nullptr;
}

#if !SBN_WASM
SBN_API sbn_model* sbn_model_open(const char* path) {
  Bytes file;
  if (failed(read_file(path, &file))) return nullptr;
  sbn_model* model = sbn_model_load(file.data, file.size);
  free(const_cast<uint8_t*>(file.data));
  if (model) return model;
  Message text;
  begin_with(path, &text);
  failed(fail(text << t_error));
  return nullptr;
}
#endif

SBN_API void sbn_model_free(sbn_model* model) {
  if (!model) return;
  model->release();
  free(model);
}

SBN_API size_t sbn_model_inputs(const sbn_model* model) { return model->graph.input_count; }

SBN_API size_t sbn_model_outputs(const sbn_model* model) { return model->graph.output_count; }

SBN_API int sbn_model_input(const sbn_model* model, size_t index, sbn_tensor* tensor) {
  if (index >= model->graph.input_count) return failed("there is no such input");
  describe(*model, model->graph.inputs[index], tensor);
  return 0;
}

SBN_API int sbn_model_output(const sbn_model* model, size_t index, sbn_tensor* tensor) {
  if (index >= model->graph.output_count) return failed("there is no such output");
  describe(*model, model->graph.outputs[index], tensor);
  return 0;
}

SBN_API const char* sbn_model_metadata(const sbn_model* model, const char* key) {
  for (size_t i = 0; i < model->graph.metadata_count; ++i) {
    const MetadataEntry& entry = model->graph.metadata[i];
    if (strcmp(entry.key, key) == 0) return entry.value;
  }
  return nullptr;
}

SBN_API int64_t sbn_model_arena_bytes(const sbn_model* model, int64_t batch) {
  Context context = {};
  Status* failure = create_context(*model, &context);
  if (!failure) failure = plan(&context, batch);
  const int64_t needed = context.needed;
  context.release();
  return failed(failure) ? -1 : needed;
}

SBN_API sbn_context* sbn_context_new(const sbn_model* model) {
  auto* context = static_cast<sbn_context*>(calloc(1, sizeof(sbn_context)));
  Status* failure = out_of_memory();
  if (context) failure = create_context(*model, context);
  if (!failure) failure = context->pool.array(model->graph.input_count, &context->inputs);
  for (size_t i = 0; !failure && i < model->graph.input_count; ++i) {
    if (model->graph.inputs[i].has_default) context->inputs[i] = context->numbers + i;
  }
  if (!failed(failure)) return context;
  sbn_context_free(context);
  return nullptr;
}

SBN_API void sbn_context_free(sbn_context* context) {
  if (!context) return;
  context->release();
  free(context);
}

SBN_API void sbn_context_set_memory(sbn_context* context, void* memory, size_t bytes) {
  set_arena(context, memory, static_cast<int64_t>(bytes < PTRDIFF_MAX ? bytes : PTRDIFF_MAX));
}

SBN_API int sbn_context_set_threads(sbn_context* context, int threads) {
  return failed(set_threads(context, threads));
}

SBN_API int sbn_context_set_input(sbn_context* context, size_t index, const void* data) {
  const Graph& graph = context->model->graph;
  if (index >= graph.input_count || graph.inputs[index].is_number()) {
    return failed("there is no such input of images");
  }
  context->inputs[index] = data;
  return 0;
}

SBN_API int sbn_context_set_number(sbn_context* context, size_t index, int64_t number) {
  const Graph& graph = context->model->graph;
  if (index >= graph.input_count || !graph.inputs[index].is_number()) {
    return failed("there is no such input of a number");
  }
  set_number(context, index, number);
  context->inputs[index] = context->numbers + index;
  return 0;
}

SBN_API int sbn_context_run(sbn_context* context, int64_t batch) {
  const Graph& graph = context->model->graph;
  for (size_t i = 0; i < graph.input_count; ++i) {
    if (context->inputs[i]) continue;
    Message text;
    return failed(fail(text << "input " << graph.edges[graph.inputs[i].edge] << " was not given"));
  }
  if (failed(prepare(context, batch))) return 1;
  if (!failed(run(context, context->inputs))) return 0;
  context->batch = 0;  // there are no outputs
  return 1;
}

SBN_API const void* sbn_context_output(const sbn_context* context, size_t index,
                                       sbn_tensor* tensor) {
  const Graph& graph = context->model->graph;
  if (index >= graph.output_count || context->batch == 0) {
    failed(context->batch ? "there is no such output" : "nothing was run");
    return nullptr;
  }
  const Port& port = graph.outputs[index];
  const Value& value = context->values[port.edge];
  if (tensor) {
    describe(*context->model, port, tensor);
    tensor->rank = static_cast<int32_t>(value.rank);
    for (size_t i = 0; i < value.rank; ++i) tensor->shape[i] = value.dims[i];
  }
  return value.data;
}
