package rnn

import java.io.File
import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject

private const val FORMAT = "rnnbench-cases-1"

/**
 * An array of a file, and what the file says of it: `part` is "in" or "out"; `allowed` is the largest
 * absolute error of an output, `limits` that of each element, where it is not the same for all.
 */
class Entry(
    val case: String,
    val part: String,
    val name: String,
    val allowed: Double,
    val limits: DoubleArray?,
    val stream: Boolean,
    val tensor: Tensor,
)

/** Reads arrays by name: NAME.json says what is where in NAME.bin. */
fun readArrays(header: File): List<Entry> = try {
    val said = JSONObject(header.readText())
    require(said.getString("format") == FORMAT) { "format ${said.getString("format")}, and this reads $FORMAT" }
    val raw = File(header.absoluteFile.parentFile, said.getString("data")).readBytes()
    said.getJSONArray("arrays").objects().map { entryOf(it, raw) }
} catch (error: Exception) {
    when (error) {
        is java.io.IOException, is JSONException, is IllegalArgumentException, is IndexOutOfBoundsException ->
            throw IllegalArgumentException("$header is no file of arrays (${error.message}): see golden/cases.json")
        else -> throw error
    }
}

/** Writes arrays, by name, as the outputs of one case. */
fun writeArrays(header: File, arrays: Map<String, Tensor>) {
    val data = File(header.absoluteFile.parentFile, "${header.nameWithoutExtension}.bin")
    var offset = 0
    val lines = arrays.map { (name, tensor) ->
        val line = JSONObject()
        line.put("case", "result").put("part", "out").put("name", name).put("dtype", tensor.dtype)
        line.put("shape", JSONArray(tensor.shape.toList())).put("offset", offset)
        line.put("bytes", tensor.bytes.size).put("allowed", 0).put("stream", 0)
        offset += tensor.bytes.size
        line.toString()
    }
    data.outputStream().use { out -> arrays.values.forEach { out.write(it.bytes) } }
    val start = "{\"format\": \"$FORMAT\", \"data\": ${JSONObject.quote(data.name)}, \"arrays\": [\n"
    header.writeText(start + lines.joinToString(",\n") + "\n]}\n")
}

fun JSONArray.objects(): List<JSONObject> = (0 until length()).map { getJSONObject(it) }

private fun entryOf(line: JSONObject, raw: ByteArray): Entry {
    val sizes = line.getJSONArray("shape")
    val shape = LongArray(sizes.length()) { sizes.getLong(it) }
    val tensor = Tensor(line.getString("dtype"), shape, partOf(raw, line.getInt("offset"), line.getInt("bytes")))
    return Entry(
        line.getString("case"),
        line.getString("part"),
        line.getString("name"),
        line.getDouble("allowed"),
        limitsOf(line, tensor, raw),
        line.getInt("stream") != 0,
        tensor,
    )
}

private fun limitsOf(line: JSONObject, tensor: Tensor, raw: ByteArray): DoubleArray? {
    if (!line.has("allowed_offset")) return null
    val dtype = if (tensor.dtype == "float64") "float64" else "float32"
    val bytes = tensor.size * if (dtype == "float64") 8 else 4
    return Tensor(dtype, tensor.shape, partOf(raw, line.getInt("allowed_offset"), bytes)).doubles()
}

private fun partOf(raw: ByteArray, offset: Int, bytes: Int): ByteArray {
    require(offset >= 0 && bytes >= 0 && bytes <= raw.size - offset) { "bytes are missing" }
    return raw.copyOfRange(offset, offset + bytes)
}
