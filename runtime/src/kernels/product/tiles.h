// The AMX product: up to 32 pixels by 32 output channels on tiles of bytes.
//
// The instructions are written out: gcc 12 does not know that its intrinsics read and
// write memory. Tile registers: 0 to 3 accumulate [pixel half][channel half], 4 and 5
// hold pixels, 6 and 7 weights. Of 64 cycles of four products the loads take 32.
#pragma once

#include <stdint.h>

#include "base/arithmetic.h"
#include "base/attributes.h"

namespace sbn::amx {

constexpr int64_t kPixels = 32;
constexpr int64_t kRows = 16;  // of a tile
constexpr int64_t kTileBytes = 1024;
constexpr int64_t kRowBytes = 64;

template <int Tile>
SBN_INLINE void load_tile(const void* from, int64_t stride) {
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(Tile) : "memory");
}

template <int Tile>
SBN_INLINE void store_tile(void* to, int64_t stride) {
  __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(Tile) : "memory");
}

template <int Sum, int Pixels, int Weights>
SBN_INLINE void multiply_tiles() {
  __asm__ volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(Sum), "i"(Pixels), "i"(Weights));
}

// The tile registers of this thread. onnxruntime's own kernels use them on the same
// threads and configure them anew whenever they differ, so they are left released.
class Tiles {
 public:
  Tiles() = default;
  Tiles(const Tiles&) = delete;
  ~Tiles() { __asm__ volatile("tilerelease"); }

  // Shapes them for `count` in [1, kPixels] pixels.
  SBN_INLINE void set_pixels(int64_t count) {
    if (count == pixels_) return;
    pixels_ = count;
    const auto first = static_cast<uint8_t>(min(count, kRows));
    const auto second = static_cast<uint8_t>(count > kRows ? count - kRows : kRows);
    const Configuration c = {
        1, 0, {}, {64, 64, 64, 64, 64, 64, 64, 64}, {first, first, second, second, first, second, 16, 16}};
    __asm__ volatile("ldtilecfg %0" ::"m"(c));
  }

 private:
  struct Configuration {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  };
  static_assert(sizeof(Configuration) == 64, "as the CPU wants it");

  int64_t pixels_ = 0;
};

// Starts the sums of `Halves` times 16 pixels at those of 32 channels.
template <int Halves>
SBN_INLINE void begin(const int32_t* sums) {
  load_tile<0>(sums, 0);
  load_tile<1>(sums + 16, 0);
  if (Halves == 1) return;
  load_tile<2>(sums, 0);
  load_tile<3>(sums + 16, 0);
}

// Adds `steps` products of 64 inputs; returns the weights that come next.
template <int Halves>
SBN_INLINE const char* accumulate(const char* x, int64_t pixel_bytes, const char* w,
                                  int64_t steps) {
  const int64_t half = kRows * pixel_bytes;
  for (int64_t step = 0; step < steps; ++step, x += kRowBytes, w += 2 * kTileBytes) {
    load_tile<6>(w, kRowBytes);
    load_tile<4>(x, pixel_bytes);
    multiply_tiles<0, 4, 6>();
    load_tile<7>(w + kTileBytes, kRowBytes);
    multiply_tiles<1, 4, 7>();
    if (Halves == 1) continue;
    load_tile<5>(x + half, pixel_bytes);
    multiply_tiles<2, 5, 6>();
    multiply_tiles<3, 5, 7>();
  }
  return w;
}

// Stores the sums as [pixel][channel].
template <int Halves>
SBN_INLINE void end(int32_t* sums) {
  constexpr int64_t kStride = 128;
  store_tile<0>(sums, kStride);
  store_tile<1>(sums + 16, kStride);
  if (Halves == 1) return;
  store_tile<2>(sums + 32 * kRows, kStride);
  store_tile<3>(sums + 32 * kRows + 16, kStride);
}

}  // namespace sbn::amx
