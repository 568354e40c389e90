#include "native/fuse.h"
#include "native/model.h"

#include <stdlib.h>
#include <string.h>

namespace sbn::native {
namespace {

constexpr int64_t kMostBatch = 1 << 20;
// Tensors of so many numbers are computed when memory is planned where their inputs are known.
constexpr int64_t kMostSmall = 64;

Size bytes_of(const Tensor& tensor) {
  Size bytes = native::bytes_of(tensor.type);
  for (size_t i = 0; i < tensor.rank; ++i) bytes = bytes * tensor.dims[i];
  return bytes;
}

// Whether it is of a size that is counted without an overflow, also in part.
bool is_reasonable(const Tensor& tensor) {
  Size bytes = native::bytes_of(tensor.type);
  for (size_t i = 0; i < tensor.rank; ++i)
    bytes = bytes * (tensor.dims[i] == 0 ? 1 : tensor.dims[i]);
  return bytes.valid() && bytes.value() <= kMostBytes;
}

Operands operands_of(const Context& context, size_t index) {
  const Step& step = context.model->steps[index];
  const Block& scratch = context.blocks[context.model->graph.edge_count + index];
  return {*step.node,
          step.settings,
          context.values,
          &step.product,
          parallel_on(context.threads),
          context.arena + scratch.offset,
          static_cast<char*>(context.worker_memory),
          context.worker_bytes,
          max(context.thread_count, 1)};
}

bool is_view(const Step& step) { return step.onnx && !step.onnx->run; }

CustomCall call_of(Context* context, size_t index) {
  CustomCall call = {};
  call.node = context->model->steps[index].node;
  call.edges = context->model->graph.edges;
  call.values = context->values;
  call.parallel = parallel_on(context->threads);
  return call;
}

// --- Planning ---

Status* begin_plan(Context* context, int64_t batch) {
  const Graph& graph = context->model->graph;
  context->batch = 0;
  context->worker_bytes = 0;
  for (size_t i = 0; i < graph.edge_count; ++i) {
    const Edge& edge = graph.edges[i];
    context->values[i] = {};
    if (edge.origin == Origin::kConstant) static_cast<Tensor&>(context->values[i]) = edge.constant;
  }
  for (size_t i = 0; i < graph.input_count; ++i) {
    const Port& input = graph.inputs[i];
    Value& value = context->values[input.edge];
    value.type = input.type;
    value.rank = input.rank;
    for (size_t j = 0; j < input.rank; ++j)
      value.dims[j] = input.dims[j] < 0 ? batch : input.dims[j];
    if (input.is_number()) value.data = context->numbers + i;
    if (is_reasonable(value)) continue;
    Message text;
    return fail(text << "input " << graph.edges[input.edge] << " of shape " << value
                     << " is too large");
  }
  return nullptr;
}

Status* plan_onnx(Context* context, size_t index) {
  const Step& step = context->model->steps[index];
  const Operands operands = operands_of(*context, index);
  SBN_TRY(step.onnx->shape(operands));
  Value& y = operands.output();
  if (is_view(step)) {
    y.data = operands.input(0).data;
    return nullptr;
  }
  bool known = step.node->output_count == 1 && !step.onnx->scratch && !step.onnx->pack;
  for (size_t i = 0; i < step.node->input_count && !step.onnx->reads_sizes; ++i) {
    if (operands.has(i)) known &= operands.input(i).data != nullptr;
  }
  known &= is_reasonable(y) && bytes_of(y).value() <= kMostSmall * int64_t{sizeof(int64_t)};
  context->known[index] = known;
  if (!known) return nullptr;
  int64_t*& small = context->small[step.node->outputs[0]];
  if (!small) SBN_TRY(context->pool.array(kMostSmall, &small, kScratchAlignment));
  y.data = small;
  step.onnx->run(operands);
  return nullptr;
}

// Finds the sizes of a node's outputs, and what memory it needs.
Status* plan_step(Context* context, size_t index) {
  const Step& step = context->model->steps[index];
  const Node& node = *step.node;
  Block& scratch = context->blocks[context->model->graph.edge_count + index];
  const auto at = static_cast<int64_t>(index);
  scratch = {0, at, at, 0};
  if (step.onnx) {
    SBN_TRY(plan_onnx(context, index));
    if (step.onnx->scratch) {
      const Size bytes = step.onnx->scratch(operands_of(*context, index));
      if (!bytes.valid() || bytes.value() > kMostBytes)
        return operands_of(*context, index).invalid("it is too large");
      scratch.bytes =
          static_cast<int64_t>(align_up(static_cast<size_t>(bytes.value()), kScratchAlignment));
      context->worker_bytes = max(context->worker_bytes, scratch.bytes);
    }
  } else {
    CustomCall call = call_of(context, index);
    call.planning = true;
    call.read = context->read;
    SBN_TRY(call_custom(step.custom, step.kernel, &call));
    scratch.bytes = call.scratch_bytes;
  }
  for (size_t i = 0; i < node.output_count; ++i) {
    if (node.outputs[i] < 0) continue;
    const Value& y = context->values[node.outputs[i]];
    if (is_reasonable(y)) continue;
    Message text;
    return fail(text << node << ": its output of shape " << y << " is too large");
  }
  return nullptr;
}

// From where to where each tensor's memory is in use. The memory of a view is what it is of.
Status* find_lifetimes(Context* context) {
  const Graph& graph = context->model->graph;
  const auto last = static_cast<int64_t>(graph.node_count);
  int32_t* owner = nullptr;
  Pool temporary = {};
  SBN_TRY(temporary.array(graph.edge_count, &owner));
  for (size_t i = 0; i < graph.edge_count; ++i) {
    owner[i] = static_cast<int32_t>(i);
    context->blocks[i] = {0, last, -1, 0};
  }
  for (size_t i = 0; i < graph.node_count; ++i) {
    const Step& step = context->model->steps[i];
    const Node& node = *step.node;
    for (size_t j = 0; j < node.output_count; ++j) {
      const int32_t edge = node.outputs[j];
      if (edge < 0) continue;
      const Value& value = context->values[edge];
      if (is_view(step)) owner[edge] = owner[node.inputs[0]];
      if (is_view(step) || value.data) continue;
      context->blocks[edge] = {bytes_of(value).value(), static_cast<int64_t>(i),
                               static_cast<int64_t>(i), 0};
    }
    for (size_t j = 0; j < node.input_count; ++j) {
      if (node.inputs[j] < 0) continue;
      Block& block = context->blocks[owner[node.inputs[j]]];
      block.last = max(block.last, static_cast<int64_t>(i));
    }
  }
  for (size_t i = 0; i < graph.output_count; ++i)
    context->blocks[owner[graph.outputs[i].edge]].last = last;
  temporary.release();
  return nullptr;
}

// Places blocks, the largest first, as low as those allow that are in use at the same time.
Status* place_blocks(Context* context) {
  const Graph& graph = context->model->graph;
  Block* blocks = context->blocks;
  int64_t count = 0;
  for (size_t i = 0; i < graph.edge_count + graph.node_count; ++i) {
    Block& block = blocks[i];
    block.bytes =
        static_cast<int64_t>(align_up(static_cast<size_t>(block.bytes), kScratchAlignment));
    if (block.bytes == 0) continue;
    int64_t at = count++;
    for (; at > 0 && blocks[context->order[at - 1]].bytes < block.bytes; --at) {
      context->order[at] = context->order[at - 1];
    }
    context->order[at] = static_cast<int64_t>(i);
  }
  Size needed = 0;
  // Those that are placed, by where they lie.
  int64_t* placed = context->order + graph.edge_count + graph.node_count;
  for (int64_t i = 0; i < count; ++i) {
    Block& block = blocks[context->order[i]];
    int64_t end = 0, best = -1, smallest = INT64_MAX;
    for (int64_t j = 0; j < i; ++j) {
      const Block& other = blocks[placed[j]];
      if (other.first > block.last || other.last < block.first) continue;
      const int64_t gap = other.offset - end;
      if (gap >= block.bytes && gap < smallest) best = end, smallest = gap;
      end = max(end, other.offset + other.bytes);
    }
    block.offset = best < 0 ? end : best;
    needed = Size(max(needed.value(), (Size(block.offset) + block.bytes).value()));
    if (block.offset > kMostBytes) return fail("the tensors of the file need too much memory");
    int64_t at = i;
    for (; at > 0 && blocks[placed[at - 1]].offset > block.offset; --at)
      placed[at] = placed[at - 1];
    placed[at] = context->order[i];
  }
  context->needed = needed.value() + static_cast<int64_t>(kScratchAlignment);
  return nullptr;
}

Status* end_plan(Context* context, int64_t batch) {
  SBN_TRY(find_lifetimes(context));
  SBN_TRY(place_blocks(context));
  context->batch = batch;
  return nullptr;
}

// --- Loading ---

// Inputs are images, whose first size may be open, and numbers.
Status* check_inputs(const Graph& graph) {
  for (size_t i = 0; i < graph.input_count; ++i) {
    const Port& input = graph.inputs[i];
    Message text;
    text << "input " << graph.edges[input.edge];
    for (size_t j = 1; j < input.rank; ++j) {
      if (input.dims[j] < 0) return fail(text << " leaves another size open than the first");
    }
  }
  return nullptr;
}

Status* check_node(const Graph& graph, const Value* values, const Node& node) {
  Message text;
  for (size_t i = 0; i < node.input_count; ++i) {
    const int32_t edge = node.inputs[i];
    if (edge < 0 || values[edge].type != ElementType::kUndefined) continue;
    return fail(text << node << ": its input " << graph.edges[edge] << " is not computed before");
  }
  return nullptr;
}

// The operator of a node: of those for matrices, one that packs them only where they are constant.
const OnnxOp* choose_onnx(const Graph& graph, const Node& node) {
  const OnnxOp* op = onnx_op(node.op);
  for (size_t i = 1; op && op->unpacked && i < node.input_count; ++i) {
    if (node.inputs[i] < 0) continue;
    const Edge& edge = graph.edges[node.inputs[i]];
    if (edge.origin != Origin::kConstant || edge.constant.rank != 2) return op->unpacked;
  }
  return op;
}

Status* prepare_onnx(const Graph& graph, const Node& node, Step* step) {
  Message text;
  text << node << ": ";
  step->onnx = choose_onnx(graph, node);
  if (!step->onnx) return fail(text << "this operator of ONNX is not supported");
  bool has_outputs = node.output_count >= 1 && node.output_count <= step->onnx->most_outputs;
  for (size_t i = 0; has_outputs && i < node.output_count; ++i) has_outputs = node.outputs[i] >= 0;
  if (!has_outputs) return fail(text << "has outputs that are not supported");
  bool fits =
      node.input_count >= step->onnx->least_inputs && node.input_count <= step->onnx->most_inputs;
  for (size_t i = 0; fits && i < step->onnx->least_inputs; ++i) fits = node.inputs[i] >= 0;
  if (!fits) return fail(text << "has too many inputs or too few");
  return step->onnx->create(node, &step->settings);
}

Status* prepare_step(Model* model, Context* context, size_t index) {
  const Node& node = model->graph.nodes[index];
  Step* step = model->steps + index;
  step->node = &node;
  SBN_TRY(check_node(model->graph, context->values, node));
  Message text;
  text << node << ": ";
  if (node.domain == "" || node.domain == "ai.onnx") {
    SBN_TRY(prepare_onnx(model->graph, node, step));
    for (size_t i = 0; i < node.input_count; ++i) {
      const int32_t edge = node.inputs[i];
      if (edge < 0) continue;
      const bool packed = step->onnx->pack && i > 0;
      context->read[edge] |= !packed;
      if (!packed || model->graph.edges[edge].origin == Origin::kConstant) continue;
      return fail(text << "input " << model->graph.edges[edge] << " must be constant");
    }
    return nullptr;
  }
  if (!(node.domain == ort::kDomain))
    return fail(text << "operators of this domain are not supported");
  step->custom = custom_op(node.op);
  if (!step->custom) return fail(text << "there is no such operator in this version");
  return create_custom(step->custom, call_of(context, index), &step->kernel);
}

// Numbers on which no size depends are seeds, and the first sample, of StochasticSign.
void find_size_inputs(Model* model) {
  constexpr size_t kSeed = 2, kFirstSample = 3;
  const Graph& graph = model->graph;
  for (size_t i = 0; i < graph.input_count; ++i) {
    for (size_t j = 0; j < graph.node_count; ++j) {
      const Node& node = graph.nodes[j];
      for (size_t k = 0; k < node.input_count; ++k) {
        const bool drawn = model->steps[j].custom && node.op == "StochasticSign" &&
                           (k == kSeed || k == kFirstSample);
        model->sets_sizes[i] |= node.inputs[k] == graph.inputs[i].edge && !drawn;
      }
    }
  }
}

// Prepares all nodes, with the sizes that they have for one image.
Status* prepare_steps(Model* model, Context* context) {
  Graph& graph = model->graph;
  SBN_TRY(begin_plan(context, 1));
  for (size_t i = 0; i < graph.node_count; ++i) {
    SBN_TRY(prepare_step(model, context, i));
    SBN_TRY(plan_step(context, i));
    Step& step = model->steps[i];
    if (step.onnx && step.onnx->pack) {
      SBN_TRY(step.onnx->pack(operands_of(*context, i), &graph.pool, &step.product));
    }
  }
  SBN_TRY(end_plan(context, 1));
  for (size_t i = 0; i < graph.output_count; ++i) {
    context->read[graph.outputs[i].edge] = true;
    graph.outputs[i].type = context->values[graph.outputs[i].edge].type;
  }
  for (size_t i = 0; i < graph.edge_count; ++i) {
    Edge& edge = graph.edges[i];
    if (context->read[i] || !edge.constant_memory) continue;
    free(edge.constant_memory);
    edge.constant_memory = edge.constant.data = nullptr;
  }
  find_size_inputs(model);
  return nullptr;
}

// Scratch memory of the workers, beside the arena.
Status* make_worker_memory(Context* context) {
  free(context->worker_memory);
  context->worker_memory = nullptr;
  if (!context->threads || context->worker_bytes == 0) return nullptr;
  const Size bytes = Size(context->worker_bytes) * (context->thread_count - 1);
  if (bytes.valid() && bytes.value() <= kMostBytes) {
    context->worker_memory = malloc(static_cast<size_t>(bytes.value()));
  }
  if (context->worker_memory) return nullptr;
  Message text;
  return fail(text << context->thread_count << " threads need " << bytes.value()
                   << " bytes of memory, which there are not; use fewer");
}

// `bytes` count what is lost to alignment, as Context::needed does.
void use_arena(Context* context, void* memory, int64_t bytes) {
  const auto first = reinterpret_cast<uintptr_t>(memory);
  context->arena = reinterpret_cast<char*>(align_up(first, kScratchAlignment));
  context->arena_bytes = bytes;
  context->batch = 0;
}

}  // namespace

void Model::release() {
  for (size_t i = 0; steps && i < graph.node_count; ++i) {
    if (steps[i].kernel) destroy_custom(steps[i].custom, steps[i].kernel);
  }
  graph.release();
  *this = {};
}

void Context::release() {
  stop_threads(threads);
  free(worker_memory);
  pool.release();
  free(arena_memory);
  *this = {};
}

Status* load_model(const Bytes& file, Model* model) {
  SBN_TRY(read_graph(file, &model->graph));
  Graph& graph = model->graph;
  fuse_transposes(&graph);
  SBN_TRY(check_inputs(graph));
  SBN_TRY(graph.pool.array(graph.node_count, &model->steps));
  SBN_TRY(graph.pool.array(graph.input_count, &model->sets_sizes));
  Context context = {};
  Status* failure = create_context(*model, &context);
  if (!failure) failure = context.pool.array(graph.edge_count, &context.read);
  if (!failure) failure = prepare_steps(model, &context);
  context.release();
  for (size_t i = 0; i < graph.node_count; ++i) graph.nodes[i].attribute_count = 0;
  return failure;
}

Status* create_context(const Model& model, Context* context) {
  const Graph& graph = model.graph;
  const size_t blocks = graph.edge_count + graph.node_count;
  context->model = &model;
  SBN_TRY(context->pool.array(graph.edge_count, &context->values));
  SBN_TRY(context->pool.array(blocks, &context->blocks));
  SBN_TRY(context->pool.array(graph.input_count, &context->numbers));
  SBN_TRY(context->pool.array(graph.edge_count, &context->small));
  SBN_TRY(context->pool.array(graph.node_count, &context->known));
  SBN_TRY(context->pool.array(2 * blocks, &context->order));
  for (size_t i = 0; i < graph.input_count; ++i)
    context->numbers[i] = graph.inputs[i].default_number;
  return nullptr;
}

void set_number(Context* context, size_t input, int64_t number) {
  if (context->model->sets_sizes[input] && context->numbers[input] != number) context->batch = 0;
  context->numbers[input] = number;
}

Status* set_threads(Context* context, int64_t count) {
  Message text;
  if (count < 1 || count > kMostThreads) {
    return fail(text << "threads are " << count << ", must lie in [1, " << kMostThreads << "]");
  }
  if (count == max(context->thread_count, 1)) return nullptr;
  stop_threads(context->threads);
  context->threads = nullptr;
  context->thread_count = 1;
  SBN_TRY(start_threads(count, &context->threads));
  context->thread_count = count;
  context->batch = 0;  // they need memory
  return nullptr;
}

Status* plan(Context* context, int64_t batch) {
  Message text;
  if (batch < 1 || batch > kMostBatch) {
    return fail(text << "the batch is " << batch << ", must lie in [1, " << kMostBatch << "]");
  }
  SBN_TRY(begin_plan(context, batch));
  for (size_t i = 0; i < context->model->graph.node_count; ++i) SBN_TRY(plan_step(context, i));
  return end_plan(context, batch);
}

void set_arena(Context* context, void* memory, int64_t bytes) {
  free(context->arena_memory);
  context->arena_memory = nullptr;
  context->arena_given = memory != nullptr;
  use_arena(context, memory, memory ? bytes : 0);
}

Status* prepare(Context* context, int64_t batch) {
  if (context->batch == batch) return nullptr;
  SBN_TRY(plan(context, batch));
  context->batch = 0;
  if (context->needed > context->arena_bytes) {
    Message text;
    text << "a batch of " << batch << " needs " << context->needed << " bytes of memory";
    if (context->arena_given) return fail(text << ", " << context->arena_bytes << " were given");
    set_arena(context, nullptr, 0);
    context->arena_memory = malloc(static_cast<size_t>(context->needed));
    if (!context->arena_memory) return fail(text << ", which there are not; run fewer at once");
    use_arena(context, context->arena_memory, context->needed);
  }
  SBN_TRY(make_worker_memory(context));
  const Graph& graph = context->model->graph;
  for (size_t i = 0; i < graph.edge_count; ++i) {
    Value& value = context->values[i];
    if (graph.edges[i].origin == Origin::kComputed && !value.data)
      value.data = context->arena + context->blocks[i].offset;
  }
  context->batch = batch;
  return nullptr;
}

Status* run(Context* context, const void* const* inputs) {
  const Model& model = *context->model;
  const Graph& graph = model.graph;
  for (size_t i = 0; i < graph.input_count; ++i) {
    if (graph.inputs[i].is_number()) continue;
    context->values[graph.inputs[i].edge].data = const_cast<void*>(inputs[i]);
  }
  for (size_t i = 0; i < graph.node_count; ++i) {
    const Step& step = model.steps[i];
    if (step.custom) {
      CustomCall call = call_of(context, i);
      const Block& scratch = context->blocks[graph.edge_count + i];
      call.scratch = context->arena + scratch.offset;
      call.scratch_bytes = scratch.bytes;
      SBN_TRY(call_custom(step.custom, step.kernel, &call));
    } else if (is_view(step)) {
      const Operands operands = operands_of(*context, i);
      operands.output().data = operands.input(0).data;
      continue;
    } else if (context->known[i]) {
      continue;
    } else {
      step.onnx->run(operands_of(*context, i));
    }
    if (context->watch.ended) context->watch.ended(context->watch.state, i);
  }
  return nullptr;
}

}  // namespace sbn::native
