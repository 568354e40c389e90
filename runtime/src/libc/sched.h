// What is used of it, for targets whose C library has no headers here.
#pragma once

#if defined(_WIN32)
#include "base/kernel32.h"
inline int sched_yield() { return SwitchToThread(); }
#else
extern "C" int sched_yield();
#endif
