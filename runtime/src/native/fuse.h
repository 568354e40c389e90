// Nodes of a graph that are run as one.
#pragma once

#include "native/graph.h"

namespace sbn::native {

// A Conv whose only reader makes its channels the last axis writes them so itself.
void fuse_transposes(Graph* graph);

}  // namespace sbn::native
