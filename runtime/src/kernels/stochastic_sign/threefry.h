// Threefry4x32 with 12 rounds (Salmon et al., Parallel random numbers: as easy as
// 1, 2, 3, SC 2011), for registers of any width.
#pragma once

#include <stdint.h>

#include "base/attributes.h"
#include "kernels/stochastic_sign/stochastic_sign.h"

namespace sbn {

// The key with its parity word.
struct ThreefrySchedule {
  uint32_t words[5];

  SBN_INLINE explicit ThreefrySchedule(const RandomKey& key) {
    constexpr uint32_t kParity = 0x1bd11bda;
    words[4] = kParity;
    for (int i = 0; i < 4; ++i) words[i] = key.words[i], words[4] ^= key.words[i];
  }
  // What is added to word `i` after 4 n rounds.
  SBN_INLINE uint32_t at(int n, int i) const {
    return words[(n + i) % 5] + (i == 3 ? static_cast<uint32_t>(n) : 0);
  }
};

}  // namespace sbn

// The rounds on x[0] to x[3], which hold counter + key. The file that uses them has
// add(a, b), add_key(a, uint32_t) and MIX(a, b, count), which is a rotated left, xor b.
// They are macros, since a function for one instruction set cannot be inlined into a
// template that has none, and intrinsics want literal counts.
#define SBN_THREEFRY_TURN(x, b, d, first, second) \
  x[0] = add(x[0], x[b]);                         \
  x[2] = add(x[2], x[d]);                         \
  x[b] = MIX(x[b], x[0], first);                  \
  x[d] = MIX(x[d], x[2], second);
#define SBN_THREEFRY_KEY(x, schedule, n)   \
  x[0] = add_key(x[0], schedule.at(n, 0)); \
  x[1] = add_key(x[1], schedule.at(n, 1)); \
  x[2] = add_key(x[2], schedule.at(n, 2)); \
  x[3] = add_key(x[3], schedule.at(n, 3));
#define SBN_THREEFRY_FIRST_TURNS(x)   \
  SBN_THREEFRY_TURN(x, 1, 3, 10, 26)  \
  SBN_THREEFRY_TURN(x, 3, 1, 11, 21)  \
  SBN_THREEFRY_TURN(x, 1, 3, 13, 27)  \
  SBN_THREEFRY_TURN(x, 3, 1, 23, 5)
#define SBN_THREEFRY_SECOND_TURNS(x)  \
  SBN_THREEFRY_TURN(x, 1, 3, 6, 20)   \
  SBN_THREEFRY_TURN(x, 3, 1, 17, 11)  \
  SBN_THREEFRY_TURN(x, 1, 3, 25, 10)  \
  SBN_THREEFRY_TURN(x, 3, 1, 18, 20)
#define SBN_THREEFRY_12(x, schedule)  \
  SBN_THREEFRY_FIRST_TURNS(x)         \
  SBN_THREEFRY_KEY(x, schedule, 1)    \
  SBN_THREEFRY_SECOND_TURNS(x)        \
  SBN_THREEFRY_KEY(x, schedule, 2)    \
  SBN_THREEFRY_FIRST_TURNS(x)         \
  SBN_THREEFRY_KEY(x, schedule, 3)
