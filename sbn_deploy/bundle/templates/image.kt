/**
 * From a decoded image to the bytes that the model takes.
 *
 * In whole numbers, and bit for bit as in training: docs/images.md of sbn-deploy defines it.
 *
 * @param numbers rows from the top, each pixel 1, 2, 1, 3, 4 or 4 numbers by its mode; of CMYK,
 *     255 is all of an ink.
 * @param bits 8 or 16.
 * @param palette 3 or 4 numbers a colour.
 * @param orientation that of EXIF, 1 if not known.
 */
class Image(
    private val width: Int,
    private val height: Int,
    private val mode: Mode,
    private val numbers: IntArray,
    private val bits: Int = 8,
    private val palette: IntArray = IntArray(0),
    private val paletteChannels: Int = 3,
    private val orientation: Int = 1
) {
    enum class Mode(val count: Int) { GREY(1), GREY_ALPHA(2), PALETTE(1), RGB(3), RGBA(4), CMYK(4) }

    private val colour = IntArray(4)

    /** [{{height}}, {{width}}, {{channels}}], from 0 to {{pixel_max}}. */
    fun bytes(): ByteArray {
        val rows = if (orientation in 5..8) width else height
        val columns = if (orientation in 5..8) height else width
        var fromY = 0; var fromX = 0; var fromH = rows; var fromW = columns
        var toY = 0; var toX = 0; var toH = HEIGHT; var toW = WIDTH
        if (FIT == "crop") {
            fromW = scaled(WIDTH, rows, HEIGHT, columns)
            fromH = scaled(HEIGHT, columns, WIDTH, rows)
            fromX = (columns - fromW) / 2
            fromY = (rows - fromH) / 2
        } else if (FIT == "pad") {
            toW = scaled(columns, HEIGHT, rows, WIDTH)
            toH = scaled(rows, WIDTH, columns, HEIGHT)
            toX = (WIDTH - toW) / 2
            toY = (HEIGHT - toH) / 2
        }
        val whole = total(fromH, toH) * total(fromW, toW)
        val bytes = ByteArray(HEIGHT * WIDTH * CHANNELS)
        for (i in 0 until toH) for (k in 0 until toW) {
            val sums = LongArray(CHANNELS)
            for (j in pixels(i, fromH, toH)) for (l in pixels(k, fromW, toW)) {
                val weight = weight(i, j, fromH, toH) * weight(k, l, fromW, toW)
                upright(fromY + j.coerceIn(0L, fromH - 1L).toInt(), fromX + l.coerceIn(0L, fromW - 1L).toInt())
                for (c in 0 until CHANNELS) sums[c] += weight * colour[c]
            }
            for (c in 0 until CHANNELS) {
                val pixel = (2 * sums[c] + whole) / (2 * whole)
                bytes[((toY + i) * WIDTH + toX + k) * CHANNELS + c] = ((2 * PIXEL_MAX * pixel + 255) / 510).toByte()
            }
        }
        return bytes
    }

    /** Puts the channels of the model of a pixel, seen the right way up, into `colour`. */
    private fun upright(y: Int, x: Int) {
        val bottom = height - 1
        val right = width - 1
        when (orientation) {
            2 -> read(y, right - x)
            3 -> read(bottom - y, right - x)
            4 -> read(bottom - y, x)
            5 -> read(x, y)
            6 -> read(bottom - x, y)
            7 -> read(bottom - x, right - y)
            8 -> read(x, right - y)
            else -> read(y, x)
        }
    }

    private fun read(y: Int, x: Int) {
        val first = (y * width + x) * mode.count
        var alpha = 255
        if (mode == Mode.PALETTE) {
            val at = numbers[first] * paletteChannels
            val known = at < palette.size
            for (c in 0 until 3) colour[c] = if (known) palette[at + c] else 0
            if (known && paletteChannels == 4) alpha = palette[at + 3]
        } else {
            for (c in 0 until mode.count) colour[c] = numbers[first + c] shr (bits - 8)
            if (mode == Mode.GREY_ALPHA) alpha = colour[1]
            if (mode == Mode.RGBA) alpha = colour[3]
            if (mode.count < 3) { colour[1] = colour[0]; colour[2] = colour[0] }
            if (mode == Mode.CMYK) {
                val white = 255 - colour[3]
                for (c in 0 until 3) colour[c] = white - (colour[c] * white + 127) / 255
            }
        }
        for (c in 0 until 3) colour[c] = (colour[c] * alpha + 255 * (255 - alpha) + 127) / 255
        if (CHANNELS == 1) {
            colour[0] = (19595 * colour[0] + 38470 * colour[1] + 7471 * colour[2] + 32768) shr 16
        }
    }

    private companion object {
        const val HEIGHT = {{height}}
        const val WIDTH = {{width}}
        const val CHANNELS = {{channels}}
        const val PIXEL_MAX = {{pixel_max}}
        const val FIT = "{{fit}}"

        /** Of n pixels along an axis, those that make output i of m. */
        fun pixels(i: Int, n: Int, m: Int): LongRange {
            if (m <= n) return i.toLong() * n / m..((i + 1L) * n - 1) / m
            val first = Math.floorDiv((2L * i + 1) * n - m, 2L * m)
            return first..first + 1
        }

        fun weight(i: Int, j: Long, n: Int, m: Int): Long {
            if (m <= n) return minOf((i + 1L) * n, (j + 1) * m) - maxOf(i.toLong() * n, j * m)
            val p = (2L * i + 1) * n - m - 2 * m * j
            return 2L * m - Math.abs(p)
        }

        fun total(n: Int, m: Int): Long = if (m <= n) n.toLong() else 2L * m

        /** size * above / below, rounded, halves up; 1 to most. */
        fun scaled(size: Int, above: Int, below: Int, most: Int): Int =
            ((2L * size * above + below) / (2L * below)).coerceIn(1L, most.toLong()).toInt()
    }
}
