#include "kernels/cpu_arm64.h"

#include <stddef.h>

#if defined(__APPLE__)
#include "base/apple.h"
#elif defined(_WIN32)
#include "base/kernel32.h"
#endif
#include "base/arithmetic.h"
#include "kernels/cpu.h"
#include "kernels/product/neon.h"
#include "kernels/product/neon_lut2.h"
#if SBN_SME2
#include "kernels/product/sme2.h"
#endif

namespace sbn::arm64 {
namespace {

#if defined(__linux__)
// Bits as Linux numbers them: AT_HWCAP and AT_HWCAP2.
struct Capabilities {
  uint64_t first = 0, second = 0;
};

// The library links against no libc, so it asks the kernel itself.
int64_t system_call(int64_t number, int64_t a, int64_t b, int64_t c, int64_t d = 0) {
  register int64_t x8 __asm__("x8") = number;
  register int64_t x0 __asm__("x0") = a;
  register int64_t x1 __asm__("x1") = b;
  register int64_t x2 __asm__("x2") = c;
  register int64_t x3 __asm__("x3") = d;
  __asm__ volatile("svc #0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x3), "r"(x8) : "memory", "cc");
  return x0;
}

// The entries of the auxiliary vector that list the CPU's features, or zeroes.
Capabilities hardware_capabilities() {
  constexpr int64_t kOpenAt = 56, kClose = 57, kRead = 63, kCurrentFolder = -100;
  constexpr uint64_t kFirst = 16, kSecond = 26;
  Capabilities found;
  const auto path = reinterpret_cast<int64_t>("/proc/self/auxv");
  const int64_t file = system_call(kOpenAt, kCurrentFolder, path, 0);
  if (file < 0) return found;
  uint64_t entries[64][2];
  const int64_t size = system_call(kRead, file, reinterpret_cast<int64_t>(entries), sizeof entries);
  system_call(kClose, file, 0, 0);
  for (int64_t i = 0; i < size / 16; ++i) {
    if (entries[i][0] == kFirst) found.first = entries[i][1];
    if (entries[i][0] == kSecond) found.second = entries[i][1];
  }
  return found;
}
#endif

// Ticks of a constant rate, about 20 to 1000 in a microsecond.
uint64_t ticks() {
  uint64_t now;
  __asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(now) : : "memory");
  return now;
}

template <class T>
void keep(const T& value) {
  __asm__ volatile("" : : "r"(&value) : "memory");
}

// Both work on operands of their own that stay in the first cache, and return how many
// MAC they did. Look-ups go all over the table, as they do on real inputs.
struct Counting {
  alignas(16) uint64_t x[neon::kPixels][2 * neon::kStepsPerFlush] = {};
  alignas(16) uint64_t w[neon::kStepsPerFlush * neon::kBlock] = {};

  int64_t run() const {
    const char* rows[neon::kPixels];
    for (int64_t p = 0; p < neon::kPixels; ++p) rows[p] = reinterpret_cast<const char*>(x[p]);
    constexpr int64_t kTiles = 16;
    for (int64_t i = 0; i < kTiles; ++i) {
      neon::Tile<neon::kPixels, neon::kRegisters> tile;
      neon::clear<neon::kPixels, neon::kRegisters>(tile);
      neon::accumulate<16, neon::kPixels, neon::kRegisters>(tile, rows, 0, w, neon::kBlock,
                                                        neon::kStepsPerFlush);
      keep(tile);
    }
    return kTiles * neon::kStepsPerFlush * 64 * neon::kPixels * neon::kBlock;
  }
};

struct LookingUp {
  using Digits = neon_lut2::Digits;
  static constexpr int64_t kChunks = 16;
  uint16_t index[kChunks * Digits::kPerFlush];
  alignas(16) uint8_t w[Digits::kPerFlush * neon_lut2::kBlock] = {};

  LookingUp() {
    constexpr int64_t kTables = 1 << 2 * Digits::kBits, kTableBytes = 1 << Digits::kBits;
    for (int64_t i = 0; i < kChunks * Digits::kPerFlush; ++i) {
      index[i] = static_cast<uint16_t>(i * 419 % kTables * kTableBytes);
    }
  }

