// What is used of it, for targets whose C library has no headers here.
#pragma once

#if defined(__ANDROID__)
extern "C" int* __errno();
#define errno (*__errno())
#elif defined(__APPLE__)
extern "C" int* __error();
#define errno (*__error())
#elif defined(_WIN32)
extern "C" int* _errno();
#define errno (*_errno())
#endif
