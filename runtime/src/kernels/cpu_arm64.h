// What decides on 64-bit ARM which kernels run.
#pragma once

#include <stdint.h>

namespace sbn::arm64 {

// The features of this machine (cpu.h).
uint32_t detect();

// Whether convolution by look-ups is faster than by counting bits on the core that this
// runs on: both are timed, about a tenth of a millisecond, and the answer is kept.
bool look_ups_are_faster();

}  // namespace sbn::arm64
