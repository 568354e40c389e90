package android.graphics;

import java.nio.Buffer;
import java.nio.ByteBuffer;

/** One that works: 0xAARRGGBB for each pixel, which those of the graphics processor do not give. */
public final class Bitmap {
    public enum Config {
        ALPHA_8,
        ARGB_8888,
        HARDWARE
    }

    private final int[] colours;
    private final int width;
    private final Config config;
    private final boolean premultiplied;

    /** Not in Android. */
    public Bitmap(int[] colours, int width, Config config, boolean premultiplied) {
        this.colours = colours;
        this.width = width;
        this.config = config;
        this.premultiplied = premultiplied;
    }

    public static Bitmap createBitmap(int[] colours, int width, int height, Config config) {
        return new Bitmap(colours, width, config, true);
    }

    public Bitmap copy(Config wanted, boolean mutable) {
        return new Bitmap(colours, width, wanted, premultiplied);
    }

    public Config getConfig() {
        return config;
    }

    public int getWidth() {
        return width;
    }

    public int getHeight() {
        return colours.length / width;
    }

    public boolean hasAlpha() {
        for (int colour : colours) {
            if (colour >>> 24 != 255) return true;
        }
        return false;
    }

    public boolean isPremultiplied() {
        return premultiplied;
    }

    /** Not premultiplied. */
    public void getPixels(int[] to, int offset, int stride, int x, int y, int columns, int rows) {
        readable();
        for (int row = 0; row < rows; ++row) {
            System.arraycopy(
                    colours, (y + row) * width + x, to, offset + row * stride, columns);
        }
    }

    /** As it lies in memory, which is red, green, blue, alpha, and premultiplied if it is. */
    public void copyPixelsToBuffer(Buffer to) {
        readable();
        ByteBuffer bytes = (ByteBuffer) to;
        for (int colour : colours) {
            int alpha = premultiplied ? colour >>> 24 : 255;
            for (int shift = 16; shift >= 0; shift -= 8) {
                bytes.put((byte) ((colour >> shift & 255) * alpha / 255));
            }
            bytes.put((byte) (colour >>> 24));
        }
    }

    private void readable() {
        if (config == Config.HARDWARE) throw new IllegalStateException("hardware bitmap");
    }
}
