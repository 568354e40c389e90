package android.content;

import android.net.Uri;
import android.os.Parcelable;

public class Intent {
    public static final String ACTION_GET_CONTENT = "android.intent.action.GET_CONTENT";
    public static final String CATEGORY_OPENABLE = "android.intent.category.OPENABLE";
    public static final int FLAG_GRANT_WRITE_URI_PERMISSION = 2;

    public Intent(String action) {}

    public Intent addCategory(String category) {
        return this;
    }

    public Intent addFlags(int flags) {
        return this;
    }

    public Intent setType(String type) {
        return this;
    }

    public Intent putExtra(String name, Parcelable value) {
        return this;
    }

    public void setClipData(ClipData clip) {}

    public Uri getData() {
        return null;
    }
}
