package sbn.runtime;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.ToIntBiFunction;

/**
 * A model of `sbn export`.
 *
 * <p>Any thread may call it; calls wait for each other. What fails throws an {@link SbnException}
 * that says why. {@link #close} gives back its memory, which no garbage collector does.
 */
public final class Model implements AutoCloseable {
    private static final int TENSOR_NUMBERS = 10;

    private final List<Tensor> inputs = new ArrayList<>();
    private final List<Tensor> outputs = new ArrayList<>();
    private final ByteBuffer numbers = direct(8 * TENSOR_NUMBERS);
    private final List<ByteBuffer> read = new ArrayList<>(); // while it runs: they must live
    private long model;
    private long context;
    private long samples; // 0: as many as the file says

    private Model(long loaded) {
        model = made(loaded);
        try {
            context = made(Library.newContext(model));
            for (int i = 0; i < Library.inputs(model); ++i) inputs.add(describe(true, i));
            for (int i = 0; i < Library.outputs(model); ++i) outputs.add(describe(false, i));
        } catch (RuntimeException failure) {
            close();
            throw failure;
        }
    }

    /** Loads a file from a path. */
    public static Model open(String path) {
        return new Model(Library.open(textOf(path)));
    }

    /** Loads a file from memory, from the buffer's position to its limit. */
    public static Model load(ByteBuffer file) {
        ByteBuffer bytes = directOf(file);
        return new Model(Library.load(bytes, bytes.remaining()));
    }

    /** Loads a file from memory. */
    public static Model load(byte[] file) {
        return load(ByteBuffer.wrap(file));
    }

    /** The version of sbn-deploy that the library is of. */
    public static String version() {
        return text(Library::version);
    }

    /** The name of the kernels that models loaded from now on run on, such as neon. */
    public static String kernels() {
        return text(Library::kernels);
    }

    /** What it takes; numbers such as seed and samples are among them, with an empty shape. */
    public List<Tensor> inputs() {
        return Collections.unmodifiableList(inputs);
    }

    /** What it answers. */
    public List<Tensor> outputs() {
        return Collections.unmodifiableList(outputs);
    }

    /** The metadata under a key, or null; "sbn" has the JSON of docs/exported-file.md. */
    public synchronized String metadata(String key) {
        long open = opened();
        ByteBuffer name = textOf(key);
        return text((to, size) -> Library.metadata(open, name, to, size));
    }

    /** The name of a class; the word class and its number where the file has none. */
    public synchronized String className(int index) {
        long open = opened();
        String name = text((to, size) -> Library.className(open, index, to, size));
        return name == null ? "class " + index : name;
    }

    /** Runs on so many threads from now on, 1 to 256; without this on that of the caller alone. */
    public synchronized void setThreads(int threads) {
        opened();
        check(Library.setThreads(context, threads));
    }

    /** Sets the seed of the noise of a model that has noise. */
    public synchronized void setSeed(long seed) {
        setNumber("seed", seed);
    }

    /** How many noise samples are averaged, 1 or more, of a model that has noise. */
    public synchronized void setSamples(int count) {
        if (count < 1) throw new SbnException("samples must be 1 or more, not " + count);
        setNumber("samples", count);
        samples = count;
    }

    /**
     * Runs a batch.
     *
     * @param given for each input but numbers, in their order, the elements of the batch from the
     *     buffer's position to its limit, in the byte order of the machine. Direct buffers are read
     *     where they are.
     * @return the elements of each output by its name, in the byte order of the machine.
     */
    public synchronized Map<String, ByteBuffer> run(ByteBuffer... given) {
        opened();
        long batch = -1;
        int next = 0;
        read.clear();
        for (int i = 0; i < inputs.size(); ++i) {
            Tensor input = inputs.get(i);
            if (input.shape().length == 0) continue;
            if (next == given.length) throw new SbnException("input " + input.name + " is missing");
            ByteBuffer data = directOf(given[next++]);
            long images = imagesIn(input, data.remaining());
            if (batch >= 0 && images != batch) {
                throw new SbnException("inputs have batches of " + batch + " and " + images);
            }
            batch = images;
            read.add(data);
            check(Library.setInput(context, i, data));
        }
        if (next < given.length) throw new SbnException("there are only " + next + " inputs");
        int failed = Library.run(context, Math.max(batch, 1));
        read.clear();
        check(failed);
        Map<String, ByteBuffer> found = new LinkedHashMap<>();
        for (int i = 0; i < outputs.size(); ++i) found.put(outputs.get(i).name, output(i));
        return found;
    }

    /**
     * Brings a picture to the size, colours and range that the model takes, as training did.
     *
     * @param picture rows from the top, with 1 to 4 bytes a pixel: grey, grey and alpha, red green
     *     and blue, these and alpha.
     * @param orientation that of EXIF; 1 if it is upright.
     * @return pixels [height, width, channels], a direct buffer.
     */
    public synchronized ByteBuffer fit(
            ByteBuffer picture, int width, int height, int orientation) {
        long open = opened();
        ByteBuffer bytes = directOf(picture);
        long area = (long) width * height;
        long channels = area > 0 && width > 0 ? bytes.remaining() / area : 0;
        if (channels < 1 || channels > 4 || channels * area != bytes.remaining()) {
            throw new SbnException(
                    "a picture of " + width + " x " + height + " cannot have "
                            + bytes.remaining() + " bytes: a pixel has 1 to 4");
        }
        ByteBuffer pixels = direct(Math.toIntExact(pixelsOfOne()));
        check(Library.fit(open, bytes, width, height, (int) channels, orientation, pixels,
                pixels.capacity()));
        return pixels;
    }

