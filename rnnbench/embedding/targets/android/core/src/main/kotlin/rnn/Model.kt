package rnn

import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.json.JSONObject

/** An input or output; `shape`, of an input, has sizes and the names of those that are free. */
class Port(said: JSONObject) {
    val name: String = said.getString("name")
    val dtype: String = said.getString("dtype")
    val lengths = said.optString("role") == "lengths"
    val timeAxis = said.getInt("time_axis").takeIf { it >= 0 }
    val shape: List<Any> = said.optJSONArray("shape")?.let { a -> List(a.length()) { a.get(it) } }.orEmpty()
}

/** The model: load it once, then call it with whole sequences, or step by step. */
class Model(folder: File, threads: Int = 1) : AutoCloseable {
    private val about = JSONObject(File(folder, "model.json").readText())
    private val environment = OrtEnvironment.getEnvironment()
    private val session: OrtSession = OrtSession.SessionOptions().use { options ->
        options.setIntraOpNumThreads(threads)
        options.setInterOpNumThreads(1)
        environment.createSession(File(folder, about.getString("artifact")).path, options)
    }

    val name: String = about.getString("name")
    val inputs = about.getJSONArray("inputs").objects().map(::Port)
    val outputs = about.getJSONArray("outputs").objects().map(::Port)

    /** Whether it gives the same step by step, with the states handed on. */
    val streams = about.getBoolean("streams")

    /** Input, and the output that is fed back as it. */
    val states: Map<String, String> =
        about.getJSONObject("states").let { s -> s.keys().asSequence().associateWith { s.getString(it) } }

    /** The outputs by name, of whole sequences. */
    operator fun invoke(given: Map<String, Tensor>): Map<String, Tensor> {
        check(given)
        val values = mutableMapOf<String, OnnxTensor>()
        try {
            for (name in session.inputNames) {
                values[name] = toOnnx(requireNotNull(given[name]) { "input $name is missing" })
            }
            session.run(values).use { results ->
                return outputs.associate { port ->
                    val value = results.get(port.name).orElse(null) as? OnnxTensor
                    port.name to toTensor(requireNotNull(value) { "the model gives no ${port.name}" })
                }
            }
        } finally {
            values.values.forEach(OnnxTensor::close)
        }
    }

    /** One step after the other: the states to start from are in `start`, and all without a time axis. */
    fun stream(start: Map<String, Tensor>) = Stream(this, start)

    /** A whole sequence fed step by step; the outputs are put together as one call would give them. */
    fun streamed(given: Map<String, Tensor>): Map<String, Tensor> {
        val stream = stream(given)
        check(given)
        val timed = inputs.filter { it.timeAxis != null }
        val total = timed.firstOrNull()?.let { given.getValue(it.name).shape[it.timeAxis!!].toInt() } ?: 0
        require(total > 0) { "there is no step to stream: give a sequence of at least one" }
        val parts = List(total) { t ->
            stream.step(timed.associate { it.name to given.getValue(it.name).narrow(it.timeAxis!!, t, t + 1) })
        }
        return outputs.associate { port ->
            val all = parts.map { it.getValue(port.name) }
            port.name to (port.timeAxis?.let { Tensor.concat(all, it) } ?: all.last())
        }
    }

    override fun close() = session.close()

    /** What is wrong with inputs, and what is right. */
    private fun check(given: Map<String, Tensor>) {
        val sizes = mutableMapOf<Any, Long>()
        for (port in inputs) {
            val tensor = requireNotNull(given[port.name]) {
                "input ${port.name} is missing: give ${inputs.joinToString { it.name }}"
            }
            var fits = tensor.dtype == port.dtype && tensor.shape.size == port.shape.size
            for ((dim, size) in port.shape.zip(tensor.shape.toList())) {
                fits = fits && size == ((dim as? Number)?.toLong() ?: sizes.getOrPut(dim) { size })
            }
            require(fits) {
                "input ${port.name} is $tensor: give ${port.dtype}${port.shape}, with the same batch and time in all"
            }
        }
    }

    private fun toOnnx(tensor: Tensor): OnnxTensor {
        val direct = ByteBuffer.allocateDirect(tensor.bytes.size).order(ByteOrder.nativeOrder())
        direct.put(tensor.bytes).rewind()
        return OnnxTensor.createTensor(environment, direct, tensor.shape, Tensor.TYPES.getValue(tensor.dtype))
    }

    private fun toTensor(value: OnnxTensor): Tensor {
        val dtype = Tensor.TYPES.entries.firstOrNull { it.value == value.info.type }?.key
        requireNotNull(dtype) { "an output is ${value.info.type}, which is not known here" }
        val buffer = value.byteBuffer
        return Tensor(dtype, value.info.shape, ByteArray(buffer.remaining()).also { buffer.get(it) })
    }
}

/** Keeps the states from one step to the next. */
class Stream(private val model: Model, start: Map<String, Tensor>) {
    private val inputs = start.toMutableMap()

    init {
        require(model.streams) { "${model.name} needs whole sequences: run it without --stream" }
    }

    /** `part`: the inputs that have a time axis, for the steps to do now. */
    fun step(part: Map<String, Tensor>): Map<String, Tensor> {
        inputs += part
        val timed = model.inputs.firstOrNull { it.timeAxis != null }
        val steps = timed?.let { part[it.name]?.shape?.get(it.timeAxis!!) } ?: 1L
        for (port in model.inputs.filter { it.lengths }) {
            inputs[port.name]?.let { inputs[port.name] = it.filled(steps) }
        }
        val outputs = model(inputs)
        for ((input, output) in model.states) inputs[input] = outputs.getValue(output)
        return outputs
    }
}
