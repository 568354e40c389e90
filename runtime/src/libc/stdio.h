// What is used of it, for targets whose C library has no headers here.
#pragma once

#include <stddef.h>

struct FILE;
enum { SEEK_SET = 0, SEEK_CUR = 1, SEEK_END = 2 };

extern "C" {
FILE* fopen(const char* path, const char* mode);
int fclose(FILE* file);
size_t fread(void* to, size_t size, size_t count, FILE* file);
int fseek(FILE* file, long offset, int from);
long ftell(FILE* file);
void rewind(FILE* file);
}
