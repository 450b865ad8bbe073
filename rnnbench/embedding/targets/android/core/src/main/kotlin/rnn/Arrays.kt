package rnn

import java.io.File
import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject

private const val FORMAT = "rnnbench-cases-1"

/** An array of a file, and what the file says of it: `part` is "in" or "out". */
class Entry(
    val case: String,
    val part: String,
    val name: String,
    val allowed: Double,
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
    val offset = line.getInt("offset")
    val bytes = raw.copyOfRange(offset, offset + line.getInt("bytes").also { require(offset + it <= raw.size) { "bytes are missing" } })
    return Entry(
        line.getString("case"),
        line.getString("part"),
        line.getString("name"),
        line.getDouble("allowed"),
        line.getInt("stream") != 0,
        Tensor(line.getString("dtype"), shape, bytes),
    )
}
