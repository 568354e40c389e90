package sbn.runtime;

import java.util.Arrays;

/** What an input or output is. */
public final class Tensor {
    /** The type of its elements. */
    public enum Type {
        FLOAT32(1, 4),
        UINT8(2, 1),
        INT8(3, 1),
        INT16(5, 2),
        INT32(6, 4),
        INT64(7, 8),
        BOOL(9, 1),
        UINT64(13, 8);

        /** Bytes of an element. */
        public final int bytes;

        private final int number; // that of ONNX

        Type(int number, int bytes) {
            this.number = number;
            this.bytes = bytes;
        }

        static Type of(long number) {
            for (Type type : values()) {
                if (type.number == number) return type;
            }
            throw new SbnException("the model has a tensor of the type " + number);
        }
    }

    public final String name;
    public final Type type;
    private final long[] shape;

    Tensor(String name, Type type, long[] shape) {
        this.name = name;
        this.type = type;
        this.shape = shape;
    }

    /** Its sizes; the first is -1 where it is that of the batch. */
    public long[] shape() {
        return shape.clone();
    }

    /** Bytes of one image, where the first size is that of the batch. */
    long bytesOfOne() {
        long bytes = type.bytes;
        for (long size : shape) bytes = Math.multiplyExact(bytes, Math.max(size, 1));
        return bytes;
    }

    /** Whether any batch will do. */
    boolean isOpen() {
        return shape.length > 0 && shape[0] < 0;
    }

    @Override
    public String toString() {
        return name + " " + type + " " + Arrays.toString(shape);
    }
}
