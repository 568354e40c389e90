// What decides on 64-bit ARM which kernels run.
#pragma once

#include <stdint.h>

namespace sbn::arm64 {

// The features of this machine (cpu.h).
uint32_t detect();

// Whether kernels of SME2 are taken where they can run: with vectors of 512 bits, for which they are
// made, and with others where they are faster than the rest, which is timed in the same way as
// look-ups are.
bool sme2_is_faster();

// Whether convolution by look-ups is faster than by counting bits on the core that this
// runs on. Both are timed, in less than half a millisecond, and the answer is kept: on a
// machine of unlike cores it is that of the first core that asked.
bool look_ups_are_faster();

}  // namespace sbn::arm64
