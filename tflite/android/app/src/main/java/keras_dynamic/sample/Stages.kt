package keras_dynamic.sample

/**
 * What a file of stages says of itself: its metadata. `names` are those of its signatures, in the order in which they
 * run; `stopsAt` is the exit, or the cascade's network, at which an image stops after each.
 */
class StagesInfo(
    val names: List<String>,
    val inputs: List<List<String>>,
    val macs: List<Long>,
    val stopsAt: List<Int>
)

/** What runs the signatures of a file. A tensor T stays with the engine, on a GPU for example, until it is read. */
interface Engine<T> {
    /** Runs a signature on its inputs, by name, and returns its outputs. */
    fun run(signature: String, inputs: Map<String, T>): Map<String, T>

    fun readInt(tensor: T): Int

    fun readFloats(tensor: T): FloatArray
}

class Answer(val logits: FloatArray, val exit: Int, val macs: Long) {
    /** The class: of one logit, 1 if it is positive. */
    val label: Int
        get() = when (logits.size) {
            1 -> if (logits[0] > 0) 1 else 0
            else -> logits.indices.reduce { best, place -> if (logits[place] > logits[best]) place else best }
        }
}

/**
 * Runs a stage after the other until one says that the image stops: the IF, in Kotlin, for engines that have none.
 * `given` has the image, and the thresholds where the file takes them.
 */
fun <T : Any> runStages(engine: Engine<T>, info: StagesInfo, given: Map<String, T>): Answer {
    val values = given.toMutableMap()
    var macs = 0L
    for ((number, name) in info.names.withIndex()) {
        val inputs = info.inputs[number].associateWith { input ->
            requireNotNull(values[input]) { "Stage $name needs $input, which nothing before it gives." }
        }
        val outputs = engine.run(name, inputs)
        macs += info.macs[number]
        val goesOn = outputs["go_on"]
        if (goesOn == null || engine.readInt(goesOn) == 0) {
            return Answer(engine.readFloats(outputs.getValue("logits")), info.stopsAt[number], macs)
        }
        values.putAll(outputs)
    }
    throw IllegalArgumentException("The last stage says that another follows; take all stages of the model.")
}
