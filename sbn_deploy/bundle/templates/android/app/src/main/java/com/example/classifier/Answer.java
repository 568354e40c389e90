package com.example.classifier;

import java.nio.ByteBuffer;
import sbn.runtime.Model;
import sbn.runtime.Tensor;

/** What the network says of a picture. */
final class Answer {
    /** The picture as the network sees it, 0xAARRGGBB, rows from the top. */
    final int[] seen;

    final int width;
    final int height;
    final float[] probabilities;
    final double networkMilliseconds;
    final double pictureMilliseconds;

    Answer(Model model, ByteBuffer picture, int width, int height, int orientation) {
        long start = System.nanoTime();
        ByteBuffer pixels = model.fit(picture, width, height, orientation);
        long fitted = System.nanoTime();
        probabilities = model.classify(pixels);
        networkMilliseconds = (System.nanoTime() - fitted) / 1e6;
        pictureMilliseconds = (fitted - start) / 1e6;
        Tensor input = model.inputs().get(0);
        long[] shape = input.shape();
        boolean last = input.type == Tensor.Type.UINT8; // channels
        this.height = (int) shape[last ? 1 : 2];
        this.width = (int) shape[last ? 2 : 3];
        seen = colours(pixels, this.width * this.height);
    }

    /** The most probable class. */
    int best() {
        int best = 0;
        for (int i = 1; i < probabilities.length; ++i) {
            if (probabilities[i] > probabilities[best]) best = i;
        }
        return best;
    }

    /** Grey or colour, stretched so that its brightest number is white. */
    private static int[] colours(ByteBuffer pixels, int count) {
        int channels = pixels.capacity() / count;
        int most = 1;
        for (int i = 0; i < pixels.capacity(); ++i) most = Math.max(most, pixels.get(i) & 255);
        int[] colours = new int[count];
        for (int i = 0; i < count; ++i) {
            int colour = 255;
            for (int c = 0; c < 3; ++c) {
                int value = pixels.get(i * channels + c % channels) & 255;
                colour = colour << 8 | 255 * value / most;
            }
            colours[i] = colour;
        }
        return colours;
    }
}
