/** The bytes that the model takes, from any image. */
fun pixelsOf(bitmap: android.graphics.Bitmap): ByteArray {
    val colours = IntArray({{height}} * {{width}})
    android.graphics.Bitmap.createScaledBitmap(bitmap, {{width}}, {{height}}, true)
        .getPixels(colours, 0, {{width}}, 0, 0, {{width}}, {{height}})
    val pixels = ByteArray({{pixels}})
    colours.forEachIndexed { i, colour ->
        val rgb = intArrayOf(colour shr 16 and 255, colour shr 8 and 255, colour and 255)
{{if grey}}
        val grey = (299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] + 500) / 1000
        pixels[i] = ((grey * {{pixel_max}} + 127) / 255).toByte()
{{end}}
{{if colour}}
        for (c in 0..2) pixels[3 * i + c] = ((rgb[c] * {{pixel_max}} + 127) / 255).toByte()
{{end}}
    }
    return pixels
}
