// What is used of it, for targets whose C library has no headers here.
#pragma once

#include <stddef.h>

extern "C" {
void* memcpy(void* to, const void* from, size_t size);
void* memmove(void* to, const void* from, size_t size);
void* memset(void* to, int value, size_t size);
int memcmp(const void* a, const void* b, size_t size);
size_t strlen(const char* text);
int strcmp(const char* a, const char* b);
char* strncpy(char* to, const char* from, size_t size);
char* strerror(int number);
}
