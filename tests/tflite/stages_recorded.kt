package keras_dynamic.sample

import java.io.File

/** Answers as a file of lines says: image, signature, name, values; what a stage reads must be what was recorded. */
class Recorded(private val lines: Map<String, List<String>>) : Engine<String> {
    override fun run(signature: String, inputs: Map<String, String>): Map<String, String> {
        val image = inputs.values.first().substringBefore(" ")
        check(inputs.values.all { it.startsWith("$image ") }) { "$signature reads values of several images." }
        return lines.getValue("$image $signature").associate { it.substringBefore(" ") to "$image $it" }
    }

    override fun readInt(tensor: String) = numbers(tensor)[0].toInt()

    override fun readFloats(tensor: String) = numbers(tensor).map { it.toFloat() }.toFloatArray()

    private fun numbers(tensor: String) = tensor.split(" ").drop(2)
}

fun main(arguments: Array<String>) {
    val rows = File(arguments[0]).readLines().map { it.split("\t") }
    val info = StagesInfo(
        rows[0],
        rows[1].map { it.split(" ") },
        rows[2].map { it.toLong() },
        rows[3].map { it.toInt() }
    )
    val recorded = rows.drop(4).groupBy({ "${it[0]} ${it[1]}" }, { "${it[2]} ${it[3]}" })
    for (image in rows.drop(4).map { it[0] }.distinct()) {
        val given = mapOf("image" to "$image image", "thresholds" to "$image thresholds")
        val answer = runStages(Recorded(recorded), info, given)
        println("${answer.label} ${answer.exit} ${answer.macs}")
    }
}
