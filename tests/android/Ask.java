import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import sbn.runtime.Model;
import sbn.runtime.SbnException;

/** Calls the classes of the archive: a line with words between tabs is a call, and has an answer. */
public final class Ask {
    private static Model model;

    private Ask() {}

    public static void main(String[] arguments) throws Exception {
        BufferedReader calls = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        PrintStream answers = new PrintStream(System.out, true, "UTF-8");
        for (String line = calls.readLine(); line != null; line = calls.readLine()) {
            String[] words = line.split("\t");
            try {
                answers.println(answer(words));
            } catch (SbnException | IllegalStateException error) {
                answers.println(error.getClass().getSimpleName() + ": " + error.getMessage());
            }
        }
    }

    private static String answer(String[] words) throws Exception {
        switch (words[0]) {
            case "open":
                if (model != null) model.close();
                model = Model.open(words[1]);
                return "";
            case "load":
                if (model != null) model.close();
                model = Model.load(Files.readAllBytes(Paths.get(words[1])));
                return "";
            case "kernels":
                return Model.version() + " " + Model.kernels();
            case "ports":
                return model.inputs() + " " + model.outputs();
            case "metadata":
                return model.metadata(words[1]);
            case "class":
                return model.className(Integer.parseInt(words[1]));
            case "threads":
                model.setThreads(Integer.parseInt(words[1]));
                return "";
            case "seed":
                model.setSeed(Long.parseLong(words[1]));
                return "";
            case "samples":
                model.setSamples(Integer.parseInt(words[1]));
                return "";
            case "run":
                return run(words);
            case "together":
                return together(words);
            case "fit":
                return hex(
                        model.fit(
                                bytes(words[1], true),
                                Integer.parseInt(words[2]),
                                Integer.parseInt(words[3]),
                                Integer.parseInt(words[4])));
            case "normalise":
                return hex(model.normalise(bytes(words[1], false)));
            case "classify":
                return hex(model.classify(bytes(words[1], true)));
            case "close":
                model.close();
                return "";
            default:
                throw new IllegalArgumentException(words[0]);
        }
    }

    /** Every output. */
    private static String run(String[] words) throws IOException {
        ByteBuffer[] inputs = new ByteBuffer[words.length - 1];
        for (int i = 0; i < inputs.length; ++i) inputs[i] = bytes(words[1 + i], i % 2 == 0);
        return model.run(inputs).entrySet().stream()
                .map(entry -> entry.getKey() + "=" + hex(entry.getValue()))
                .collect(Collectors.joining(" "));
    }

    /** What several threads get that call at once, and how many different answers that is. */
    private static String together(String[] words) throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(4);
        List<Callable<String>> calls = new ArrayList<>();
        for (int i = 0; i < 16; ++i) calls.add(() -> run(words));
        List<String> found = new ArrayList<>();
        for (Future<String> each : threads.invokeAll(calls)) found.add(each.get());
        threads.shutdown();
        return String.join(" ", found.stream().distinct().collect(Collectors.toList()));
    }

    /** A file in a buffer of its own, in a part of one of the heap or a direct one. */
    private static ByteBuffer bytes(String path, boolean direct) throws IOException {
        byte[] data = Files.readAllBytes(Paths.get(path));
        ByteBuffer buffer =
                direct
                        ? ByteBuffer.allocateDirect(data.length + 7)
                        : ByteBuffer.allocate(data.length + 7);
        buffer.position(3);
        buffer.put(data).flip();
        buffer.position(3);
        return buffer;
    }

    private static String hex(float[] numbers) {
        ByteBuffer bytes =
                ByteBuffer.allocate(4 * numbers.length).order(ByteOrder.nativeOrder());
        bytes.asFloatBuffer().put(numbers);
        return hex(bytes);
    }

    private static String hex(ByteBuffer bytes) {
        StringBuilder text = new StringBuilder();
        while (bytes.hasRemaining()) text.append(String.format("%02x", bytes.get()));
        return text.toString();
    }
}
