package android.content;

import android.content.res.AssetManager;
import android.content.res.Resources;
import java.io.File;

public abstract class Context {
    public String getPackageName() {
        return null;
    }

    public File getCacheDir() {
        return null;
    }

    public AssetManager getAssets() {
        return null;
    }

    public Resources getResources() {
        return null;
    }

    public ContentResolver getContentResolver() {
        return null;
    }

    public final String getString(int id) {
        return null;
    }

    public final String getString(int id, Object... arguments) {
        return null;
    }
}
