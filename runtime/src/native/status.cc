#include "native/status.h"

#include <stdlib.h>
#include <string.h>

namespace sbn::native {
namespace {

Status g_out_of_memory = {"out of memory"};

constexpr size_t kBlockBytes = 1 << 14;

}  // namespace

Status* fail(const char* text) {
  auto* status = static_cast<Status*>(calloc(1, sizeof(Status)));
  if (!status) return out_of_memory();
  strncpy(status->text, text, sizeof status->text - 1);
  return status;
}

Status* out_of_memory() { return &g_out_of_memory; }

void release(Status* status) {
  if (status != &g_out_of_memory) free(status);
}

bool Bytes::operator==(const char* text) const {
  return *this == Bytes{reinterpret_cast<const uint8_t*>(text), strlen(text)};
}

bool Bytes::operator==(const Bytes& other) const {
  return size == other.size && (size == 0 || memcmp(data, other.data, size) == 0);
}

Message& operator<<(Message& message, const Bytes& text) {
  constexpr size_t kMost = 200;
  for (size_t i = 0; i < text.size && i < kMost; ++i) {
    const bool printable = text.data[i] >= ' ' && text.data[i] <= '~';
    const char letter[] = {printable ? static_cast<char>(text.data[i]) : '?', 0};
    message << letter;
  }
  return text.size > kMost ? message << "..." : message;
}

void* Pool::take(Size bytes, size_t alignment) {
  constexpr auto kUnit = static_cast<int64_t>(kScratchAlignment);
  const Size padded = bytes + 2 * kUnit;  // the header, and what alignment may cost
  if (!padded.valid() || padded.value() > kMostBytes) return nullptr;
  const auto size = static_cast<size_t>(max(bytes.value(), 1));
  const auto place = reinterpret_cast<uintptr_t>(at_);
  size_t skipped = align_up(place, alignment) - place;
  if (size + skipped > left_) {
    const bool small = size <= kBlockBytes / 8;
    const size_t room = small ? kBlockBytes : size;
    auto* block = static_cast<Block*>(calloc(1, room + 2 * kScratchAlignment));
    if (!block) return nullptr;
    block->next = blocks_;
    blocks_ = block;
    auto* first = reinterpret_cast<char*>(
        align_up(reinterpret_cast<uintptr_t>(block) + sizeof(Block), kScratchAlignment));
    if (!small) return first;
    at_ = first, left_ = room, skipped = 0;
  }
  char* taken = at_ + skipped;
  at_ = taken + size, left_ -= skipped + size;
  return taken;
}

Status* Pool::text(const Bytes& bytes, const char** to) {
  Bytes made;
  SBN_TRY(copy(bytes, &made));
  *to = reinterpret_cast<const char*>(made.data);
  return nullptr;
}

Status* Pool::copy(const Bytes& bytes, Bytes* to) {
  uint8_t* made = nullptr;
  SBN_TRY(array(bytes.size + 1, &made));
  if (bytes.size) memcpy(made, bytes.data, bytes.size);
  *to = {made, bytes.size};
  return nullptr;
}

void Pool::release() {
  while (Block* block = blocks_) {
    blocks_ = block->next;
    free(block);
  }
  *this = {};
}

}  // namespace sbn::native
