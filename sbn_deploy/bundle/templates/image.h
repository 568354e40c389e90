/* From a decoded image to the bytes that the model takes.
 *
 * In whole numbers, and bit for bit as in training: docs/images.md of sbn-deploy defines it.
 */
#include <stdint.h>
#include <string.h>

enum { IMAGE_HEIGHT = {{height}}, IMAGE_WIDTH = {{width}}, IMAGE_CHANNELS = {{channels}} };
enum { IMAGE_PIXEL_MAX = {{pixel_max}} };
enum { IMAGE_CROP = 'c', IMAGE_PAD = 'p', IMAGE_STRETCH = 's' };
static const char image_fit[] = "{{fit}}";

enum image_mode { IMAGE_GREY, IMAGE_GREY_ALPHA, IMAGE_PALETTE, IMAGE_RGB, IMAGE_RGBA, IMAGE_CMYK };

/* Rows from the top, each pixel 1, 2, 1, 3, 4 or 4 numbers by its mode; of CMYK, 255 is all of an
 * ink. A palette has 3 or 4 bytes a colour. The orientation is that of EXIF, 1 if not known. */
struct image {
  const uint8_t* pixels8;
  const uint16_t* pixels16; /* instead of pixels8, or NULL */
  int width, height;
  enum image_mode mode;
  const uint8_t* palette;
  int palette_colours, palette_channels;
  int orientation;
};

static int image_number(const struct image* image, int64_t index) {
  return image->pixels16 ? image->pixels16[index] >> 8 : image->pixels8[index];
}

/* The channels of the model of a pixel of the image as it is stored. */
static void image_colour(const struct image* image, int y, int x, int* out) {
  static const int counts[] = {1, 2, 1, 3, 4, 4};
  const int count = counts[image->mode];
  const int64_t first = ((int64_t)y * image->width + x) * count;
  int colour[4] = {0, 0, 0, 255}, alpha = 255;
  if (image->mode == IMAGE_PALETTE) {
    const int index = image->pixels16 ? image->pixels16[first] : image->pixels8[first];
    if (index < image->palette_colours) {
      for (int c = 0; c < image->palette_channels; ++c) {
        colour[c] = image->palette[index * image->palette_channels + c];
      }
    }
    alpha = colour[3];
  } else {
    for (int c = 0; c < count; ++c) colour[c] = image_number(image, first + c);
    if (image->mode == IMAGE_GREY_ALPHA) alpha = colour[1];
    if (image->mode == IMAGE_RGBA) alpha = colour[3];
    if (count < 3) colour[1] = colour[2] = colour[0];
    if (image->mode == IMAGE_CMYK) {
      const int white = 255 - colour[3];
      for (int c = 0; c < 3; ++c) colour[c] = white - (colour[c] * white + 127) / 255;
    }
  }
  for (int c = 0; c < 3; ++c) colour[c] = (colour[c] * alpha + 255 * (255 - alpha) + 127) / 255;
  if (IMAGE_CHANNELS == 3) {
    memcpy(out, colour, 3 * sizeof *out);
  } else {
    out[0] = (19595 * colour[0] + 38470 * colour[1] + 7471 * colour[2] + 32768) >> 16;
  }
}

/* The same of the image the right way up. */
static void image_upright(const struct image* image, int y, int x, int* out) {
  const int bottom = image->height - 1, right = image->width - 1;
  switch (image->orientation) {
    case 2: image_colour(image, y, right - x, out); break;
    case 3: image_colour(image, bottom - y, right - x, out); break;
    case 4: image_colour(image, bottom - y, x, out); break;
    case 5: image_colour(image, x, y, out); break;
    case 6: image_colour(image, bottom - x, y, out); break;
    case 7: image_colour(image, bottom - x, right - y, out); break;
    case 8: image_colour(image, x, right - y, out); break;
    default: image_colour(image, y, x, out);
  }
}

