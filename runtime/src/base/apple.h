// What a Mac, an iPhone or an iPad says of its processor.
#pragma once

#include <stddef.h>
#include <stdint.h>

extern "C" int sysctlbyname(const char* name, void* value, size_t* bytes, void* changed,
                            size_t changed_bytes);

namespace sbn {

// Whether it has what hw.optional calls so; false on systems that do not know the name.
inline bool apple_says(const char* name) {
  int32_t value = 0;
  size_t bytes = sizeof value;
  return sysctlbyname(name, &value, &bytes, nullptr, 0) == 0 && value != 0;
}

}  // namespace sbn
