#include "base/neon.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

// Calls body(image, y, ys, xs) for each output pixel.
template <class Element, class Body>
SBN_INLINE void each_pixel(const MaxPoolShape& s, const Element* x, Element* y, Range rows,
                           Body body) {
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const Element* image = x + row / s.out_h * s.height * s.width * s.elements;
    const Range ys = pool_window(row % s.out_h, s.stride_h, s.pad_top, s.kernel_h, s.height);
    for (int64_t column = 0; column < s.out_w; ++column) {
      const Range xs = pool_window(column, s.stride_w, s.pad_left, s.kernel_w, s.width);
      body(image, y + (row * s.out_w + column) * s.elements, ys, xs);
    }
  }
}

void run(const MaxPoolShape& s, const uint64_t* x, const uint64_t* minimum, uint64_t* y,
         Range rows) {
  each_pixel(s, x, y, rows, [&](const uint64_t* image, uint64_t* to, Range ys, Range xs) {
    int64_t word = 0;
    for (; word + 2 <= s.elements; word += 2) {
      const auto turned = load<uint64x2_t>(minimum + word);
      uint64x2_t all = vdupq_n_u64(~uint64_t{0});
      for (int64_t i = ys.begin; i < ys.end; ++i) {
        for (int64_t j = xs.begin; j < xs.end; ++j) {
          const uint64_t* at = image + (i * s.width + j) * s.elements + word;
          all = vandq_u64(all, veorq_u64(load<uint64x2_t>(at), turned));
        }
      }
      store(to + word, veorq_u64(all, turned));
    }
    if (word == s.elements) return;
    const uint64_t turned = load<uint64_t>(minimum + word);
    uint64_t all = ~uint64_t{0};
    for (int64_t i = ys.begin; i < ys.end; ++i) {
      for (int64_t j = xs.begin; j < xs.end; ++j) {
        all &= load<uint64_t>(image + (i * s.width + j) * s.elements + word) ^ turned;
      }
    }
    store(to + word, all ^ turned);
  });
}

constexpr int64_t kLanes = 8;

// All ones where bit i of eight is set, for lane i.
SBN_INLINE int16x8_t lanes_of(uint64_t bits) {
  const uint16x8_t each = {1, 2, 4, 8, 16, 32, 64, 128};
  return vreinterpretq_s16_u16(vtstq_u16(vdupq_n_u16(static_cast<uint16_t>(bits)), each));
}

// Eight channels of one output pixel.
template <class Load>
SBN_INLINE int16x8_t pool_lanes(const MaxPoolShape& s, const int16_t* image, int16x8_t turned,
                                Range ys, Range xs, Load load_lanes) {
  int16x8_t most = vdupq_n_s16(INT16_MIN);
  for (int64_t i = ys.begin; i < ys.end; ++i) {
    for (int64_t j = xs.begin; j < xs.end; ++j) {
      const int16x8_t here = load_lanes(image + (i * s.width + j) * s.elements);
      most = vmaxq_s16(most, veorq_s16(here, turned));
    }
  }
  return veorq_s16(most, turned);
}

// The last channels of a pixel are copied where they are fewer than eight.
void run_quantized(const MaxPoolShape& s, const int16_t* x, const uint64_t* minimum, int16_t* y,
                   Range rows) {
  each_pixel(s, x, y, rows, [&](const int16_t* image, int16_t* to, Range ys, Range xs) {
    for (int64_t c = 0; c < s.elements; c += kLanes) {
      const int16x8_t turned = lanes_of(load<uint64_t>(minimum + c / 64) >> c % 64);
      const int64_t count = s.elements - c;
      if (count >= kLanes) {
        store(to + c, pool_lanes(s, image + c, turned, ys, xs, [](const int16_t* from) {
                return load<int16x8_t>(from);
              }));
        continue;
      }
      int16_t lanes[kLanes] = {};
      const int16x8_t most =
          pool_lanes(s, image + c, turned, ys, xs, [&](const int16_t* from) {
            for (int64_t i = 0; i < count; ++i) lanes[i] = load<int16_t>(from + i);
            return load<int16x8_t>(lanes);
          });
      neon::store_first(to + c, most, count);
    }
  });
}

}  // namespace

const MaxPoolKernel max_pool_neon = {run};
const QuantizedMaxPoolKernel quantized_max_pool_neon = {run_quantized};

}  // namespace sbn
