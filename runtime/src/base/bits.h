// Loads and stores that are safe for unaligned tensors, and population counts.
#pragma once

#include <stdint.h>

#include "base/attributes.h"

namespace sbn {

template <class T>
SBN_INLINE T load(const void* from) {
  T value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

template <class T>
SBN_INLINE void store(void* to, T value) {
  __builtin_memcpy(to, &value, sizeof value);
}

// Bits set in x, without a popcount instruction.
SBN_INLINE int64_t count_bits(uint64_t x) {
  x -= (x >> 1) & 0x5555555555555555;
  x = (x & 0x3333333333333333) + ((x >> 2) & 0x3333333333333333);
  x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
  return static_cast<int64_t>((x * 0x0101010101010101) >> 56);
}

// Sets at most 64 bits of a zeroed bit string from bit `at` on; bits outside
// are kept. Words are the unit: the string is made of whole 64-bit words.
SBN_INLINE void merge_bits(uint64_t* words, int64_t at, uint64_t bits) {
  uint64_t* word = words + at / 64;
  const int64_t shift = at % 64;
  store(word, load<uint64_t>(word) | bits << shift);
  const uint64_t carried = shift ? bits >> (64 - shift) : 0;
  if (carried) store(word + 1, load<uint64_t>(word + 1) | carried);
}

}  // namespace sbn
