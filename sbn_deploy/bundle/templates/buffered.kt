/** The bytes that the model takes, of any image; the orientation is that of EXIF, 1 if upright. */
fun pixelsOf(image: java.awt.image.BufferedImage, orientation: Int = 1): ByteArray {
    // The numbers of the file: getRGB would make other ones of grey.
    val raster = image.raster
    val numbers = raster.getPixels(0, 0, image.width, image.height, null as IntArray?)
    val index = image.colorModel as? java.awt.image.IndexColorModel
    if (index == null) {
        val modes = arrayOf(Image.Mode.GREY, Image.Mode.GREY_ALPHA, Image.Mode.RGB, Image.Mode.RGBA)
        val mode = modes[raster.numBands - 1]
        val bits = raster.sampleModel.getSampleSize(0)
        return Image(image.width, image.height, mode, numbers, bits, orientation = orientation).bytes()
    }
    val palette = IntArray(4 * index.mapSize) {
        val colour = index.getRGB(it / 4)
        if (it % 4 == 3) colour ushr 24 else colour shr (16 - 8 * (it % 4)) and 255
    }
    val mode = Image.Mode.PALETTE
    return Image(image.width, image.height, mode, numbers, 8, palette, 4, orientation).bytes()
}
