import java.io.File
{{include classifier.kt}}

fun main(arguments: Array<String>) {
    val model = File({{file|kotlin}}).readBytes()
    val classifier = Classifier(File("libsbn.so").absolutePath, model, 1)
{{if fits}}
    val file = File(arguments[0])
    val raw = file.length() == {{size}}L
    val pixels = if (raw) file.readBytes() else pixelsOf(javax.imageio.ImageIO.read(file))
{{end}}
{{if sized}}
    val pixels = File(arguments[0]).readBytes()
{{end}}
    val probabilities = classifier.classify(pixels)
    val best = probabilities.indices.maxByOrNull { probabilities[it] }!!
    println("${File("classes.txt").readLines()[best]} ${probabilities[best]}")
}
