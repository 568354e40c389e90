#include "kernels/stochastic_sign/stochastic_sign.h"

#include "base/bits.h"

namespace sbn {
namespace {

// Signs that are worth a task of their own: about 10 us.
constexpr double kTaskSigns = 1 << 15;

}  // namespace

int64_t SignTable::set(const int32_t* table) {
  constexpr int64_t kLast = 65535, kSteps = 512;
  const auto entry = [&](int64_t row, int64_t i) {
    return int64_t{load<int32_t>(table + row * kSegments + i)};
  };
  for (int64_t i = 0; i < kSegments; ++i) {
    const int64_t first = entry(0, i), slope = entry(1, i);
    const int64_t next = i + 1 < kSegments ? min(entry(0, i + 1), kLast) : kLast;
    const bool inside = first >= 32768 && first <= kLast && slope >= 0;
    if (!inside || first + slope * (kSteps - 1) / kSteps > next) return i;
    start[i] = static_cast<uint16_t>(first), rise[i] = static_cast<uint16_t>(slope);
    const auto high = [](int64_t value) { return static_cast<uint8_t>(value >> 8); };
    planes[0][i] = static_cast<uint8_t>(first), planes[1][i] = high(first);
    planes[2][i] = static_cast<uint8_t>(slope), planes[3][i] = high(slope);
  }
  return -1;
}

RandomKey::RandomKey(uint64_t seed, uint32_t layer, uint32_t sample) {
  constexpr uint32_t kParity = 0x1bd11bda;
  const auto low = static_cast<uint32_t>(seed), high = static_cast<uint32_t>(seed >> 32);
  const uint32_t key[] = {low, high, layer, sample, kParity ^ low ^ high ^ layer ^ sample};
  for (uint32_t n = 0; n < 4; ++n) {
    for (uint32_t i = 0; i < 4; ++i) words[n][i] = key[(n + i) % 5] + (i == 3 ? n : 0);
  }
}

void stochastic_sign_execute(const StochasticSignNode& node, const int16_t* x, uint64_t* y,
                             const Parallel& parallel) {
  const int64_t groups = div_up(node.pixels, kRandomPixels);
  const int64_t words = words_of(node.channels);
  const int64_t sample_values = node.fan_out ? 0 : node.images * node.pixels * node.channels;
  const int64_t sample_words = node.images * node.pixels * words;
  const int64_t units = node.samples * groups;
  const double signs = static_cast<double>(units * node.channels) * kRandomPixels *
                       static_cast<double>(node.images);
  parallel_ranges(parallel, units, signs, kTaskSigns, [&](Range mine) {
    RandomBlock random;
    for (int64_t unit = mine.begin; unit < mine.end; ++unit) {
      const int64_t sample = unit / groups, group = unit % groups;
      const int64_t pixel = group * kRandomPixels;
      const RandomKey key(node.seed, node.layer,
                          node.first_sample + static_cast<uint32_t>(sample));
      SignBlock block = {};
      block.images = node.images;
      block.pixels = min(node.pixels - pixel, kRandomPixels);
      block.image_values = node.pixels * node.channels, block.pixel_values = node.channels;
      block.image_words = node.pixels * words, block.pixel_words = words;
      for (int64_t channel = 0; channel < node.channels; channel += kRandomChannels) {
        block.channels = min(node.channels - channel, kRandomChannels);
        block.x = x + sample * sample_values + pixel * node.channels + channel;
        block.y = y + sample * sample_words + pixel * words + channel / kRandomChannels;
        node.kernel->random(key, static_cast<uint32_t>(channel / 2),
                            static_cast<uint32_t>(group), block.channels, &random);
        node.kernel->draw(*node.table, random, block);
      }
    }
  });
}

}  // namespace sbn
