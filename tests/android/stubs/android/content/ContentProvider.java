package android.content;

import android.database.Cursor;
import android.net.Uri;
import android.os.ParcelFileDescriptor;
import java.io.FileNotFoundException;

public abstract class ContentProvider {
    public abstract boolean onCreate();

    public final Context getContext() {
        return null;
    }

    public ParcelFileDescriptor openFile(Uri uri, String mode) throws FileNotFoundException {
        return null;
    }

    public abstract String getType(Uri uri);

    public abstract Cursor query(
            Uri uri, String[] columns, String selection, String[] arguments, String order);

    public abstract Uri insert(Uri uri, ContentValues values);

    public abstract int delete(Uri uri, String selection, String[] arguments);

    public abstract int update(
            Uri uri, ContentValues values, String selection, String[] arguments);
}
