#include "native/json.h"

#include <stdint.h>
#include <string.h>

#include "native/decimal.h"

namespace sbn::native::json {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

bool ends_value(char c) { return c == ',' || c == ']' || c == '}' || c == 0; }

const char* skip_space(const char* at) {
  while (is_space(*at)) ++at;
  return at;
}

// Behind the text that begins here.
const char* skip_text(const char* at) {
  for (++at; *at && *at != '"'; ++at) {
    if (*at == '\\' && at[1]) ++at;
  }
  return *at ? at + 1 : at;
}

// At what follows the value that begins here, and the comma behind that if there is one.
const char* skip_value(const char* at) {
  int64_t depth = 0;
  do {
    if (*at == '"') {
      at = skip_text(at);
    } else if (*at) {
      depth += (*at == '{' || *at == '[') - (*at == '}' || *at == ']');
      ++at;
    }
  } while (*at && (depth > 0 || (depth == 0 && !ends_value(*at))));
  return *at == ',' ? skip_space(at + 1) : at;
}

// The number that four hexadecimal digits are; -1 where they are not.
int32_t read_unit(const char* at) {
  int32_t unit = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = at[i];
    const int32_t digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
    if (digit < 0) return -1;
    unit = unit * 16 + digit;
  }
  return unit;
}

// The character behind a backslash, which `at` leaves behind it; what cannot be one is U+FFFD.
int32_t read_escaped(const char** at) {
  constexpr int32_t kReplacement = 0xfffd;
  const char c = **at;
  if (c) ++*at;
  if (c == 'u') {
    const int32_t first = read_unit(*at);
    if (first < 0) return kReplacement;
    *at += 4;
    if (first < 0xd800 || first > 0xdfff) return first ? first : kReplacement;
    const int32_t second = (*at)[0] == '\\' && (*at)[1] == 'u' ? read_unit(*at + 2) : -1;
    if (first > 0xdbff || second < 0xdc00 || second > 0xdfff) return kReplacement;
    *at += 6;
    return 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
  }
  constexpr char kLetters[] = "bfnrt", kMeant[] = "\b\f\n\r\t";
  for (size_t i = 0; i + 1 < sizeof kLetters; ++i) {
    if (c == kLetters[i]) return kMeant[i];
  }
  return c ? c : kReplacement;
}

// The bytes of a character in UTF-8, 1 to 4.
size_t encode(int32_t character, char* to) {
  const auto low_six = [&](int shift) {
    return static_cast<char>(0x80 | ((character >> shift) & 0x3f));
  };
  if (character < 0x80) {
    to[0] = static_cast<char>(character);
    return 1;
  }
  if (character < 0x800) {
    to[0] = static_cast<char>(0xc0 | character >> 6), to[1] = low_six(0);
    return 2;
  }
  if (character < 0x10000) {
    to[0] = static_cast<char>(0xe0 | character >> 12), to[1] = low_six(6), to[2] = low_six(0);
    return 3;
  }
  to[0] = static_cast<char>(0xf0 | character >> 18);
  to[1] = low_six(12), to[2] = low_six(6), to[3] = low_six(0);
  return 4;
}

// The bytes of a character that stands in the text as it is.
size_t length_of(const char* at) {
  size_t length = 1;
  while ((at[length] & 0xc0) == 0x80 && length < 4) ++length;
  return length;
}

}  // namespace

const char* member(const char* object, const char* key) {
  if (!object || *object != '{') return nullptr;
  const size_t length = strlen(key);
  const char* at = skip_space(object + 1);
  while (*at == '"') {
    const char* name = at + 1;
    const char* behind = skip_text(at);
    const bool found = static_cast<size_t>(behind - name) == length + 1 &&
                       memcmp(name, key, length) == 0;
    at = skip_space(behind);
    if (*at != ':') return nullptr;
    at = skip_space(at + 1);
    if (found) return at;
    at = skip_value(at);
  }
  return nullptr;
}

const char* entry(const char* list, size_t index) {
  if (!list || *list != '[') return nullptr;
  const char* at = skip_space(list + 1);
  for (; index > 0 && !ends_value(*at); --index) at = skip_value(at);
  return ends_value(*at) ? nullptr : at;
}

size_t count(const char* list) {
  if (!list || *list != '[') return 0;
  size_t found = 0;
  for (const char* at = skip_space(list + 1); !ends_value(*at); at = skip_value(at)) ++found;
  return found;
}

bool is_text(const char* value, const char* text) {
  const size_t length = strlen(text);
  return value && *value == '"' && static_cast<size_t>(skip_text(value) - value) == length + 2 &&
         memcmp(value + 1, text, length) == 0;
}

bool read_text(const char* value, char* to, size_t size) {
  if (!value || *value != '"' || size == 0) return false;
  size_t used = 0;
  const char* at = value + 1;
  while (*at && *at != '"') {
    char letter[4];
    size_t length;
    if (*at == '\\') {
      ++at;
      length = encode(read_escaped(&at), letter);
    } else {
      length = length_of(at);
      memcpy(letter, at, length);
      at += length;
    }
    if (used + length >= size) break;
    memcpy(to + used, letter, length);
    used += length;
  }
  to[used] = 0;
  return true;
}

bool read_number(const char* value, double* to) {
  const bool begins = value && (*value == '-' || (*value >= '0' && *value <= '9'));
  if (!begins) return false;
  const char* behind;
  if (!read_decimal(value, to, &behind)) return false;
  return is_space(*behind) || ends_value(*behind);
}

}  // namespace sbn::native::json
