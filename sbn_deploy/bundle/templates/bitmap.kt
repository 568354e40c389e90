/** The bytes that the model takes, of any image; the orientation is that of EXIF, 1 if upright. */
fun pixelsOf(bitmap: android.graphics.Bitmap, orientation: Int = 1): ByteArray {
    val colours = IntArray(bitmap.width * bitmap.height)
    bitmap.getPixels(colours, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
    val numbers = IntArray(4 * colours.size)
    colours.forEachIndexed { i, colour ->
        for (c in 0..2) numbers[4 * i + c] = colour shr (16 - 8 * c) and 255
        numbers[4 * i + 3] = colour ushr 24
    }
    return Image(bitmap.width, bitmap.height, Image.Mode.RGBA, numbers, orientation = orientation).bytes()
}
