import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import java.nio.ByteBuffer

class Network(library: String, model: ByteArray, threads: Int) : AutoCloseable {
    private val environment = OrtEnvironment.getEnvironment()
    private val session: OrtSession
    private val inputs = mapOf(
{{kotlin_inputs}}
    )

    init {
        val options = OrtSession.SessionOptions()
        options.registerCustomOpLibrary(library)
        options.setIntraOpNumThreads(threads)
        session = environment.createSession(model, options)
        options.close()
    }

    /** The answer; `numbers` are direct buffers in native order, by input. */
    fun run(numbers: Map<String, ByteBuffer>): FloatArray {
        val tensors = inputs.mapValues { (name, input) ->
            val (shape, type) = input
            OnnxTensor.createTensor(environment, numbers.getValue(name), shape, type)
        }
        try {
            session.run(tensors, setOf({{answer|kotlin}})).use { result ->
                val buffer = (result[0] as OnnxTensor).floatBuffer
                return FloatArray(buffer.remaining()).also { buffer.get(it) }
            }
        } finally {
            tensors.values.forEach { it.close() }
        }
    }

    override fun close() = session.close()
}
