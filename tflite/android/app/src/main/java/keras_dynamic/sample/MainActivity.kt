package keras_dynamic.sample

import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.Intent
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.os.Bundle
import android.provider.MediaStore
import android.widget.Button
import android.widget.ImageView
import android.widget.LinearLayout
import android.widget.ScrollView
import android.widget.TextView
import java.util.concurrent.Executors

/** Classifies a picture of the gallery or the camera in three ways, and shows class, path and time of each. */
class MainActivity : Activity() {
    private val worker = Executors.newSingleThreadExecutor() // the models are used by one thread alone
    private var networks: Networks? = null
    private lateinit var shown: ImageView
    private lateinit var said: TextView

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        shown = ImageView(this).apply { adjustViewBounds = true }
        said = TextView(this).apply {
            textSize = 16f
            text = "Choose or take a picture."
        }
        val rows = LinearLayout(this).apply {
            orientation = LinearLayout.VERTICAL
            fitsSystemWindows = true
            setPadding(32, 32, 32, 32)
        }
        rows.addView(button("Choose a picture") {
            val intent = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("image/*")
            startActivityForResult(intent, GALLERY)
        })
        rows.addView(button("Take a picture") {
            try {
                startActivityForResult(Intent(MediaStore.ACTION_IMAGE_CAPTURE), CAMERA)
            } catch (error: ActivityNotFoundException) {
                say("This device has no camera app.")
            }
        })
        rows.addView(shown)
        rows.addView(said)
        setContentView(ScrollView(this).apply { addView(rows) })
    }

    private fun button(name: String, action: () -> Unit) = Button(this).apply {
        text = name
        setOnClickListener { action() }
    }

    @Deprecated("Deprecated in Java")
    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        super.onActivityResult(requestCode, resultCode, data)
        if (resultCode != RESULT_OK) return
        val picture = if (requestCode == GALLERY) opened(data) else data?.extras?.get("data") as? Bitmap
        if (picture == null) say("The picture cannot be read.") else classify(picture)
    }

    private fun opened(data: Intent?): Bitmap? =
        data?.data?.let { address -> contentResolver.openInputStream(address) }?.use(BitmapFactory::decodeStream)

    private fun classify(picture: Bitmap) {
        shown.setImageBitmap(picture)
        say("Classifying ...")
        worker.execute {
            val text = try {
                (networks ?: Networks(assets).also { networks = it }).describe(picture)
            } catch (error: Exception) {
                "It failed: ${error.message}"
            }
            runOnUiThread { say(text) }
        }
    }

    private fun say(text: String) {
        said.text = text
    }

    override fun onDestroy() {
        worker.execute { networks?.close() }
        worker.shutdown()
        super.onDestroy()
    }

    private companion object {
        const val GALLERY = 1
        const val CAMERA = 2
    }
}
