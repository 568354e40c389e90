package com.example.classifier;

import android.graphics.Bitmap;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Arrays;
import sbn.runtime.Model;

/** What the app makes of pictures: MODEL, and for each ARGB WIDTH ORIENTATION CONFIG PREMULTIPLIED. */
public final class AskApp {
    private AskApp() {}

    public static void main(String[] words) throws Exception {
        try (Model model = Model.open(words[0])) {
            for (int i = 1; i < words.length; i += 5) answer(model, words, i);
        }
    }

    private static void answer(Model model, String[] words, int at) throws Exception {
        ByteBuffer file = ByteBuffer.wrap(Files.readAllBytes(Paths.get(words[at])));
        int[] colours = new int[file.remaining() / 4];
        file.order(ByteOrder.LITTLE_ENDIAN).asIntBuffer().get(colours);
        Bitmap bitmap =
                new Bitmap(
                        colours,
                        Integer.parseInt(words[at + 1]),
                        Bitmap.Config.valueOf(words[at + 3]),
                        Boolean.parseBoolean(words[at + 4]));
        Photo photo = Photo.of(bitmap, Integer.parseInt(words[at + 2]));
        Answer answer =
                new Answer(model, photo.pixels, photo.width, photo.height, photo.orientation);
        System.out.println(model.className(answer.best()));
        System.out.println(Arrays.toString(answer.probabilities));
        System.out.println(answer.width + " " + answer.height);
        System.out.println(Arrays.toString(answer.seen));
        boolean timed = answer.networkMilliseconds > 0 && answer.pictureMilliseconds > 0;
        System.out.println(timed);
    }
}
