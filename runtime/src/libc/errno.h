// What is used of it, for targets whose C library has no headers here.
#pragma once

#if defined(__ANDROID__)
extern "C" int* __errno();
#define errno (*__errno())
#endif
