// The core that the program runs on, and what the system says about it.
#pragma once

namespace sbn::phone {

// Moves this thread to the fastest core that it may use, by the highest frequency that the
// system states; of equal ones, to the last. Returns its number, or -1 where the system
// does not allow it.
int pin_to_fastest_core();

// How many cores this thread may use; before it was pinned, that is all that there are.
int usable_cores();

// Writes a JSON object: by path, the text of the files of /sys and /proc that tell the
// state of that core. What cannot be read is left out.
void print_state(int core);

}  // namespace sbn::phone
