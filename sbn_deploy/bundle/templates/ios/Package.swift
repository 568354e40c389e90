// swift-tools-version:5.5
import PackageDescription

let package = Package(
    name: "SBNRuntime",
    platforms: [.iOS(.v14)],
    products: [.library(name: "SBNRuntime", targets: ["SBNRuntime"])],
    targets: [
        .binaryTarget(name: "sbn_native", path: "sbn_native.xcframework"),
        .target(name: "SBNRuntime", dependencies: ["sbn_native"], path: "Sources"),
    ]
)
