#include "native/fuse.h"

#include <string.h>

namespace sbn::native {

void fuse_transposes(Graph* graph) {
  constexpr int64_t kLast[] = {0, 2, 3, 1};
  const auto is_onnx = [](const Node& node, const char* op) {
    return node.domain == "" && node.op == op;
  };
  const auto makes_last = [&](const Node& node) {
    const Attribute* perm = node.find("perm", Attribute::kInts);
    const bool fits = is_onnx(node, "Transpose") && node.input_count == 1 &&
                      node.output_count == 1 && perm && perm->integer_count == 4;
    return fits && memcmp(perm->integers, kLast, sizeof kLast) == 0;
  };
  size_t kept = 0;
  for (size_t i = 0; i < graph->node_count; ++i) {
    const Node node = graph->nodes[i];
    Node* conv = nullptr;
    if (makes_last(node) && node.inputs[0] >= 0 && !graph->edges[node.inputs[0]].is_output) {
      for (size_t j = 0; j < kept; ++j) {
        Node& other = graph->nodes[j];
        if (is_onnx(other, "Conv") && other.output_count == 1 && other.outputs[0] == node.inputs[0])
          conv = &other;
      }
    }
    int64_t readers = 0;
    for (size_t j = 0; conv && j < graph->node_count; ++j) {
      // Nodes that were kept are there twice from here on; those count once.
      if (j >= kept && j < i) continue;
      for (size_t k = 0; k < graph->nodes[j].input_count; ++k)
        readers += graph->nodes[j].inputs[k] == node.inputs[0];
    }
    if (readers == 1) {
      conv->outputs[0] = node.outputs[0];
      conv->channels_last = true;
    } else {
      graph->nodes[kept++] = node;
    }
  }
  graph->node_count = kept;
}

}  // namespace sbn::native
