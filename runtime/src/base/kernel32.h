// What is used of Windows' kernel32.dll, which every process has. Declared here, so that no SDK is
// needed; libc/kernel32.def names the same functions to the linker.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SBN_KERNEL32 extern "C" __declspec(dllimport)

SBN_KERNEL32 int GetModuleHandleExW(uint32_t flags, const wchar_t* address, void** module);
SBN_KERNEL32 int IsProcessorFeaturePresent(uint32_t feature);

SBN_KERNEL32 void* GetProcessHeap();
SBN_KERNEL32 void* HeapAlloc(void* heap, uint32_t flags, size_t bytes);
SBN_KERNEL32 int HeapFree(void* heap, uint32_t flags, void* memory);

SBN_KERNEL32 int MultiByteToWideChar(uint32_t page, uint32_t flags, const char* text, int bytes,
                                     wchar_t* to, int room);
SBN_KERNEL32 void* CreateFileW(const wchar_t* path, uint32_t access, uint32_t sharing,
                               void* security, uint32_t creation, uint32_t flags, void* pattern);
SBN_KERNEL32 int SetFilePointerEx(void* file, int64_t distance, int64_t* place, uint32_t from);
SBN_KERNEL32 int ReadFile(void* file, void* to, uint32_t bytes, uint32_t* read, void* overlapped);
SBN_KERNEL32 int CloseHandle(void* handle);
SBN_KERNEL32 uint32_t GetLastError();
SBN_KERNEL32 uint32_t FormatMessageA(uint32_t flags, const void* source, uint32_t message,
                                     uint32_t language, char* to, uint32_t room, void* arguments);

// Locks and conditions are a pointer each, null at first.
SBN_KERNEL32 void AcquireSRWLockExclusive(void** lock);
SBN_KERNEL32 void ReleaseSRWLockExclusive(void** lock);
SBN_KERNEL32 int SleepConditionVariableSRW(void** condition, void** lock, uint32_t milliseconds,
                                           uint32_t flags);
SBN_KERNEL32 void WakeAllConditionVariable(void** condition);
SBN_KERNEL32 void* CreateThread(void* security, size_t stack_bytes, uint32_t (*body)(void*),
                                void* argument, uint32_t flags, uint32_t* id);
SBN_KERNEL32 uint32_t WaitForSingleObject(void* handle, uint32_t milliseconds);
SBN_KERNEL32 int SwitchToThread();