    /** The input that such pixels become, a direct buffer for {@link #run}. */
    public synchronized ByteBuffer normalise(ByteBuffer pixels) {
        long open = opened();
        ByteBuffer bytes = directOf(pixels);
        if (bytes.remaining() != pixelsOfOne()) {
            throw new SbnException(
                    "an image has " + pixelsOfOne() + " bytes, these are " + bytes.remaining());
        }
        ByteBuffer input = direct(Math.toIntExact(inputs.get(0).bytesOfOne()));
        check(Library.normalise(open, bytes, input, input.capacity()));
        return input;
    }

    /** The probability of each class for such pixels, calibrated where the file has a calibration. */
    public synchronized float[] classify(ByteBuffer pixels) {
        ByteBuffer found = run(normalise(pixels)).get("probabilities");
        if (found == null) throw new SbnException("the model has no probabilities of classes");
        int classes = found.remaining() / Float.BYTES;
        check(Library.calibrate(model, samples, found, classes));
        float[] probabilities = new float[classes];
        found.asFloatBuffer().get(probabilities);
        return probabilities;
    }

    /** Gives back the memory. Nothing else can be called afterwards. */
    @Override
    public synchronized void close() {
        Library.freeContext(context);
        Library.freeModel(model);
        context = model = 0;
    }

    private long opened() {
        if (model == 0) throw new IllegalStateException("the model is closed");
        return model;
    }

    private void setNumber(String name, long number) {
        opened();
        for (int i = 0; i < inputs.size(); ++i) {
            if (inputs.get(i).shape().length != 0 || !inputs.get(i).name.equals(name)) continue;
            check(Library.setNumber(context, i, number));
            return;
        }
        throw new SbnException("the model has no noise, and takes no " + name);
    }

    private Tensor describe(boolean input, int index) {
        String name =
                text((to, size) -> input
                        ? Library.input(model, index, numbers, to, size)
                        : Library.output(model, index, numbers, to, size));
        return new Tensor(name, Tensor.Type.of(numbers.getLong(0)), described());
    }

    /** The shape in `numbers`. */
    private long[] described() {
        long[] shape = new long[Math.toIntExact(numbers.getLong(8))];
        for (int i = 0; i < shape.length; ++i) shape[i] = numbers.getLong(16 + 8 * i);
        return shape;
    }

    private ByteBuffer output(int index) {
        check(Library.describeOutput(context, index, numbers));
        long bytes = outputs.get(index).type.bytes;
        for (long size : described()) bytes *= size;
        ByteBuffer found = direct(Math.toIntExact(bytes));
        check(Library.readOutput(context, index, found, bytes));
        return found;
    }

    private long pixelsOfOne() {
        Tensor input = inputs.get(0);
        return input.bytesOfOne() / input.type.bytes;
    }

    private static long imagesIn(Tensor input, long bytes) {
        long one = input.bytesOfOne();
        if (bytes == 0 || bytes % one != 0 || (!input.isOpen() && bytes != one)) {
            throw new SbnException(
                    "input " + input.name + " takes " + one + " bytes"
                            + (input.isOpen() ? " for each image" : "") + ", these are " + bytes);
        }
        return input.isOpen() ? bytes / one : 1;
    }

    private static ByteBuffer direct(int bytes) {
        return ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
    }

    /** The same bytes in a direct buffer that begins with them. */
    private static ByteBuffer directOf(ByteBuffer buffer) {
        if (buffer.isDirect()) return buffer.slice();
        ByteBuffer copy = direct(buffer.remaining());
        copy.put(buffer.duplicate());
        copy.rewind();
        return copy;
    }

    /** A text with a zero byte behind it. */
    private static ByteBuffer textOf(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        ByteBuffer found = direct(bytes.length + 1);
        found.put(bytes);
        return found;
    }

    /** The text that a function writes into a buffer of a size; null where it has none. */
    private static String text(ToIntBiFunction<ByteBuffer, Integer> write) {
        ByteBuffer found = direct(1024);
        int length = write.applyAsInt(found, found.capacity());
        if (length > found.capacity()) {
            found = direct(length);
            length = write.applyAsInt(found, length);
        }
        if (length < 0) return null;
        byte[] bytes = new byte[length];
        found.get(bytes);
        return new String(bytes, StandardCharsets.UTF_8);
    }

    private static long made(long handle) {
        if (handle == 0) throw failure();
        return handle;
    }

    private static void check(int failed) {
        if (failed != 0) throw failure();
    }

    private static SbnException failure() {
        return new SbnException(text(Library::lastError));
    }
}
