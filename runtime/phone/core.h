// The cores that the program runs on, and what the system says about them.
#pragma once

namespace sbn::phone {

constexpr int kMostCores = 256;

struct Cores {
  int usable;  // how many the program could have used
  int count;   // how many it keeps to; 0 where the system does not allow to choose
  int numbers[kMostCores];
};

// Keeps this thread, and those that it starts, to `count` of the cores that it may use, or to all
// where there are fewer: the fastest, by the highest frequency that the system states; of equal
// ones, the last.
Cores keep_to_fastest(int count);

// Writes a JSON object: by path, the text of the files of /sys and /proc that tell the state of
// these cores. What cannot be read is left out.
void print_state(const Cores& cores);

}  // namespace sbn::phone
