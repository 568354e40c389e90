#pragma once

#if defined(__ANDROID__)
extern "C" int* __errno();
#define errno (*__errno())
#endif
