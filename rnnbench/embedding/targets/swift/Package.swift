// swift-tools-version: 5.9
import PackageDescription

let package = Package(
    name: "RNN",
    platforms: [.iOS(.v15), .macOS(.v13)],
    products: [.library(name: "RNN", targets: ["RNN"])],
    dependencies: [
        .package(
            url: "https://github.com/microsoft/onnxruntime-swift-package-manager", from: "1.20.0")
    ],
    targets: [
        .target(
            name: "RNN",
            dependencies: [
                .product(name: "onnxruntime", package: "onnxruntime-swift-package-manager")
            ]),
        .executableTarget(name: "run", dependencies: ["RNN"]),
    ]
)
