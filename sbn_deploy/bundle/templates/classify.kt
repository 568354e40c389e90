import java.io.File
{{include classifier.kt}}

fun main(arguments: Array<String>) {
    val model = File({{file|kotlin}}).readBytes()
    val classifier = Classifier(File("libsbn.so").absolutePath, model, 1)
    val probabilities = classifier.classify(File(arguments[0]).readBytes())
    val best = probabilities.indices.maxByOrNull { probabilities[it] }!!
    println("${File("classes.txt").readLines()[best]} ${probabilities[best]}")
}
