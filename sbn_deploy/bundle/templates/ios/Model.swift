import Foundation
import sbn_native

#if canImport(CoreGraphics)
import CoreGraphics
#endif

/// What went wrong, in one line.
public struct SBNError: Error, LocalizedError, CustomStringConvertible {
    public let description: String

    public var errorDescription: String? { return description }
}

/// An input or output of a model. The size of the batch is -1 where it is left open.
public struct Port {
    public let name: String
    /// The number that ONNX has for it: 1 is float32, 2 uint8, 7 int64.
    public let type: Int
    public let shape: [Int]

    /// Bytes of a batch.
    func bytes(batch: Int) -> Int {
        let widths = [1: 4, 2: 1, 3: 1, 5: 2, 6: 4, 7: 8, 9: 1, 13: 8]
        return shape.reduce(widths[type] ?? 0) { $0 * ($1 < 0 ? batch : $1) }
    }
}

/// What a classifier says of a picture.
public struct Answer {
    public let label: Int
    public let className: String
    public let probability: Float
    /// Of each class, calibrated where the file has a calibration.
    public let probabilities: [Float]
}

/// A model of `sbn export`. Calls from several threads wait for each other; models are independent.
public final class Model {
    public let inputs: [Port]
    public let outputs: [Port]

    private let model: OpaquePointer
    private let context: OpaquePointer
    private let lock = NSLock()
    private var samples: Int64 = 0  // as many as the file says

    /// Loads a file. With more than one thread, a call shares its work among them.
    public init(contentsOf url: URL, threads: Int = 1) throws {
        guard let loaded = sbn_model_open(url.path) else { throw Model.lastError() }
        guard let made = sbn_context_new(loaded) else {
            let error = Model.lastError()
            sbn_model_free(loaded)
            throw error
        }
        model = loaded
        context = made
        inputs = Model.ports(sbn_model_inputs(loaded)) { sbn_model_input(loaded, $0, $1) }
        outputs = Model.ports(sbn_model_outputs(loaded)) { sbn_model_output(loaded, $0, $1) }
        if sbn_context_set_threads(made, Int32(threads)) != 0 { throw Model.lastError() }
    }

    deinit {
        sbn_context_free(context)
        sbn_model_free(model)
    }

    /// The version of sbn-deploy that the library is of.
    public static var version: String { return String(cString: sbn_version()) }

    /// The kernels that models loaded from now on run on, such as neon.
    public static var kernels: String { return String(cString: sbn_isa()) }

    /// What the file says of itself: the JSON that docs/exported-file.md of sbn-deploy describes.
    public var metadata: [String: Any] {
        guard let text = sbn_model_metadata(model, "sbn") else { return [:] }
        let data = Data(String(cString: text).utf8)
        let found = try? JSONSerialization.jsonObject(with: data)
        return found as? [String: Any] ?? [:]
    }

    /// Sets an input that is a number: the `seed` of the noise, or how many `samples` of it.
    public func setNumber(_ name: String, _ value: Int64) throws {
        guard let index = inputs.firstIndex(where: { $0.name == name }) else {
            throw SBNError(description: "there is no input \(name)")
        }
        lock.lock()
        defer { lock.unlock() }
        try check(sbn_context_set_number(context, index, value))
        if name == "samples" { samples = value }
    }

    /// Runs a batch.
    ///
    /// - Parameter given: for each input but numbers, in their order, its elements.
    /// - Returns: the elements of each output, by its name.
    public func run(_ given: [Data], batch: Int = 1) throws -> [String: Data] {
        lock.lock()
        defer { lock.unlock() }
        let images = inputs.indices.filter { !inputs[$0].shape.isEmpty }
        guard given.count == images.count else {
            throw SBNError(description: "there are \(images.count) inputs, \(given.count) were given")
        }
        // They stay where they are until it has run.
        var copies: [UnsafeMutableRawPointer] = []
        defer { copies.forEach { $0.deallocate() } }
        for (index, data) in zip(images, given) {
            let bytes = inputs[index].bytes(batch: batch)
            guard data.count == bytes else {
                throw SBNError(
                    description: "input \(inputs[index].name) takes \(bytes) bytes for a batch of"
                        + " \(batch), not \(data.count)")
            }
            let copy = UnsafeMutableRawPointer.allocate(byteCount: max(bytes, 1), alignment: 64)
            copies.append(copy)
            data.copyBytes(to: copy.assumingMemoryBound(to: UInt8.self), count: bytes)
            try check(sbn_context_set_input(context, index, copy))
        }
        try check(sbn_context_run(context, Int64(batch)))
        var found: [String: Data] = [:]
        for index in outputs.indices {
            var tensor = sbn_tensor()
            guard let data = sbn_context_output(context, index, &tensor) else {
                throw Model.lastError()
            }
            let port = Model.port(tensor)
            found[port.name] = Data(bytes: data, count: port.bytes(batch: batch))
        }
        return found
    }

