// What is used of it, for targets whose C library has no headers here.
#pragma once

extern "C" int sched_yield();
