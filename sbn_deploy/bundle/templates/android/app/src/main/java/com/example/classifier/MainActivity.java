package com.example.classifier;

import android.app.Activity;
import android.content.ActivityNotFoundException;
import android.content.ClipData;
import android.content.Intent;
import android.content.res.AssetFileDescriptor;
import android.graphics.Bitmap;
import android.graphics.drawable.BitmapDrawable;
import android.net.Uri;
import android.os.Build;
import android.os.Bundle;
import android.provider.MediaStore;
import android.widget.ImageView;
import android.widget.TextView;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import sbn.runtime.Model;
import sbn.runtime.SbnException;

/** Classifies a picture that is chosen, or taken with the camera's app. */
public final class MainActivity extends Activity {
    private static final int CHOOSE = 1;
    private static final int SHOOT = 2;

    private final ExecutorService background = Executors.newSingleThreadExecutor();
    private Model model; // of the background's thread

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        setContentView(R.layout.main);
        findViewById(R.id.choose).setOnClickListener(view -> choose());
        findViewById(R.id.shoot).setOnClickListener(view -> shoot());
        background.execute(this::load);
    }

    @Override
    protected void onDestroy() {
        background.execute(
                () -> {
                    if (model != null) model.close();
                });
        background.shutdown();
        super.onDestroy();
    }

    private void load() {
        String name = getString(R.string.model);
        try (AssetFileDescriptor asset = getAssets().openFd(name);
                FileInputStream stream = asset.createInputStream()) {
            model =
                    Model.load(
                            stream.getChannel()
                                    .map(
                                            FileChannel.MapMode.READ_ONLY,
                                            asset.getStartOffset(),
                                            asset.getDeclaredLength()));
            // More pay off for models that take milliseconds, up to the number of big cores.
            model.setThreads(1);
        } catch (IOException | SbnException error) {
            say(name + ": " + error.getMessage());
        }
    }

    private void choose() {
        Intent intent;
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) {
            intent = new Intent(MediaStore.ACTION_PICK_IMAGES);
        } else {
            intent = new Intent(Intent.ACTION_GET_CONTENT).addCategory(Intent.CATEGORY_OPENABLE);
        }
        start(intent.setType("image/*"), CHOOSE);
    }

    private void shoot() {
        Uri photo = PhotoProvider.uri(this);
        Intent intent = new Intent(MediaStore.ACTION_IMAGE_CAPTURE);
        intent.putExtra(MediaStore.EXTRA_OUTPUT, photo);
        intent.setClipData(ClipData.newRawUri(null, photo));
        intent.addFlags(Intent.FLAG_GRANT_WRITE_URI_PERMISSION);
        start(intent, SHOOT);
    }

    private void start(Intent intent, int request) {
        try {
            startActivityForResult(intent, request);
        } catch (ActivityNotFoundException error) {
            say(getString(R.string.no_app));
        }
    }

    @Override
    protected void onActivityResult(int request, int result, Intent data) {
        super.onActivityResult(request, result, data);
        if (result != RESULT_OK) return;
        Uri chosen = data == null ? null : data.getData();
        Uri picture = request == SHOOT ? PhotoProvider.uri(this) : chosen;
        if (picture != null) background.execute(() -> classify(picture));
    }

    private void classify(Uri picture) {
        if (model == null) return; // load() has said why
        try {
            Photo photo = Photo.read(getContentResolver(), picture);
            Answer answer =
                    new Answer(model, photo.pixels, photo.width, photo.height, photo.orientation);
            String name = model.className(answer.best());
            runOnUiThread(() -> show(answer, name));
        } catch (IOException | SbnException error) {
            say(String.valueOf(error.getMessage()));
        } catch (OutOfMemoryError error) {
            say(picture + ": the picture is too large for this device");
        }
    }

    private void show(Answer answer, String name) {
        Bitmap seen =
                Bitmap.createBitmap(
                        answer.seen, answer.width, answer.height, Bitmap.Config.ARGB_8888);
        BitmapDrawable drawable = new BitmapDrawable(getResources(), seen);
        drawable.setFilterBitmap(false);
        this.<ImageView>findViewById(R.id.seen).setImageDrawable(drawable);
        set(R.id.size, getString(R.string.seen, answer.width, answer.height));
        float probability = answer.probabilities[answer.best()];
        set(R.id.answer, getString(R.string.answer, name, 100 * probability));
        set(
                R.id.times,
                getString(
                        R.string.times,
                        answer.networkMilliseconds,
                        answer.pictureMilliseconds,
                        Model.kernels()));
    }

    private void say(String text) {
        runOnUiThread(() -> set(R.id.answer, text));
    }

    private void set(int view, String text) {
        this.<TextView>findViewById(view).setText(text);
    }
}
