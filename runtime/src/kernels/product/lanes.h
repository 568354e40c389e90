// Weights laid out so that each step of a product reads the words of a whole block
// of output channels: [block][step][lane]. Channels past the end hold zeros.
#pragma once

#include <stdint.h>

#include "base/arithmetic.h"
#include "base/bits.h"

namespace sbn {

// Every lane of a step reads the same word.
struct InStep {
  static constexpr int64_t word(int64_t /*lane*/, int64_t step, int64_t /*steps*/) { return step; }
};

// `w` is [groups * group_outputs, steps]. A block has `Layout::kLanes` lanes, but
// the last one of a group has `Layout::lanes(channels that are left)`; lane i
// computes channel `Layout::channel(i)` of its block, and reads `Order::word(i, step, steps)`
// of it.
template <class Layout, class Order = InStep>
void pack_lanes(const uint64_t* w, int64_t groups, int64_t group_outputs, int64_t steps,
                void* packed) {
  auto* to = static_cast<uint64_t*>(packed);
  for (int64_t group = 0; group < groups; ++group) {
    for (int64_t first = 0; first < group_outputs; first += Layout::kLanes) {
      const int64_t lanes = Layout::lanes(group_outputs - first);
      for (int64_t step = 0; step < steps; ++step) {
        for (int64_t lane = 0; lane < lanes; ++lane) {
          const int64_t channel = first + Layout::channel(lane);
          const uint64_t* from = w + (group * group_outputs + channel) * steps;
          const int64_t word = Order::word(lane, step, steps);
          *to++ = channel < group_outputs ? load<uint64_t>(from + word) : 0;
        }
      }
    }
  }
}

// Lanes of all blocks of a group.
template <class Layout>
constexpr int64_t lanes_in_group(int64_t group_outputs) {
  const int64_t last = (group_outputs - 1) / Layout::kLanes * Layout::kLanes;
  return last + Layout::lanes(group_outputs - last);
}

}  // namespace sbn
