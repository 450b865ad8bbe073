plugins {
    id("com.android.application")
    id("org.jetbrains.kotlin.android")
}

val modelFiles = layout.buildDirectory.dir("model")

// The model and its golden cases, as they are beside this project's README, become assets.
val copyModel by tasks.registering(Sync::class) {
    from(rootDir) {
        include("model.json", "*.onnx", "*.onnx.data", "*.onnx_data", "golden/**")
    }
    into(modelFiles.map { it.dir("model") })
}

android {
    namespace = "rnn.app"
    compileSdk = 35
    defaultConfig {
        applicationId = "rnn.app"
        minSdk = 26
        targetSdk = 35
        versionCode = 1
        versionName = "1"
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
    kotlinOptions { jvmTarget = "17" }
    sourceSets["main"].apply {
        assets.srcDir(modelFiles)
        // The same sources as on a desktop; Main.kt is harmless here.
        kotlin.srcDir("../core/src/main/kotlin")
    }
}

tasks.named("preBuild") { dependsOn(copyModel) }

dependencies {
    implementation("com.microsoft.onnxruntime:onnxruntime-android:1.20.0")
}
