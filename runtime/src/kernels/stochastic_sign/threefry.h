// Threefry4x32 with 12 rounds (Salmon et al., Parallel random numbers: as easy as
// 1, 2, 3, SC 2011), for registers of any width.
#pragma once

#include <stdint.h>

#include "base/attributes.h"
#include "kernels/stochastic_sign/stochastic_sign.h"

namespace sbn {

// Pairs of channels differ in the first word of the counter only. What the first two
// rounds do with the others is the same for all pairs of a group.
struct ThreefryStart {
  uint32_t x0, x1, x2, x3;  // after the first round; x0 and x1 lack what a pair adds
  uint32_t rotated_x3;

  SBN_INLINE ThreefryStart(const RandomKey& key, uint32_t pair, uint32_t group) {
    const auto rotated = [](uint32_t x, int count) { return x << count | x >> (32 - count); };
    const uint32_t* words = key.words[0];
    const uint32_t second = group + words[1];
    x0 = pair + words[0] + second;
    x1 = rotated(second, 10);
    x2 = words[2] + words[3];
    x3 = rotated(words[3], 26) ^ x2;
    rotated_x3 = rotated(x3, 11);
  }
};

}  // namespace sbn

// All rounds, for the pairs that lie `pairs` after that of `start`. The file that uses
// them has add(a, b), add_word(a, uint32_t), xor_word(a, uint32_t) and mix<count>(a, b),
// which is a rotated left, xor b. They are macros, since a function for one instruction
// set cannot be inlined into a template that has none.
#define SBN_THREEFRY_TURN(x, b, d, first, second) \
  x[0] = add(x[0], x[b]);                         \
  x[2] = add(x[2], x[d]);                         \
  x[b] = mix<first>(x[b], x[0]);                  \
  x[d] = mix<second>(x[d], x[2]);
#define SBN_THREEFRY_KEY(x, key, n)         \
  x[0] = add_word(x[0], (key).words[n][0]); \
  x[1] = add_word(x[1], (key).words[n][1]); \
  x[2] = add_word(x[2], (key).words[n][2]); \
  x[3] = add_word(x[3], (key).words[n][3]);
#define SBN_THREEFRY(x, key, start, pairs)   \
  x[0] = add_word(pairs, (start).x0);        \
  x[1] = xor_word(x[0], (start).x1);         \
  x[0] = add_word(x[0], (start).x3);         \
  x[2] = add_word(x[1], (start).x2);         \
  x[3] = xor_word(x[0], (start).rotated_x3); \
  x[1] = mix<21>(x[1], x[2]);                \
  SBN_THREEFRY_TURN(x, 1, 3, 13, 27)         \
  SBN_THREEFRY_TURN(x, 3, 1, 23, 5)          \
  SBN_THREEFRY_KEY(x, key, 1)                \
  SBN_THREEFRY_TURN(x, 1, 3, 6, 20)          \
  SBN_THREEFRY_TURN(x, 3, 1, 17, 11)         \
  SBN_THREEFRY_TURN(x, 1, 3, 25, 10)         \
  SBN_THREEFRY_TURN(x, 3, 1, 18, 20)         \
  SBN_THREEFRY_KEY(x, key, 2)                \
  SBN_THREEFRY_TURN(x, 1, 3, 10, 26)         \
  SBN_THREEFRY_TURN(x, 3, 1, 11, 21)         \
  SBN_THREEFRY_TURN(x, 1, 3, 13, 27)         \
  SBN_THREEFRY_TURN(x, 3, 1, 23, 5)          \
  SBN_THREEFRY_KEY(x, key, 3)

// Defines those functions for a number of registers, which go through the rounds side by
// side: alone, each waits for itself.
#define SBN_THREEFRY_WORDS(TARGET, Register, ADD, XOR, ROTATE, ALL)                        \
  template <int Registers>                                                                 \
  struct Words {                                                                           \
    Register r[Registers];                                                                 \
  };                                                                                       \
  template <int Registers>                                                                 \
  TARGET SBN_INLINE Words<Registers> add(Words<Registers> a, Words<Registers> b) {         \
    SBN_UNROLL                                                                             \
    for (int i = 0; i < Registers; ++i) a.r[i] = ADD(a.r[i], b.r[i]);                      \
    return a;                                                                              \
  }                                                                                        \
  template <int Registers>                                                                 \
  TARGET SBN_INLINE Words<Registers> add_word(Words<Registers> a, uint32_t word) {         \
    SBN_UNROLL                                                                             \
    for (int i = 0; i < Registers; ++i) a.r[i] = ADD(a.r[i], ALL(static_cast<int>(word))); \
    return a;                                                                              \
  }                                                                                        \
  template <int Registers>                                                                 \
  TARGET SBN_INLINE Words<Registers> xor_word(Words<Registers> a, uint32_t word) {         \
    SBN_UNROLL                                                                             \
    for (int i = 0; i < Registers; ++i) a.r[i] = XOR(a.r[i], ALL(static_cast<int>(word))); \
    return a;                                                                              \
  }                                                                                        \
  template <int count, int Registers>                                                      \
  TARGET SBN_INLINE Words<Registers> mix(Words<Registers> a, Words<Registers> b) {         \
    SBN_UNROLL                                                                             \
    for (int i = 0; i < Registers; ++i) a.r[i] = XOR(ROTATE(a.r[i], count), b.r[i]);       \
    return a;                                                                              \
  }
