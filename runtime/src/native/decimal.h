// Decimal numbers, in every locale and on every system alike: strtod is neither.
#pragma once

namespace sbn::native {

// Reads a number as JSON writes it, and sets `behind` to what follows it. It is the nearest double, of
// two the even one; below the normal doubles 0. False where there is none, or one too large or of
// more digits than 100.
bool read_decimal(const char* text, double* number, const char** behind);

}  // namespace sbn::native
