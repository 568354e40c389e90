// The functions of sbn.h for classifiers of pictures. docs/images.md defines how a picture becomes
// the input, and sbn_runtime's calibration.py how probabilities are calibrated.
#include <stdlib.h>
#include <string.h>

#include "base/arithmetic.h"
#include "native/functions.h"
#include "native/json.h"
#include "native/status.h"
#include "sbn.h"

namespace {

using namespace sbn;
using native::failed;
using native::Status;

constexpr int64_t kLongest = 1 << 14;   // side of an input
constexpr int64_t kLargest = 1 << 16;   // side of a picture

// What the metadata say of pictures.
struct Wanted {
  int64_t height, width, channels;
  int64_t pixel_max;
  bool is_bytes;  // the input is pixels, and else floats
  bool reversed;  // blue, green, red
  char fit;       // c, p or s
  const char* mean;
  const char* std;

  int64_t size() const { return height * width * channels; }
};

Status* refuse(const char* why) { return native::fail(why); }

const char* said_by(const sbn_model* model) { return sbn_model_metadata(model, "sbn"); }

bool read_whole(const char* value, int64_t low, int64_t high, int64_t* to) {
  double number;
  if (!native::json::read_number(value, &number)) return false;
  if (!(number >= static_cast<double>(low) && number <= static_cast<double>(high))) return false;
  *to = static_cast<int64_t>(number);
  return static_cast<double>(*to) == number;
}

// The letter of the text among those that are known, or 0.
char letter_of(const char* value, const char* const* known) {
  for (; *known; ++known) {
    if (native::json::is_text(value, *known)) return **known;
  }
  return 0;
}

Status* read_wanted(const sbn_model* model, Wanted* to) {
  using namespace native::json;
  const char* fields = member(said_by(model), "preprocess");
  if (!fields || *fields != '{') {
    return refuse("the model does not say how pictures become its input; export it with --preprocess");
  }
  if (member(fields, "shape")) return refuse("the model takes numbers, not pictures");
  if (const char* sound = member(fields, "sound"); sound && *sound == '{') {
    return refuse("the model takes recordings, not pictures");
  }
  sbn_tensor input;
  if (sbn_model_input(model, 0, &input) != 0 || input.rank != 4) {
    return refuse("the model's input is not one of pictures");
  }
  static const char* const kFits[] = {"crop", "pad", "stretch", nullptr};
  static const char* const kOrders[] = {"rgb", "bgr", nullptr};
  const char* interpolation = member(fields, "interpolation");
  const char* fit = member(fields, "fit");
  const char* order = member(fields, "order");
  to->fit = fit ? letter_of(fit, kFits) : 's';
  const char first = order ? letter_of(order, kOrders) : 'r';
  to->reversed = first == 'b';
  to->is_bytes = input.type == SBN_UINT8;
  to->mean = member(fields, "mean");
  to->std = member(fields, "std");
  if (!read_whole(member(fields, "height"), 1, kLongest, &to->height) ||
      !read_whole(member(fields, "width"), 1, kLongest, &to->width) ||
      !read_whole(member(fields, "channels"), 1, kLongest, &to->channels) ||
      !read_whole(member(fields, "pixel_max"), 1, 255, &to->pixel_max) || !to->fit || !first ||
      (interpolation && !is_text(interpolation, "area"))) {
    return refuse("what the model says of pictures is damaged, or of a newer version");
  }
  const int64_t* sizes = input.shape + (to->is_bytes ? 1 : 2);
  const int64_t channels = input.shape[to->is_bytes ? 3 : 1];
  const bool typed = to->is_bytes || input.type == SBN_FLOAT32;
  if (!typed || sizes[0] != to->height || sizes[1] != to->width || channels != to->channels) {
    return refuse("what the model says of pictures does not fit its input");
  }
  return nullptr;
}

Status* check_bytes(const char* what, int64_t wanted, size_t given) {
  if (given == static_cast<size_t>(wanted)) return nullptr;
  Message text;
  return native::fail(text << what << " takes " << wanted << " bytes, not "
                           << static_cast<int64_t>(given));
}

// The pixels of a picture as it is seen: that of row y and column x is at first + y down + x across.
struct View {
  const uint8_t* first;
  int64_t rows, columns, down, across;
};

View upright(const sbn_picture& p) {
  const int64_t pixel = p.channels, row = pixel * p.width;
  const int64_t last_row = row * (p.height - 1), last_pixel = row - pixel;
  const auto view = [&](int64_t first, int64_t down, int64_t across) {
    const bool turned = p.orientation >= 5 && p.orientation <= 8;
    return View{p.pixels + first, turned ? p.width : p.height, turned ? p.height : p.width, down,
                across};
  };
  switch (p.orientation) {
    case 2: return view(last_pixel, row, -pixel);
    case 3: return view(last_row + last_pixel, -row, -pixel);
    case 4: return view(last_row, -row, pixel);
    case 5: return view(0, pixel, row);
    case 6: return view(last_row, pixel, -row);
    case 7: return view(last_row + last_pixel, -pixel, -row);
    case 8: return view(last_pixel, -pixel, row);
    default: return view(0, row, pixel);
  }
}

// A pixel's colours on white, as many as the model takes.
void colours_of(const uint8_t* pixel, int32_t given, int64_t channels, int32_t* to) {
  const int32_t count = given < 3 ? 1 : 3;
  const int32_t alpha = given % 2 == 0 ? pixel[given - 1] : 255;
  for (int32_t c = 0; c < 3; ++c) {
    const int32_t value = pixel[count == 1 ? 0 : c];
    to[c] = alpha == 255 ? value : (value * alpha + 255 * (255 - alpha) + 127) / 255;
  }
  if (channels == 1 && count == 3) {
    to[0] = (19595 * to[0] + 38470 * to[1] + 7471 * to[2] + 32768) >> 16;
  }
}

// size * above / below, rounded, halves up; 1 to `most`.
int64_t scaled(int64_t size, int64_t above, int64_t below, int64_t most) {
  return clamp((2 * size * above + below) / (2 * below), 1, most);
}

// The pixels along an axis of n that make one of m, from `first` on; their weights add up to total.
struct Span {
  int64_t first, count, at, n, m;

