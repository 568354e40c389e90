// Reads values of a text that is JSON; of one that is not, it finds fewer, and nothing outside it.
// A value is where it begins in the text, and null where there is none.
#pragma once

#include <stddef.h>

namespace sbn::native::json {

// The value of a key of an object.
const char* member(const char* object, const char* key);

// An entry of a list, and how many there are.
const char* entry(const char* list, size_t index);
size_t count(const char* list);

// Whether it is this text, which has no letter that JSON escapes.
bool is_text(const char* value, const char* text);

// Whether it is a text, whose UTF-8 goes to `to` as far as it fits, with a zero byte.
bool read_text(const char* value, char* to, size_t size);

// Whether it is a finite number.
bool read_number(const char* value, double* to);

}  // namespace sbn::native::json
