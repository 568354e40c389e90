// The functions of string.h that deal with text, where no C library is linked.
#include <string.h>

extern "C" {

size_t strlen(const char* text) {
  size_t length = 0;
  while (text[length]) ++length;
  return length;
}

int strcmp(const char* a, const char* b) {
  while (*a && *a == *b) ++a, ++b;
  return static_cast<unsigned char>(*a) - static_cast<unsigned char>(*b);
}

char* strncpy(char* to, const char* from, size_t size) {
  size_t i = 0;
  for (; i < size && from[i]; ++i) to[i] = from[i];
  for (; i < size; ++i) to[i] = 0;
  return to;
}
}
