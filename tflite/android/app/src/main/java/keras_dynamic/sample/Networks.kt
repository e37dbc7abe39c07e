package keras_dynamic.sample

import android.content.res.AssetManager
import android.graphics.Bitmap
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.TensorBuffer
import org.json.JSONArray
import org.json.JSONObject

private const val DEFAULT = "serving_default" // the signature of a file of one model
private const val NEVER = 3e38f // infinity, at which no image stops, is null in the metadata

/** What model.json in the assets says: the metadata of the stages, labels, and the MACs of the static network. */
class Description(assets: AssetManager) {
    private val json = JSONObject(assets.open("model.json").bufferedReader().use { it.readText() })

    init {
        require(json.has("stage_inputs")) { "model.json is not of stages; write it as docs/on_the_device.md says." }
    }

    val labels: List<String> = strings(json.optJSONArray("labels") ?: JSONArray())
    val staticMacs: Long = json.getLong("static_macs")
    val macsUnit: Long = json.getLong("macs_unit")
    val stages = StagesInfo(
        strings(json.getJSONArray("stages")),
        lists(json.getJSONArray("stage_inputs")),
        numbers(json.getJSONArray("stage_macs")).map { it.toLong() },
        numbers(json.getJSONArray("stops_at")).map { it.toInt() }
    )
    val outputs: Map<String, List<String>> = stages.names.zip(lists(json.getJSONArray("stage_outputs"))).toMap()
    val thresholds: FloatArray? = json.optJSONArray("thresholds")?.let { found ->
        FloatArray(found.length()) { if (found.isNull(it)) NEVER else found.getDouble(it).toFloat() }
    }

    /** Returns what the models take of a picture, resized to height x width. */
    fun input(picture: Bitmap, height: Int, width: Int, channels: Int): FloatArray {
        val small = Bitmap.createScaledBitmap(picture, width, height, true)
        val pixels = IntArray(height * width)
        small.getPixels(pixels, 0, width, 0, 0, width, height)
        val scaling = json.optJSONArray("normalization") ?: JSONArray("[0, 1]")
        val (means, deviations) = listOf(0, 1).map { numbers(scaling.optJSONArray(it) ?: JSONArray(listOf(scaling[it]))) }
        return FloatArray(pixels.size * channels) { place ->
            val pixel = pixels[place / channels]
            val colours = doubleArrayOf((pixel shr 16 and 255) * 1.0, (pixel shr 8 and 255) * 1.0, (pixel and 255) * 1.0)
            val channel = place % channels
            val grey = 0.299 * colours[0] + 0.587 * colours[1] + 0.114 * colours[2]
            val value = if (channels == 1) grey else colours[channel]
            val own = if (means.size > 1) channel else 0
            ((value - means[own]) / deviations[own]).toFloat()
        }
    }

    private fun numbers(array: JSONArray) = List(array.length()) { array.getDouble(it) }

    private fun strings(array: JSONArray) = List(array.length()) { array.getString(it) }

    private fun lists(array: JSONArray) = List(array.length()) { strings(array.getJSONArray(it)) }
}

/** A .tflite of the assets, by LiteRT. `outputs` names those of each signature. */
class LiteRtEngine(
    assets: AssetManager,
    file: String,
    private val outputs: Map<String, List<String>>,
    vararg accelerators: Accelerator
) : Engine<TensorBuffer>, AutoCloseable {
    private val model = CompiledModel.create(assets, file, CompiledModel.Options(*accelerators))
    private val results = outputs.mapValues { (signature, names) ->
        names.associateWith { model.createOutputBuffer(it, signature) }
    }

    /** Height, width and channels of the image that a signature takes. */
    fun imageShape(signature: String): List<Int> =
        checkNotNull(model.getInputTensorType("image", signature).layout).dimensions.drop(1)

    fun input(name: String, signature: String, values: FloatArray): TensorBuffer =
        model.createInputBuffer(name, signature).also { it.writeFloat(values) }

    override fun run(signature: String, inputs: Map<String, TensorBuffer>): Map<String, TensorBuffer> {
        model.run(inputs, results.getValue(signature), signature)
        return results.getValue(signature)
    }

    override fun readInt(tensor: TensorBuffer): Int = tensor.readInt()[0]

    override fun readFloats(tensor: TensorBuffer): FloatArray = tensor.readFloat()

    override fun close() {
        results.values.forEach { named -> named.values.forEach { it.close() } }
        model.close()
    }
}

/** The three ways in which the app classifies a picture. */
class Networks(assets: AssetManager) : AutoCloseable {
    private val description = Description(assets)
    private val whole = mapOf(DEFAULT to listOf("logits", "decisions", "macs"))
    private val dynamic = LiteRtEngine(assets, "dynamic.tflite", whole, Accelerator.CPU)
    private val static = LiteRtEngine(assets, "static.tflite", mapOf(DEFAULT to listOf("logits")), Accelerator.CPU)
    private val stages =
        LiteRtEngine(assets, "stages.tflite", description.outputs, Accelerator.GPU, Accelerator.CPU)

    /** Returns what to show of a picture: class, path, MACs and time of each way. */
    fun describe(picture: Bitmap): String {
        val first = description.stages.names.first()
        val (height, width, channels) = stages.imageShape(first)
        val image = description.input(picture, height, width, channels)
        return listOf(
            "Conditions in the file, CPU" to told(dynamic, DEFAULT, image, description.thresholds) { given ->
                val found = dynamic.run(DEFAULT, given)
                val path = found.getValue("decisions").readInt().joinToString("")
                val macs = dynamic.readInt(found.getValue("macs")) * description.macsUnit
                line(Answer(dynamic.readFloats(found.getValue("logits")), 0, macs), "path $path")
            },
            "Stages, GPU where it can" to told(stages, first, image, description.thresholds) { given ->
                val answer = runStages(stages, description.stages, given)
                line(answer, "stopped at ${answer.exit + 1}")
            },
            "Static network, CPU" to told(static, DEFAULT, image, null) { given ->
                val logits = static.readFloats(static.run(DEFAULT, given).getValue("logits"))
                line(Answer(logits, 0, description.staticMacs), "everything")
            }
        ).joinToString("\n\n") { (way, said) -> "$way\n$said" }
    }

    /** Returns what a way says of an image, and the median of its times. */
    private fun told(
        engine: LiteRtEngine,
        signature: String,
        image: FloatArray,
        thresholds: FloatArray?,
        run: (Map<String, TensorBuffer>) -> String
    ): String {
        val given = mutableMapOf("image" to engine.input("image", signature, image))
        if (thresholds != null) given["thresholds"] = engine.input("thresholds", signature, thresholds)
        try {
            val said = run(given)
            val times = List(REPEATS) {
                val start = System.nanoTime()
                run(given)
                (System.nanoTime() - start) / 1e6
            }
            return "$said, %.2f ms".format(times.sorted()[REPEATS / 2])
        } finally {
            given.values.forEach { it.close() }
        }
    }

    private fun line(answer: Answer, path: String): String {
        val name = description.labels.getOrElse(answer.label) { "class ${answer.label}" }
        return "$name, $path, %.1f M MACs".format(answer.macs / 1e6)
    }

    override fun close() = listOf(dynamic, static, stages).forEach { it.close() }

    private companion object {
        const val REPEATS = 21
    }
}