/* Of n pixels along an axis, those that make output i of m, as first and count. */
static int64_t image_first(int64_t i, int64_t n, int64_t m, int* count) {
  if (m <= n) {
    const int64_t first = i * n / m;
    *count = (int)(((i + 1) * n - 1) / m - first + 1);
    return first;
  }
  *count = 2;
  const int64_t p = (2 * i + 1) * n - m;
  return (p >= 0 ? p : p - 2 * m + 1) / (2 * m);
}

static int64_t image_weight(int64_t i, int64_t j, int64_t n, int64_t m) {
  if (m <= n) {
    const int64_t begin = i * n > j * m ? i * n : j * m;
    const int64_t end = (i + 1) * n < (j + 1) * m ? (i + 1) * n : (j + 1) * m;
    return end - begin;
  }
  const int64_t p = (2 * i + 1) * n - m - 2 * m * j;
  return 2 * m - (p < 0 ? -p : p);
}

static int image_clamp(int64_t value, int most) {
  return value < 0 ? 0 : value > most ? most : (int)value;
}

/* size * above / below, rounded, halves up; 1 to most. */
static int image_scaled(int64_t size, int64_t above, int64_t below, int most) {
  const int64_t found = (2 * size * above + below) / (2 * below);
  return found < 1 ? 1 : found > most ? most : (int)found;
}

/* Writes [IMAGE_HEIGHT, IMAGE_WIDTH, IMAGE_CHANNELS], from 0 to IMAGE_PIXEL_MAX. */
static void image_to_bytes(const struct image* image, uint8_t* bytes) {
  const int turned = image->orientation >= 5 && image->orientation <= 8;
  const int rows = turned ? image->width : image->height;
  const int columns = turned ? image->height : image->width;
  int from_y = 0, from_x = 0, from_h = rows, from_w = columns;
  int to_y = 0, to_x = 0, to_h = IMAGE_HEIGHT, to_w = IMAGE_WIDTH;
  if (image_fit[0] == IMAGE_CROP) {
    from_w = image_scaled(IMAGE_WIDTH, rows, IMAGE_HEIGHT, columns);
    from_h = image_scaled(IMAGE_HEIGHT, columns, IMAGE_WIDTH, rows);
    from_x = (columns - from_w) / 2;
    from_y = (rows - from_h) / 2;
  } else if (image_fit[0] == IMAGE_PAD) {
    to_w = image_scaled(columns, IMAGE_HEIGHT, rows, IMAGE_WIDTH);
    to_h = image_scaled(rows, IMAGE_WIDTH, columns, IMAGE_HEIGHT);
    to_x = (IMAGE_WIDTH - to_w) / 2;
    to_y = (IMAGE_HEIGHT - to_h) / 2;
  }
  const int64_t whole = (int64_t)(to_h > from_h ? 2 * to_h : from_h) *
                        (to_w > from_w ? 2 * to_w : from_w);
  memset(bytes, 0, (size_t)IMAGE_HEIGHT * IMAGE_WIDTH * IMAGE_CHANNELS);
  for (int i = 0; i < to_h; ++i) {
    for (int k = 0; k < to_w; ++k) {
      int down, across, colour[3];
      int64_t sums[3] = {0, 0, 0};
      const int64_t y = image_first(i, from_h, to_h, &down);
      const int64_t x = image_first(k, from_w, to_w, &across);
      for (int64_t j = y; j < y + down; ++j) {
        for (int64_t l = x; l < x + across; ++l) {
          const int64_t weight = image_weight(i, j, from_h, to_h) * image_weight(k, l, from_w, to_w);
          image_upright(image, from_y + image_clamp(j, from_h - 1),
                        from_x + image_clamp(l, from_w - 1), colour);
          for (int c = 0; c < IMAGE_CHANNELS; ++c) sums[c] += weight * colour[c];
        }
      }
      uint8_t* out = bytes + ((int64_t)(to_y + i) * IMAGE_WIDTH + to_x + k) * IMAGE_CHANNELS;
      for (int c = 0; c < IMAGE_CHANNELS; ++c) {
        const int64_t pixel = (2 * sums[c] + whole) / (2 * whole);
        out[c] = (uint8_t)((2 * IMAGE_PIXEL_MAX * pixel + 255) / 510);
      }
    }
  }
}
