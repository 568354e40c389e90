import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** Classifies one image at a time. */
class Classifier(library: String, model: ByteArray, threads: Int) : AutoCloseable {
    private val environment = OrtEnvironment.getEnvironment()
    private val session: OrtSession

    init {
        val options = OrtSession.SessionOptions()
        options.registerCustomOpLibrary(library)
        options.setIntraOpNumThreads(threads)
        session = environment.createSession(model, options)
        options.close()
    }

{{if pixels}}
    private val input = ByteBuffer.allocateDirect({{size}})
{{end}}
{{if floats}}
    private val input = ByteBuffer.allocateDirect(4 * {{size}}).order(ByteOrder.nativeOrder())
    private val mean = floatArrayOf({{mean_f}})
    private val std = floatArrayOf({{std_f}})
{{end}}

    /** The probability of each class; `pixels` are [{{height}}, {{width}}, {{channels}}], 0 to {{pixel_max}}. */
    fun classify(pixels: ByteArray): FloatArray {
        require(pixels.size == {{size}}) { "an image has {{size}} bytes, this has ${pixels.size}" }
        input.clear()
{{if pixels}}
        input.put(pixels)
{{end}}
{{if floats}}
        for (c in 0 until {{channels}}) {
            for (i in 0 until {{height}} * {{width}}) {
                val pixel = (pixels[{{channels}} * i + {{channel}}].toInt() and 255) / {{pixel_max}}f
                input.putFloat((pixel - mean[c]) / std[c])
            }
        }
{{end}}
        input.rewind()
        val shape = longArrayOf(1, {{shape}})
        val type = OnnxJavaType.{{java_type}}
        OnnxTensor.createTensor(environment, input, shape, type).use { tensor ->
            session.run(mapOf({{input|kotlin}} to tensor), setOf("probabilities")).use { result ->
                @Suppress("UNCHECKED_CAST")
                return (result[0].value as Array<FloatArray>)[0]
            }
        }
    }

    override fun close() = session.close()
}
