// How long each node of a model takes.
#pragma once

#include "phone/session.h"

namespace sbn::phone {

// Times `runs` calls with a clock read after each node, as many without it, as many of the model
// that shows how fast the CPU is, and the clock of the core in between, all in turns. Writes to
// standard output "call_ns": […], "peak_ns": […], "ghz": […] and "layers", a list of the nodes that
// compute something, in their order: name, op, ns (of each call), inputs and outputs (shapes),
// tensor_bytes, constant_bytes.
void profile(const Session& session, int64_t batch, const Session& peak, int64_t runs);

}  // namespace sbn::phone