    /// Classifies a picture of any size, which becomes the model's input as in training.
    ///
    /// - Parameters:
    ///   - pixels: rows from the top, each pixel so many bytes as `channels` says: 1 grey, 2 grey and
    ///     alpha, 3 red, green and blue, 4 these and alpha.
    ///   - orientation: that of EXIF; 1 if it is upright.
    public func classify(
        pixels: [UInt8], width: Int, height: Int, channels: Int, orientation: Int = 1
    ) throws -> Answer {
        guard width > 0, height > 0, pixels.count == width * height * channels else {
            throw SBNError(
                description: "a picture of \(width) x \(height) pixels of \(channels) bytes cannot"
                    + " have \(pixels.count)")
        }
        guard let input = inputs.first else { throw SBNError(description: "there is no input") }
        var fitted = [UInt8](repeating: 0, count: input.shape.dropFirst().reduce(1, *))
        let size = fitted.count
        try pixels.withUnsafeBufferPointer { bytes in
            var picture = sbn_picture(
                pixels: bytes.baseAddress, width: Int32(width), height: Int32(height),
                channels: Int32(channels), orientation: Int32(orientation))
            try check(sbn_model_fit(model, &picture, &fitted, size))
        }
        var image = Data(count: input.bytes(batch: 1))
        let bytes = image.count
        try image.withUnsafeMutableBytes { to in
            try check(sbn_model_normalise(model, fitted, to.baseAddress, bytes))
        }
        guard let found = try run([image])["probabilities"] else {
            throw SBNError(description: "the model is no classifier: it has no probabilities")
        }
        var probabilities = found.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        let classes = probabilities.count
        try check(sbn_model_calibrate(model, samples, &probabilities, classes))
        guard let best = probabilities.max(), let label = probabilities.firstIndex(of: best) else {
            throw SBNError(description: "the model has no classes")
        }
        return Answer(
            label: label, className: className(label), probability: best,
            probabilities: probabilities)
    }

    #if canImport(CoreGraphics)
    /// Classifies a picture that was read already, such as the `cgImage` of a UIImage.
    public func classify(_ picture: CGImage, orientation: Int = 1) throws -> Answer {
        let width = picture.width
        let height = picture.height
        var pixels = [UInt8](repeating: 255, count: 4 * width * height)
        let drawn: Bool = pixels.withUnsafeMutableBytes { bytes in
            guard
                let canvas = CGContext(
                    data: bytes.baseAddress, width: width, height: height, bitsPerComponent: 8,
                    bytesPerRow: 4 * width, space: CGColorSpaceCreateDeviceRGB(),
                    bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)
            else { return false }
            let all = CGRect(x: 0, y: 0, width: width, height: height)
            canvas.setFillColor(red: 1, green: 1, blue: 1, alpha: 1)
            canvas.fill(all)
            canvas.draw(picture, in: all)
            return true
        }
        guard drawn else { throw SBNError(description: "the picture cannot be drawn") }
        for alpha in stride(from: 3, to: pixels.count, by: 4) { pixels[alpha] = 255 }
        return try classify(
            pixels: pixels, width: width, height: height, channels: 4, orientation: orientation)
    }
    #endif

    /// The name of a class; the word class and its number where the file has none.
    public func className(_ label: Int) -> String {
        var name = [CChar](repeating: 0, count: 256)
        let failed = sbn_model_class(model, label, &name, name.count)
        return failed == 0 ? String(cString: name) : "class \(label)"
    }

    private func check(_ failed: Int32) throws {
        if failed != 0 { throw Model.lastError() }
    }

    private static func lastError() -> SBNError {
        return SBNError(description: String(cString: sbn_last_error()))
    }

    private static func ports(
        _ count: Int, _ describe: (Int, UnsafeMutablePointer<sbn_tensor>) -> Int32
    ) -> [Port] {
        return (0..<count).map { index in
            var tensor = sbn_tensor()
            _ = describe(index, &tensor)
            return port(tensor)
        }
    }

    private static func port(_ tensor: sbn_tensor) -> Port {
        let sizes = withUnsafeBytes(of: tensor.shape) { Array($0.bindMemory(to: Int64.self)) }
        return Port(
            name: String(cString: tensor.name), type: Int(tensor.type),
            shape: sizes.prefix(Int(tensor.rank)).map { Int($0) })
    }
}
