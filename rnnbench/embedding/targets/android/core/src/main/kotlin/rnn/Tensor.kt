package rnn

import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.platform.Fp16Conversions
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** Numbers, little-endian, the last dimension fastest. */
class Tensor(val dtype: String, val shape: LongArray, val bytes: ByteArray) {
    private val itemSize = requireNotNull(SIZES[dtype]) { "dtype $dtype is not known here" }

    init {
        val count = shape.fold(1L) { product, n -> product * n }
        require(shape.all { it >= 0 } && count * itemSize == bytes.size.toLong()) {
            "${bytes.size} bytes are not those of $this"
        }
    }

    val size: Int get() = bytes.size / itemSize

    fun buffer(): ByteBuffer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN)

    fun floats(): FloatArray = FloatArray(size).also { buffer().asFloatBuffer().get(it) }

    fun longs(): LongArray = LongArray(size).also { buffer().asLongBuffer().get(it) }

    fun doubles(): DoubleArray {
        val from = buffer()
        return DoubleArray(size) { i ->
            when (dtype) {
                "float32" -> from.getFloat(4 * i).toDouble()
                "float64" -> from.getDouble(8 * i)
                "float16" -> Fp16Conversions.fp16ToFloat(from.getShort(2 * i)).toDouble()
                "int64" -> from.getLong(8 * i).toDouble()
                "int32" -> from.getInt(4 * i).toDouble()
                else -> from.get(i).toDouble()
            }
        }
    }

    /** Steps [start, end) along an axis. */
    fun narrow(axis: Int, start: Int, end: Int): Tensor {
        val row = bytesOf(axis + 1)
        val size = shape[axis].toInt()
        val cut = shape.copyOf().also { it[axis] = (end - start).toLong() }
        val length = (end - start) * row
        val target = ByteArray(outer(axis) * length)
        for (o in 0 until outer(axis)) {
            bytes.copyInto(target, o * length, (o * size + start) * row, (o * size + end) * row)
        }
        return Tensor(dtype, cut, target)
    }

    /** The same shape and dtype, with one number everywhere. */
    fun filled(value: Long): Tensor {
        val target = ByteArray(bytes.size)
        val to = ByteBuffer.wrap(target).order(ByteOrder.LITTLE_ENDIAN)
        repeat(size) { i ->
            when (dtype) {
                "int64" -> to.putLong(8 * i, value)
                "int32" -> to.putInt(4 * i, value.toInt())
                else -> throw IllegalArgumentException("lengths are $dtype: give int64 or int32")
            }
        }
        return Tensor(dtype, shape, target)
    }

    override fun toString() = "$dtype${shape.toList()}"

    private fun outer(axis: Int) = shape.take(axis).fold(1) { product, n -> product * n.toInt() }

    private fun bytesOf(axis: Int) = shape.drop(axis).fold(itemSize) { product, n -> product * n.toInt() }

    companion object {
        private val SIZES =
            mapOf("float32" to 4, "float64" to 8, "float16" to 2, "int64" to 8, "int32" to 4, "bool" to 1)

        val TYPES = mapOf(
            "float32" to OnnxJavaType.FLOAT,
            "float64" to OnnxJavaType.DOUBLE,
            "float16" to OnnxJavaType.FLOAT16,
            "int64" to OnnxJavaType.INT64,
            "int32" to OnnxJavaType.INT32,
            "bool" to OnnxJavaType.BOOL,
        )

        fun of(shape: LongArray, values: FloatArray): Tensor {
            val target = ByteBuffer.allocate(4 * values.size).order(ByteOrder.LITTLE_ENDIAN)
            target.asFloatBuffer().put(values)
            return Tensor("float32", shape, target.array())
        }

        fun of(shape: LongArray, values: LongArray): Tensor {
            val target = ByteBuffer.allocate(8 * values.size).order(ByteOrder.LITTLE_ENDIAN)
            target.asLongBuffer().put(values)
            return Tensor("int64", shape, target.array())
        }

        /** One after the other along an axis; they agree in all but their size there. */
        fun concat(parts: List<Tensor>, axis: Int): Tensor {
            val first = parts.first()
            val shape = first.shape.copyOf().also { it[axis] = parts.sumOf { part -> part.shape[axis] } }
            val target = ByteArray(parts.sumOf { it.bytes.size })
            var at = 0
            for (o in 0 until first.outer(axis)) {
                for (part in parts) {
                    val row = part.bytesOf(axis)
                    part.bytes.copyInto(target, at, o * row, (o + 1) * row)
                    at += row
                }
            }
            return Tensor(first.dtype, shape, target)
        }
    }
}
