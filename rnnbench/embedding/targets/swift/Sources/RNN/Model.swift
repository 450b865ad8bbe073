import Foundation
import OnnxRuntimeBindings

public typealias Arrays = [String: Tensor]

/// An input or output, as model.json says it.
public struct Port: Decodable {
    /// A size, or the name of one that is free.
    enum Dim: Decodable, Hashable, CustomStringConvertible {
        case size(Int)
        case free(String)

        init(from decoder: Decoder) throws {
            let value = try decoder.singleValueContainer()
            if let size = try? value.decode(Int.self) {
                self = .size(size)
            } else {
                self = .free(try value.decode(String.self))
            }
        }

        var description: String {
            switch self {
            case .size(let n): return String(n)
            case .free(let name): return name
            }
        }
    }

    enum CodingKeys: String, CodingKey {
        case name, dtype, shape, role
        case axis = "time_axis"
    }

    public let name: String
    public let dtype: String
    let shape: [Dim]?  // of an input
    let role: String?
    private let axis: Int

    public var timeAxis: Int? { axis >= 0 ? axis : nil }
}

private struct About: Decodable {
    let name: String
    let artifact: String
    let inputs: [Port]
    let outputs: [Port]
    let states: [String: String]
    let streams: Bool
}

/// The model: load it once, then call it with whole sequences, or step by step.
public final class Model {
    public let name: String
    /// Whether it gives the same step by step, with the states handed on.
    public let streams: Bool
    public let inputs: [Port]
    public let outputs: [Port]
    /// Input, and the output that is fed back as it.
    let states: [String: String]

    private let environment: ORTEnv  // lives as long as the session
    private let session: ORTSession
    private let used: [String]

    /// `folder` has model.json and the model itself; in an app, `Bundle.main.resourceURL!`.
    public init(folder: URL, threads: Int32 = 1) throws {
        let about: About
        do {
            let said = try Data(contentsOf: folder.appendingPathComponent("model.json"))
            about = try JSONDecoder().decode(About.self, from: said)
        } catch {
            throw Failure("\(folder.path) has no model.json of rnnbench: run this in its folder")
        }
        let environment = try ORTEnv(loggingLevel: ORTLoggingLevel.warning)
        let options = try ORTSessionOptions()
        try options.setIntraOpNumThreads(threads)
        let file = folder.appendingPathComponent(about.artifact).path
        let session: ORTSession
        do {
            session = try ORTSession(env: environment, modelPath: file, sessionOptions: options)
        } catch {
            throw Failure("\(file) cannot be loaded: \(error.localizedDescription)")
        }
        used = try session.inputNames()
        self.environment = environment
        self.session = session
        name = about.name
        streams = about.streams
        inputs = about.inputs
        outputs = about.outputs
        states = about.states
    }

    /// The outputs by name, of whole sequences.
    public func callAsFunction(_ given: Arrays) throws -> Arrays {
        try check(given)
        var values: [String: ORTValue] = [:]
        for name in used {
            guard let tensor = given[name] else {
                throw Failure("input \(name) is missing")
            }
            values[name] = try ortValue(tensor)
        }
        let names = Set(outputs.map { $0.name })
        let results = try session.run(withInputs: values, outputNames: names, runOptions: nil)
        var found: Arrays = [:]
        for port in outputs {
            guard let value = results[port.name] else {
                throw Failure("the model gives no \(port.name)")
            }
            let shape = try value.tensorTypeAndShapeInfo().shape.map { $0.intValue }
            let raw = try value.tensorData()
            // The memory goes with the value: this copies it.
            let data = withExtendedLifetime(value) { Data(bytes: raw.bytes, count: raw.length) }
            found[port.name] = try Tensor(dtype: port.dtype, shape: shape, data: data)
        }
        return found
    }

    /// A whole sequence fed step by step; the outputs are put together as one call would give them.
    public func streamed(_ given: Arrays) throws -> Arrays {
        let stream = try Stream(self, start: given)
        try check(given)
        let timed = inputs.compactMap { port in port.timeAxis.map { (port.name, $0) } }
        guard let (first, axis) = timed.first, let total = given[first]?.shape[axis], total > 0 else {
            throw Failure("there is no step to stream: give a sequence of at least one")
        }
        var parts: [Arrays] = []
        for t in 0..<total {
            var step: Arrays = [:]
            for (name, axis) in timed {
                step[name] = try given[name]?.narrow(axis, t..<(t + 1))
            }
            parts.append(try stream.step(step))
        }
        var whole: Arrays = [:]
        for port in outputs {
            let all = parts.compactMap { $0[port.name] }
            whole[port.name] = try port.timeAxis.map { try Tensor.concat(all, $0) } ?? all.last
        }
        return whole
    }

    /// What is wrong with inputs, and what is right.
    private func check(_ given: Arrays) throws {
        var sizes: [String: Int] = [:]
        for port in inputs {
            guard let tensor = given[port.name] else {
                let names = inputs.map { $0.name }.joined(separator: ", ")
                throw Failure("input \(port.name) is missing: give \(names)")
            }
            let shape = port.shape ?? []
            var fits = tensor.dtype == port.dtype && tensor.shape.count == shape.count
            for (dim, size) in zip(shape, tensor.shape) {
                switch dim {
                case .size(let wanted):
                    fits = fits && size == wanted
                case .free(let name):
                    fits = fits && size == sizes[name, default: size]
                    sizes[name] = sizes[name] ?? size
                }
            }
            if !fits {
                let wanted = shape.map { $0.description }.joined(separator: ", ")
                throw Failure(
                    "input \(port.name) is \(tensor.dtype)\(tensor.shape): give "
                        + "\(port.dtype)[\(wanted)], with the same batch and time in all")
            }
        }
    }
}

/// Keeps the states from one step to the next.
public final class Stream {
    private let model: Model
    private var inputs: Arrays

    /// The states to start from are in `start`, and all that has no time axis.
    public init(_ model: Model, start: Arrays) throws {
        guard model.streams else {
            throw Failure("\(model.name) needs whole sequences: run it without --stream")
        }
        self.model = model
        inputs = start
    }

    /// `part`: the inputs that have a time axis, for the steps to do now.
    public func step(_ part: Arrays) throws -> Arrays {
        inputs.merge(part) { _, new in new }
        var steps = 1
        for port in model.inputs {
            if let axis = port.timeAxis, let tensor = part[port.name], axis < tensor.shape.count {
                steps = tensor.shape[axis]
            }
        }
        for port in model.inputs where port.role == "lengths" {
            inputs[port.name] = try inputs[port.name]?.filled(steps)
        }
        let outputs = try model(inputs)
        for (input, output) in model.states {
            inputs[input] = outputs[output]
        }
        return outputs
    }
}

private func ortValue(_ tensor: Tensor) throws -> ORTValue {
    let types: [String: ORTTensorElementDataType] = [
        "float32": .float, "int64": .int64, "int32": .int32,
    ]
    guard let type = types[tensor.dtype] else {
        throw Failure("dtype \(tensor.dtype) is not known here")
    }
    return try ORTValue(
        tensorData: NSMutableData(data: tensor.data), elementType: type,
        shape: tensor.shape.map { NSNumber(value: $0) })
}
