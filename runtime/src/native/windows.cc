#include "native/windows.h"

namespace sbn::native {
namespace {

constexpr int64_t kMost = 1 << 15;

// Reads a list of `parts` numbers for each axis; false where it is not one of that many axes.
bool read_list(const Node& node, const char* name, int64_t least, size_t parts, size_t* axes,
               int64_t* const* to) {
  const Attribute* found = node.find(name, Attribute::kInts);
  if (!found) return true;
  const size_t count = found->integer_count / parts;
  const bool fits = found->integer_count % parts == 0 && count >= 1 && count <= Window::kAxes &&
                    (*axes == 0 || *axes == count);
  if (!fits) return false;
  *axes = count;
  for (size_t part = 0; part < parts; ++part) {
    for (size_t i = 0; i < count; ++i) {
      const int64_t value = found->integers[part * count + i];
      if (value < least || value > kMost) return false;
      to[part][Window::kAxes - count + i] = value;
    }
  }
  return true;
}

}  // namespace

Status* read_window(const Node& node, bool sized, Window* w) {
  *w = {0, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}};
  int64_t* const pads[] = {w->before, w->after};
  int64_t* const strides[] = {w->strides};
  int64_t* const dilations[] = {w->dilations};
  int64_t* const kernel[] = {w->kernel};
  const Attribute* automatic = node.find("auto_pad", Attribute::kString);
  const bool plain =
      !automatic || automatic->bytes == "NOTSET" || automatic->bytes == "VALID";
  const bool fits = plain && read_list(node, "strides", 1, 1, &w->given, strides) &&
                    read_list(node, "dilations", 1, 1, &w->given, dilations) &&
                    read_list(node, "pads", 0, 2, &w->given, pads) &&
                    (!sized || read_list(node, "kernel_shape", 1, 1, &w->given, kernel));
  if (fits && (!sized || w->given)) return nullptr;
  Message text;
  return fail(text << node
                   << ": its kernel_shape, strides, dilations, pads or auto_pad are not supported");
}

}  // namespace sbn::native
