import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import java.nio.ByteBuffer
import java.nio.ByteOrder
{{if calibrated}}
import kotlin.math.exp
import kotlin.math.ln
import kotlin.math.max
{{end}}

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
                val probabilities = (result[0].value as Array<FloatArray>)[0]
{{if calibrated}}
                return calibrated(probabilities)
{{end}}
{{if uncalibrated}}
                return probabilities
{{end}}
            }
        }
    }
{{if calibrated}}

    private val offsets = doubleArrayOf({{offsets}})

    /** The calibration of the model, for {{networks}}. */
    private fun calibrated(p: FloatArray): FloatArray {
        val logits = p.mapIndexed { i, it -> (ln(max(it.toDouble(), 1e-300)) + offsets[i]) / {{temperature}} }
        val top = logits.maxOrNull()!!
        val shares = logits.map { exp(it - top) }
        val sum = shares.sum()
        return FloatArray(p.size) { (shares[it] / sum).toFloat() }
    }
{{end}}

    override fun close() = session.close()
}
