// One scratch buffer, cut into aligned parts.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arithmetic.h"

namespace sbn {

constexpr size_t kScratchAlignment = 64;

// Adds up the parts. Its total is invalid when it cannot be counted in 63 bits.
class ScratchLayout {
 public:
  // Returns where the new part begins. Vector loads may read past its end by
  // less than the alignment.
  int64_t take(Size bytes) {
    const int64_t at = total_.value();
    total_ = total_ + bytes + static_cast<int64_t>(2 * kScratchAlignment - 1);
    if (total_.valid()) total_ = total_.value() / kUnit * kUnit;
    return at;
  }

  Size total() const { return total_; }

 private:
  static constexpr int64_t kUnit = kScratchAlignment;
  Size total_ = 0;
};

}  // namespace sbn
