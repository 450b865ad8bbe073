// The model on a desktop JVM: gradle :core:installDist && core/build/install/core/bin/core --verify
plugins {
    id("org.jetbrains.kotlin.jvm")
    application
}

dependencies {
    implementation("com.microsoft.onnxruntime:onnxruntime:1.20.0")
    implementation("org.json:json:20240303") // Android has it
}

application {
    mainClass = "rnn.MainKt"
}
