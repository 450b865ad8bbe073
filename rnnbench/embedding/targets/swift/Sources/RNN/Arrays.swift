import Foundation

private let format = "rnnbench-cases-1"

/// An array of a file, and what the file says of it: `part` is "in" or "out".
public struct Entry {
    public let name: String
    public let part: String
    public let caseName: String
    /// The largest absolute error of an output.
    public let allowed: Double
    /// That of each element, where it is not `allowed` for all.
    public let limits: [Double]?
    /// Whether the case may be fed step by step.
    public let stream: Bool
    public let tensor: Tensor
}

/// Reads arrays by name: NAME.json says what is where in NAME.bin.
public func readArrays(_ header: URL) throws -> [Entry] {
    func fails(_ why: Any) -> Failure {
        Failure("\(header.path) is no file of arrays (\(why)): see golden/cases.json")
    }
    do {
        let json = try JSONSerialization.jsonObject(with: Data(contentsOf: header))
        guard let said = json as? [String: Any], said["format"] as? String == format,
            let file = said["data"] as? String, let lines = said["arrays"] as? [[String: Any]]
        else {
            throw Failure("its format is not \(format)")
        }
        let raw = try Data(contentsOf: header.deletingLastPathComponent().appendingPathComponent(file))
        return try lines.map { try entry($0, raw) }
    } catch let failure as Failure {
        throw fails(failure)
    } catch {
        throw fails(error.localizedDescription)
    }
}

/// Writes arrays, by name, as the outputs of one case.
public func writeArrays(_ header: URL, _ arrays: [(name: String, tensor: Tensor)]) throws {
    let data = header.deletingPathExtension().appendingPathExtension("bin")
    var raw = Data()
    var lines: [String] = []
    for (name, tensor) in arrays {
        let line: [String: Any] = [
            "case": "result", "part": "out", "name": name, "dtype": tensor.dtype,
            "shape": tensor.shape, "offset": raw.count, "bytes": tensor.data.count,
            "allowed": 0, "stream": 0,
        ]
        lines.append(try jsonText(line))
        raw.append(tensor.data)
    }
    let start = "{\"format\": \"\(format)\", \"data\": \(try jsonText(data.lastPathComponent)), "
    let text = start + "\"arrays\": [\n" + lines.joined(separator: ",\n") + "\n]}\n"
    do {
        try raw.write(to: data)
        try Data(text.utf8).write(to: header)
    } catch {
        throw Failure("cannot write \(header.path): give another file")
    }
}

func jsonText(_ value: Any, pretty: Bool = false) throws -> String {
    var options: JSONSerialization.WritingOptions = [.fragmentsAllowed, .sortedKeys]
    if pretty {
        options.insert(.prettyPrinted)
    }
    let data = try JSONSerialization.data(withJSONObject: value, options: options)
    return String(decoding: data, as: UTF8.self)
}

private func entry(_ line: [String: Any], _ raw: Data) throws -> Entry {
    guard let name = line["name"] as? String, let part = line["part"] as? String,
        let caseName = line["case"] as? String, let dtype = line["dtype"] as? String,
        let shape = line["shape"] as? [Int], let offset = line["offset"] as? Int,
        let bytes = line["bytes"] as? Int
    else {
        throw Failure("an array lacks a field")
    }
    func slice(_ offset: Int, _ bytes: Int) throws -> Data {
        guard offset >= 0, bytes >= 0, bytes <= raw.count, offset <= raw.count - bytes else {
            throw Failure("the bytes of \(name) are not all there")
        }
        let first = raw.startIndex + offset
        return Data(raw[first..<(first + bytes)])
    }
    let tensor = try Tensor(dtype: dtype, shape: shape, data: slice(offset, bytes))
    var limits: [Double]?
    if let place = line["allowed_offset"] {
        guard let offset = place as? Int else {
            throw Failure("what \(name) is allowed is nowhere")
        }
        let data = try slice(offset, 4 * shape.reduce(1, *))
        limits = try Tensor(dtype: "float32", shape: shape, data: data).doubles
    }
    return Entry(
        name: name, part: part, caseName: caseName,
        allowed: (line["allowed"] as? NSNumber)?.doubleValue ?? 0,
        limits: limits,
        stream: (line["stream"] as? NSNumber)?.intValue ?? 0 != 0,
        tensor: tensor)
}
