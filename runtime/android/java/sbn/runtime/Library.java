package sbn.runtime;

import java.nio.ByteBuffer;

/**
 * Functions of libsbn_native, as sbn.h describes them. Models and contexts are addresses, buffers
 * are direct; who calls sees to it that these are what a function takes. Texts are UTF-8, in a
 * buffer as far as they fit; their length is returned, or -1 where there is none.
 */
final class Library {
    static {
        System.loadLibrary("sbn_native");
    }

    private Library() {}

    static native int version(ByteBuffer text, int size);

    static native int kernels(ByteBuffer text, int size);

    static native int lastError(ByteBuffer text, int size);

    static native long load(ByteBuffer file, long size);

    static native long open(ByteBuffer path);

    static native void freeModel(long model);

    static native int inputs(long model);

    static native int outputs(long model);

    /** The numbers, int64, are type, rank and eight sizes. */
    static native int input(long model, int index, ByteBuffer numbers, ByteBuffer name, int size);

    static native int output(long model, int index, ByteBuffer numbers, ByteBuffer name, int size);

    static native int metadata(long model, ByteBuffer key, ByteBuffer text, int size);

    static native int className(long model, int index, ByteBuffer text, int size);

    static native int fit(
            long model, ByteBuffer picture, int width, int height, int channels, int orientation,
            ByteBuffer pixels, long bytes);

    static native int normalise(long model, ByteBuffer pixels, ByteBuffer input, long bytes);

    static native int calibrate(long model, long samples, ByteBuffer probabilities, int classes);

    static native long newContext(long model);

    static native void freeContext(long context);

    static native int setThreads(long context, int threads);

    static native int setInput(long context, int index, ByteBuffer data);

    static native int setNumber(long context, int index, long number);

    static native int run(long context, long batch);

    static native int describeOutput(long context, int index, ByteBuffer numbers);

    static native int readOutput(long context, int index, ByteBuffer to, long bytes);
}
