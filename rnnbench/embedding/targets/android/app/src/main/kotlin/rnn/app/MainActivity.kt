package rnn.app

import android.app.Activity
import android.os.Bundle
import android.widget.ScrollView
import android.widget.TextView
import java.io.File
import kotlin.concurrent.thread
import rnn.Model
import rnn.verify

/** Verifies the model on this device, and says what came of it. */
class MainActivity : Activity() {
    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        val text = TextView(this).apply {
            textSize = 16f
            setPadding(48, 48, 48, 48)
            setTextIsSelectable(true)
            text = "Verifying ..."
        }
        setContentView(ScrollView(this).apply {
            fitsSystemWindows = true
            addView(text)
        })
        thread {
            val said = try {
                val folder = unpack("model", File(filesDir, "model"))
                Model(folder).use { model -> verify(model, folder).text() }
            } catch (error: Exception) {
                "Failed: ${error.message}"
            }
            runOnUiThread { text.text = said }
        }
    }

    /** ONNX Runtime reads files, not assets. */
    private fun unpack(asset: String, to: File): File {
        val inside = assets.list(asset).orEmpty()
        if (inside.isEmpty()) {
            assets.open(asset).use { input -> to.outputStream().use { input.copyTo(it) } }
        } else {
            to.mkdirs()
            for (name in inside) unpack("$asset/$name", File(to, name))
        }
        return to
    }
}
