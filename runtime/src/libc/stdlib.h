// What is used of it, for targets whose C library has no headers here.
#pragma once

#include <stddef.h>

extern "C" {
void* malloc(size_t size);
void* calloc(size_t count, size_t size);
void free(void* memory);
}
