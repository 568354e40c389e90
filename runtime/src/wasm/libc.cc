// What the native runtime needs of a C library in a browser besides base/freestanding.cc and
// libc/text.cc. Memory is that of one thread, and grows as far as the browser lets it.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arithmetic.h"
#include "base/attributes.h"

namespace {

constexpr size_t kUnit = 16;
constexpr size_t kPage = 1 << 16;

// A piece of memory, `size` bytes with this header.
struct alignas(kUnit) Block {
  size_t size;
  Block* next;  // of those that are free
};
static_assert(sizeof(Block) == kUnit, "memory behind it is aligned");

Block* g_free = nullptr;  // by address, and no two of them adjacent
bool g_started = false;

char* end_of(Block* block) { return reinterpret_cast<char*>(block) + block->size; }

// Makes one block of a free one and the next where they are adjacent.
void join(Block* block) {
  Block* next = block->next;
  if (!next || end_of(block) != reinterpret_cast<char*>(next)) return;
  block->size += next->size;
  block->next = next->next;
}

void give_back(Block* block) {
  Block* before = nullptr;
  Block* after = g_free;
  for (; after && after < block; after = after->next) before = after;
  block->next = after;
  (before ? before->next : g_free) = block;
  join(block);
  if (before) join(before);
}

void give_back(size_t begin, size_t end) {
  if (end < begin + kUnit) return;
  auto* block = reinterpret_cast<Block*>(begin);
  block->size = end - begin;
  give_back(block);
}

// The first free block of that size, without what it has more; null where there is none.
Block* take(size_t size) {
  Block** at = &g_free;
  while (*at && (*at)->size < size) at = &(*at)->next;
  Block* block = *at;
  if (!block) return nullptr;
  *at = block->next;
  const size_t rest = block->size - size;
  if (rest < 2 * kUnit) return block;
  block->size = size;
  give_back(reinterpret_cast<size_t>(end_of(block)), reinterpret_cast<size_t>(end_of(block)) + rest);
  return block;
}

}  // namespace

extern "C" {

// By the linker: where its data end, and a function that runs constructors.
extern char __heap_base;
void __wasm_call_ctors();

// To be called once, before all others.
SBN_EXPORT void _initialize() { __wasm_call_ctors(); }

SBN_EXPORT void* malloc(size_t size) {
  if (size > PTRDIFF_MAX) return nullptr;
  if (!g_started) {
    const size_t begin = sbn::align_up(reinterpret_cast<size_t>(&__heap_base), kUnit);
    give_back(begin, __builtin_wasm_memory_size(0) * kPage);
    g_started = true;
  }
  const size_t wanted = sbn::align_up(size, kUnit) + kUnit;
  Block* block = take(wanted);
  if (!block) {
    const size_t pages = (wanted + kPage - 1) / kPage;
    const size_t before = __builtin_wasm_memory_grow(0, pages);
    if (before == SIZE_MAX) return nullptr;
    give_back(before * kPage, (before + pages) * kPage);
    block = take(wanted);
  }
  return block + 1;
}

SBN_EXPORT void free(void* memory) {
  if (memory) give_back(static_cast<Block*>(memory) - 1);
}

void* calloc(size_t count, size_t size) {
  size_t bytes = 0;
  if (__builtin_mul_overflow(count, size, &bytes)) return nullptr;
  void* memory = malloc(bytes);
  return memory ? memset(memory, 0, bytes) : nullptr;
}

// A product of 128 bits, which the compiler checks 64-bit ones for overflow with.
unsigned __int128 __multi3(unsigned __int128 a, unsigned __int128 b) {
  constexpr uint64_t kHalf = 0xffffffff;
  const auto a_low = static_cast<uint64_t>(a), a_high = static_cast<uint64_t>(a >> 64);
  const auto b_low = static_cast<uint64_t>(b), b_high = static_cast<uint64_t>(b >> 64);
  const uint64_t low = (a_low & kHalf) * (b_low & kHalf);
  const uint64_t middle = (a_low >> 32) * (b_low & kHalf) + (low >> 32);
  const uint64_t other = (a_low & kHalf) * (b_low >> 32) + (middle & kHalf);
  const uint64_t high = (a_low >> 32) * (b_low >> 32) + (middle >> 32) + (other >> 32);
  const uint64_t upper = high + a_low * b_high + a_high * b_low;
  return static_cast<unsigned __int128>(upper) << 64 | (other << 32 | (low & kHalf));
}
}
