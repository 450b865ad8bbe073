package rnn

import java.io.File
import kotlin.math.abs
import org.json.JSONArray
import org.json.JSONObject

/** One output of one case; an error of null is another shape or dtype, or a NaN. */
class Row(val case: String, val how: String, val output: String, val error: Double?, val allowed: Double) {
    val ok: Boolean get() = error != null && error <= allowed
}

class Result(val rows: List<Row>, val stepSeconds: Double) {
    val ok: Boolean get() = rows.isNotEmpty() && rows.all { it.ok }

    fun text(): String {
        val wrong = rows.filterNot { it.ok }
        val lines = wrong.map { "WRONG ${it.case} ${it.how} ${it.output}: off by ${it.error}" }
        val worst = rows.mapNotNull { it.error }.maxOrNull() ?: 0.0
        return (lines + "${rows.size - wrong.size} of ${rows.size} right, worst error $worst").joinToString("\n")
    }

    fun json(loadSeconds: Double): String {
        val list = rows.map { row ->
            JSONObject().put("case", row.case).put("how", row.how).put("output", row.output)
                .put("error", row.error ?: JSONObject.NULL).put("allowed", row.allowed).put("ok", row.ok)
        }
        val version = ai.onnxruntime.OrtEnvironment.getEnvironment().version
        return JSONObject().put("format", "rnnbench-result-1").put("target", "android")
            .put("versions", JSONObject().put("onnxruntime", version))
            .put("load_s", loadSeconds).put("step_s", stepSeconds).put("rows", JSONArray(list)).toString(1)
    }
}

/** The inputs of each case, in the order of the file. */
fun casesOf(entries: List<Entry>): Map<String, Map<String, Tensor>> =
    entries.filter { it.part == "in" }.groupBy { it.case }.mapValues { (_, all) -> all.associate { it.name to it.tensor } }

/** Every golden case at once and, where it may be, step by step. */
fun verify(model: Model, folder: File): Result {
    val golden = readArrays(File(folder, "golden/cases.json"))
    val cases = casesOf(golden)
    val rows = cases.flatMap { (case, inputs) ->
        val wanted = golden.filter { it.part == "out" && it.case == case }
        val hows = if (model.streams && wanted.any { it.stream }) listOf("whole", "stream") else listOf("whole")
        hows.flatMap { how ->
            val outputs = if (how == "whole") model(inputs) else model.streamed(inputs)
            wanted.map { compared(case, how, it, outputs[it.name]) }
        }
    }
    val smallest = cases["batch-1-time-1"] ?: cases.values.first()
    val best = (1..200).minOf {
        val start = System.nanoTime()
        model(smallest)
        System.nanoTime() - start
    }
    return Result(rows, best * 1e-9)
}

/** The element that is the worst for what it is allowed. */
private fun compared(case: String, how: String, wanted: Entry, given: Tensor?): Row {
    val none = Row(case, how, wanted.name, null, wanted.allowed)
    val exact = wanted.tensor
    if (given == null || given.dtype != exact.dtype || !given.shape.contentEquals(exact.shape)) return none
    val (made, values) = given.doubles() to exact.doubles()
    var worst = Row(case, how, wanted.name, 0.0, wanted.allowed)
    var (largest, share) = 0.0 to 0.0
    for (i in made.indices) {
        val error = abs(made[i] - values[i])
        if (!error.isFinite()) return none
        val allowed = wanted.limits?.get(i) ?: wanted.allowed
        val own = if (allowed > 0) error / allowed else if (error <= allowed) 0.0 else Double.POSITIVE_INFINITY
        if (own > share || (own == share && error > largest)) {
            share = own
            largest = error
            worst = Row(case, how, wanted.name, error, allowed)
        }
    }
    return worst
}
