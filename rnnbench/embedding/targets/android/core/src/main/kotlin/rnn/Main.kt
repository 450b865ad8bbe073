package rnn

import java.io.File
import kotlin.system.exitProcess

private const val USAGE = "core --verify [RESULT.json] | INPUT.json OUTPUT.json [--stream]"

/** In the project's folder, on a desktop; an app calls Model itself. */
fun main(words: Array<String>) {
    val status = try {
        run(words.toList())
    } catch (error: Exception) { // of ONNX Runtime, of files, of what was given
        System.err.println((error.message ?: error.toString()).lineSequence().first())
        2
    }
    exitProcess(status)
}

private fun run(words: List<String>): Int {
    val verifies = words.firstOrNull() == "--verify" && words.size <= 2
    val streams = words.size == 3 && words[2] == "--stream"
    if (!verifies && ((words.size != 2 && !streams) || words[0].startsWith("-"))) {
        System.err.println(USAGE)
        return 2
    }
    val folder = File(".")
    val start = System.nanoTime()
    Model(folder).use { model ->
        val loadSeconds = (System.nanoTime() - start) * 1e-9
        if (verifies) {
            val result = verify(model, folder)
            if (words.size > 1) File(words[1]).writeText(result.json(loadSeconds) + "\n")
            println(result.text())
            return if (result.ok) 0 else 1
        }
        val inputs = casesOf(readArrays(File(words[0]))).values.firstOrNull().orEmpty()
        writeArrays(File(words[1]), if (streams) model.streamed(inputs) else model(inputs))
    }
    return 0
}