  int64_t run() const {
    for (int64_t i = 0; i < kChunks; ++i) {
      const uint16_t* digits[] = {index + i * Digits::kPerFlush};
      const uint8_t* weights = w;
      neon_lut2::Sums<1, neon_lut2::kRegisters> sums;
      neon_lut2::clear(sums);
      neon_lut2::add_run(sums, digits, weights, Digits::kPerFlush);
      keep(sums);
    }
    return kChunks * Digits::kPerFlush * Digits::kBits * 2 * neon_lut2::kBlock;
  }
};

#if SBN_SME2
// Of as many words as 3x3 taps of 64 channels have.
struct OuterProducts {
  static constexpr int64_t kSteps = 9, kWords = 2 * kSteps, kPositions = 4 * sme2::kPositions;
  alignas(64) uint32_t x[kPositions] = {};
  alignas(64) uint32_t w[kWords * sme2::kChannels] = {};
  int64_t steps[kSteps] = {};

  int64_t run() const {
    alignas(64) int32_t sums[kPositions * sme2::kChannels];
    sme2::Product product = {};
    product.x = x, product.w = w, product.steps = steps;
    product.count = kSteps, product.step_words = 2;
    product.positions = product.room = kPositions;
    product.channels = sme2::kChannels;
    product.result = sums;
    constexpr int64_t kTimes = 4;
    for (int64_t i = 0; i < kTimes; ++i) sme2::stream(product);
    keep(sums);
    return kTimes * kPositions * sme2::kChannels * kWords * 32;
  }
};
#endif

// Ticks for 2^20 MAC.
template <class Work>
uint64_t time(const Work& work) {
  const uint64_t before = ticks();
  const int64_t macs = work.run();
  return ((ticks() - before) << 20) / static_cast<uint64_t>(macs);
}

enum Answer : int32_t { kUnknown, kFaster, kSlower };

// Whether Work is faster than Other on this core. Both are timed once; `cached` keeps the answer.
template <class Work, class Other>
bool is_faster(int32_t* cached) {
  int32_t answer = __atomic_load_n(cached, __ATOMIC_RELAXED);
  if (answer == kUnknown) {
    const Other other;
    const Work work;
    uint64_t least[] = {~uint64_t{0}, ~uint64_t{0}};
    for (int round = 0; round < 8; ++round) {
      const uint64_t now[] = {time(other), time(work)};
      for (int i = 0; i < 2; ++i) least[i] = now[i] < least[i] ? now[i] : least[i];
    }
    answer = least[1] < least[0] ? kFaster : kSlower;
    __atomic_store_n(cached, answer, __ATOMIC_RELAXED);
  }
  return answer == kFaster;
}

}  // namespace

uint32_t detect() {
  uint32_t features = kNone;
  [[maybe_unused]] bool sme2 = false;
#if defined(__linux__)
  constexpr uint64_t kSdot = 1 << 20, kI8mm = 1 << 13, kSme2Bit = uint64_t{1} << 37;
  const Capabilities found = hardware_capabilities();
  if (found.first & kSdot) features |= kDotProduct;
  if (found.second & kI8mm) features |= kInt8MatMul;
  sme2 = found.second & kSme2Bit;
#elif defined(__APPLE__)
#if defined(__ENVIRONMENT_MAC_OS_X_VERSION_MIN_REQUIRED__)
  features |= kDotProduct;  // of every Mac; macOS 11 does not say so
#endif
  if (apple_says("hw.optional.arm.FEAT_DotProd")) features |= kDotProduct;
  if (apple_says("hw.optional.arm.FEAT_I8MM")) features |= kInt8MatMul;
  sme2 = apple_says("hw.optional.arm.FEAT_SME2");
#elif defined(_WIN32)
  constexpr uint32_t kSdot = 43, kI8mm = 66;  // as winnt.h numbers them
  if (IsProcessorFeaturePresent(kSdot)) features |= kDotProduct;
  if (IsProcessorFeaturePresent(kI8mm)) features |= kInt8MatMul;
#endif
#if SBN_SME2
  if (sme2 && sme2::streaming_lanes() <= sme2::kPositions) features |= kSme2;
#endif
  return features;
}

bool sme2_is_faster() {
#if SBN_SME2
  if (sme2::streaming_lanes() == sme2::kPositions) return true;
  static int32_t cached = kUnknown;
  return look_ups_are_faster() ? is_faster<OuterProducts, LookingUp>(&cached)
                               : is_faster<OuterProducts, Counting>(&cached);
#else
  return false;
#endif
}

bool look_ups_are_faster() {
  static int32_t cached = kUnknown;
  return is_faster<LookingUp, Counting>(&cached);
}

}  // namespace sbn::arm64
