package com.example.classifier;

import android.content.ContentResolver;
import android.graphics.Bitmap;
import android.graphics.BitmapFactory;
import android.media.ExifInterface;
import android.net.Uri;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;

/** A decoded picture: red, green, blue and alpha of each pixel, and how the camera was held. */
final class Photo {
    // Larger ones are read at half their size, a quarter, and so on.
    private static final long MOST_PIXELS = 16_000_000;

    final ByteBuffer pixels;
    final int width;
    final int height;
    /** That of EXIF: 1 where the picture is upright. */
    final int orientation;

    private Photo(ByteBuffer pixels, int width, int height, int orientation) {
        this.pixels = pixels;
        this.width = width;
        this.height = height;
        this.orientation = orientation;
    }

    /** Reads a file, with the numbers that are in it: no colour profile is applied. */
    static Photo read(ContentResolver resolver, Uri uri) throws IOException {
        BitmapFactory.Options options = new BitmapFactory.Options();
        options.inJustDecodeBounds = true;
        decode(resolver, uri, options);
        options.inJustDecodeBounds = false;
        options.inSampleSize = 1;
        long pixels = (long) options.outWidth * options.outHeight;
        while (pixels / ((long) options.inSampleSize * options.inSampleSize) > MOST_PIXELS) {
            options.inSampleSize *= 2;
        }
        options.inPreferredConfig = Bitmap.Config.ARGB_8888;
        options.inPremultiplied = false;
        Bitmap bitmap = decode(resolver, uri, options);
        if (bitmap == null) throw new IOException("is no picture that this device can read");
        try (InputStream stream = open(resolver, uri)) {
            int orientation =
                    new ExifInterface(stream).getAttributeInt(ExifInterface.TAG_ORIENTATION, 1);
            return of(bitmap, orientation);
        }
    }

    /** Of any bitmap, also one in the memory of the graphics processor. */
    static Photo of(Bitmap given, int orientation) {
        Bitmap bitmap =
                given.getConfig() == Bitmap.Config.ARGB_8888
                        ? given
                        : given.copy(Bitmap.Config.ARGB_8888, false);
        int width = bitmap.getWidth();
        int height = bitmap.getHeight();
        ByteBuffer bytes = ByteBuffer.allocateDirect(4 * width * height);
        if (bitmap.hasAlpha() && bitmap.isPremultiplied()) {
            int[] row = new int[width];
            for (int y = 0; y < height; ++y) {
                bitmap.getPixels(row, 0, width, 0, y, width, 1);
                for (int colour : row) {
                    bytes.put((byte) (colour >> 16)).put((byte) (colour >> 8));
                    bytes.put((byte) colour).put((byte) (colour >> 24));
                }
            }
        } else {
            bitmap.copyPixelsToBuffer(bytes);
        }
        bytes.rewind();
        return new Photo(bytes, width, height, orientation);
    }

    private static Bitmap decode(ContentResolver resolver, Uri uri, BitmapFactory.Options options)
            throws IOException {
        try (InputStream stream = open(resolver, uri)) {
            return BitmapFactory.decodeStream(stream, null, options);
        }
    }

    private static InputStream open(ContentResolver resolver, Uri uri) throws IOException {
        InputStream stream = resolver.openInputStream(uri);
        if (stream == null) throw new IOException("cannot be read");
        return stream;
    }
}