  Span(int64_t index, int64_t n_given, int64_t m_given) : n(n_given), m(m_given) {
    if (m <= n) {
      at = index * n;
      first = at / m;
      count = (at + n - 1) / m - first + 1;
    } else {
      at = (2 * index + 1) * n - m;
      first = at >= 0 ? at / (2 * m) : -1;
      count = 2;
    }
  }

  int64_t weight(int64_t pixel) const {
    if (m <= n) return min(at + n, (pixel + 1) * m) - max(at, pixel * m);
    const int64_t part = at - 2 * m * first;
    return pixel == first ? 2 * m - part : part;
  }

  int64_t inside(int64_t pixel) const { return clamp(pixel, 0, n - 1); }
  static int64_t total(int64_t n, int64_t m) { return m <= n ? n : 2 * m; }
};

void fit_picture(const sbn_picture& picture, const Wanted& wanted, uint8_t* pixels) {
  View from = upright(picture);
  int64_t top = 0, left = 0, height = wanted.height, width = wanted.width;
  if (wanted.fit == 'c') {
    const int64_t rows = scaled(height, from.columns, width, from.rows);
    const int64_t columns = scaled(width, from.rows, height, from.columns);
    from.first += (from.rows - rows) / 2 * from.down + (from.columns - columns) / 2 * from.across;
    from.rows = rows, from.columns = columns;
  } else if (wanted.fit == 'p') {
    height = scaled(from.rows, wanted.width, from.columns, wanted.height);
    width = scaled(from.columns, wanted.height, from.rows, wanted.width);
    top = (wanted.height - height) / 2, left = (wanted.width - width) / 2;
  }
  const int64_t whole = Span::total(from.rows, height) * Span::total(from.columns, width);
  memset(pixels, 0, static_cast<size_t>(wanted.size()));
  for (int64_t i = 0; i < height; ++i) {
    const Span down(i, from.rows, height);
    for (int64_t k = 0; k < width; ++k) {
      const Span across(k, from.columns, width);
      int64_t sums[3] = {0, 0, 0};
      for (int64_t y = down.first; y < down.first + down.count; ++y) {
        const uint8_t* row = from.first + down.inside(y) * from.down;
        for (int64_t x = across.first; x < across.first + across.count; ++x) {
          const int64_t weight = down.weight(y) * across.weight(x);
          int32_t colours[3];
          colours_of(row + across.inside(x) * from.across, picture.channels, wanted.channels,
                     colours);
          for (int64_t c = 0; c < wanted.channels; ++c) sums[c] += weight * colours[c];
        }
      }
      uint8_t* to = pixels + ((top + i) * wanted.width + left + k) * wanted.channels;
      for (int64_t c = 0; c < wanted.channels; ++c) {
        const int64_t mean = (2 * sums[c] + whole) / (2 * whole);
        to[c] = static_cast<uint8_t>((2 * wanted.pixel_max * mean + 255) / 510);
      }
    }
  }
}

Status* fit_checked(const sbn_model* model, const sbn_picture* picture, uint8_t* pixels,
                    size_t bytes) {
  Wanted wanted;
  SBN_TRY(read_wanted(model, &wanted));
  if (wanted.channels != 1 && wanted.channels != 3) {
    return refuse("the model takes neither grey nor colour pictures; give it pixels");
  }
  SBN_TRY(check_bytes("an image of pixels", wanted.size(), bytes));
  const bool possible = picture->pixels && picture->channels >= 1 && picture->channels <= 4 &&
                        picture->width >= 1 && picture->width <= kLargest &&
                        picture->height >= 1 && picture->height <= kLargest;
  if (!possible) return refuse("a picture has sides of 1 to 65536, and 1 to 4 bytes a pixel");
  fit_picture(*picture, wanted, pixels);
  return nullptr;
}

Status* normalise_checked(const sbn_model* model, const uint8_t* pixels, void* input,
                          size_t bytes) {
  Wanted wanted;
  SBN_TRY(read_wanted(model, &wanted));
  const int64_t size = wanted.size(), area = wanted.height * wanted.width;
  SBN_TRY(check_bytes("an input", wanted.is_bytes ? size : 4 * size, bytes));
  for (int64_t i = 0; i < size; ++i) {
    if (pixels[i] <= wanted.pixel_max) continue;
    Message text;
    return native::fail(text << "a pixel is " << int64_t{pixels[i]} << ", and the model's largest "
                             << wanted.pixel_max << "; rescale the image");
  }
  const int64_t channels = wanted.channels;
  for (int64_t c = 0; c < channels; ++c) {
    const int64_t from = wanted.reversed ? channels - 1 - c : c;
    if (wanted.is_bytes) {
      auto* to = static_cast<uint8_t*>(input) + c;
      for (int64_t i = 0; i < area; ++i) to[i * channels] = pixels[i * channels + from];
      continue;
    }
    double mean, std;
    const auto index = static_cast<size_t>(c);
    if (!native::json::read_number(native::json::entry(wanted.mean, index), &mean) ||
        !native::json::read_number(native::json::entry(wanted.std, index), &std) || !(std > 0)) {
      return refuse(
          "the model's mean or std cannot be read; where the program sets a locale, it needs "
          "setlocale(LC_NUMERIC, \"C\")");
    }
    const auto full = static_cast<float>(wanted.pixel_max);
    auto* to = static_cast<float*>(input) + c * area;
    for (int64_t i = 0; i < area; ++i) {
      const float pixel = static_cast<float>(pixels[i * channels + from]) / full;
      to[i] = (pixel - static_cast<float>(mean)) / static_cast<float>(std);
    }
  }
  return nullptr;
}

// The value of a table for a count of networks: between two that were measured it changes like 1/n.
bool read_at(const char* counts, const char* values, double networks, double* to) {
  using namespace native::json;
  double a = 0, before = 0, b = 0;
  const size_t rows = count(counts);
  for (size_t i = 0; i < rows; ++i) {
    if (!read_number(entry(counts, i), &b) || !(b > a)) return false;
    if (!read_number(entry(values, i), to)) return false;
    if (b >= networks) {
      if (i == 0 || b == networks) return true;
      *to = before + (1 / a - 1 / networks) / (1 / a - 1 / b) * (*to - before);
      return true;
    }
    a = b, before = *to;
  }
  return rows > 0;
}

// The file's own number of noise samples; 1 where it has no noise.
int64_t samples_of(const sbn_model* model) {
  int64_t samples = 1;
  sbn_tensor input;
  for (size_t i = 1; i < sbn_model_inputs(model); ++i) {
    if (sbn_model_input(model, i, &input) == 0 && strcmp(input.name, "samples") == 0) {
      read_whole(native::json::member(said_by(model), "samples"), 1, kLargest, &samples);
    }
  }
  return samples;
}

Status* calibrate(const sbn_model* model, int64_t samples, float* probabilities, size_t classes) {
  using namespace native::json;
  const char* said = member(said_by(model), "calibration");
  if (!said || *said != '{') return nullptr;
  int64_t members = 1;
  read_whole(member(said_by(model), "members"), 1, kLargest, &members);
  if (samples == 0) samples = samples_of(model);
  if (samples < 1 || samples > kLargest) return refuse("samples must be 1 to 65536, or 0");
  const auto networks = static_cast<double>(members * samples);
  const char* offsets = member(said, "offsets");
  double temperature;
  if (!is_text(member(said, "task"), "classification") || count(offsets) != classes ||
      !read_at(member(said, "networks"), member(said, "temperatures"), networks, &temperature) ||
      !(temperature > 0)) {
    return refuse("the model's calibration is damaged; calibrate it again with `sbn calibrate`");
  }
  const auto logit = [&](size_t k, double* to) {
    constexpr double kSmallest = 1e-300;
    double offset;
    if (!read_number(entry(offsets, k), &offset)) return false;
    const auto p = static_cast<double>(probabilities[k]);
    *to = (native::log_of_double(p > kSmallest ? p : kSmallest) + offset) / temperature;
    return true;
  };
  double top = 0, sum = 0, z;
  for (size_t k = 0; k < classes; ++k) {
    if (!logit(k, &z)) return refuse("the model's calibration is damaged");
    top = k == 0 || z > top ? z : top;
  }
  const auto share = [&](size_t k) {
    constexpr double kLeast = -700;
    return logit(k, &z) && z - top > kLeast ? native::exp_of_double(z - top) : 0.0;
  };
  for (size_t k = 0; k < classes; ++k) sum += share(k);
  for (size_t k = 0; k < classes; ++k) probabilities[k] = static_cast<float>(share(k) / sum);
  return nullptr;
}

}  // namespace

extern "C" {

SBN_EXPORT int sbn_model_fit(const sbn_model* model, const sbn_picture* picture, uint8_t* pixels,
                             size_t bytes) {
  return failed(fit_checked(model, picture, pixels, bytes));
}

SBN_EXPORT int sbn_model_normalise(const sbn_model* model, const uint8_t* pixels, void* input,
                                   size_t bytes) {
  return failed(normalise_checked(model, pixels, input, bytes));
}

SBN_EXPORT int sbn_model_class(const sbn_model* model, size_t index, char* name, size_t size) {
  const char* classes = native::json::member(said_by(model), "classes");
  if (native::json::read_text(native::json::entry(classes, index), name, size)) return 0;
  return failed(native::fail("the model has no name of such a class"));
}

SBN_EXPORT int sbn_model_calibrate(const sbn_model* model, int64_t samples, float* probabilities,
                                   size_t classes) {
  return failed(calibrate(model, samples, probabilities, classes));
}
}
