import Foundation

/// What is wrong, in one line.
public struct Failure: Error, CustomStringConvertible {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}

/// Numbers, little-endian, the last dimension fastest.
public struct Tensor {
    public let dtype: String
    public let shape: [Int]
    public let data: Data

    /// ONNX Runtime's Swift package has no float64, float16 and bool.
    static let itemSizes = ["float32": 4, "int64": 8, "int32": 4]

    private let itemSize: Int

    public init(dtype: String, shape: [Int], data: Data) throws {
        guard let size = Tensor.itemSizes[dtype] else {
            throw Failure("dtype \(dtype) is not known here")
        }
        guard shape.allSatisfy({ $0 >= 0 }), shape.reduce(size, *) == data.count else {
            throw Failure("\(data.count) bytes are not those of \(dtype)\(shape)")
        }
        self.dtype = dtype
        self.shape = shape
        self.data = data
        itemSize = size
    }

    public init(_ values: [Float], shape: [Int]) throws {
        try self.init(dtype: "float32", shape: shape, data: values.withUnsafeBytes { Data($0) })
    }

    public init(_ values: [Int64], shape: [Int]) throws {
        try self.init(dtype: "int64", shape: shape, data: values.withUnsafeBytes { Data($0) })
    }

    public var floats: [Float] { dtype == "float32" ? numbers(Float.self, zero: 0) : doubles.map { Float($0) } }

    public var doubles: [Double] {
        switch dtype {
        case "float32": return numbers(Float.self, zero: 0).map { Double($0) }
        case "int64": return numbers(Int64.self, zero: 0).map { Double($0) }
        default: return numbers(Int32.self, zero: 0).map { Double($0) }
        }
    }

    /// The steps of a range along an axis.
    public func narrow(_ axis: Int, _ range: Range<Int>) throws -> Tensor {
        let row = bytes(from: axis + 1)
        var cut = shape
        cut[axis] = range.count
        var target = Data(capacity: cut.reduce(itemSize, *))
        for o in 0..<outer(axis) {
            let first = data.startIndex + (o * shape[axis] + range.lowerBound) * row
            target.append(data[first..<(first + range.count * row)])
        }
        return try Tensor(dtype: dtype, shape: cut, data: target)
    }

    /// One after the other along an axis; they agree in all but their size there.
    public static func concat(_ parts: [Tensor], _ axis: Int) throws -> Tensor {
        guard let first = parts.first else {
            throw Failure("there is nothing to put together")
        }
        var shape = first.shape
        shape[axis] = parts.reduce(0) { $0 + $1.shape[axis] }
        var target = Data(capacity: shape.reduce(first.itemSize, *))
        for o in 0..<first.outer(axis) {
            for part in parts {
                let row = part.bytes(from: axis)
                let start = part.data.startIndex + o * row
                target.append(part.data[start..<(start + row)])
            }
        }
        return try Tensor(dtype: first.dtype, shape: shape, data: target)
    }

    /// The same shape and dtype, with one number everywhere.
    func filled(_ value: Int) throws -> Tensor {
        let count = shape.reduce(1, *)
        switch dtype {
        case "int64":
            return try Tensor([Int64](repeating: Int64(value), count: count), shape: shape)
        case "int32":
            let values = [Int32](repeating: Int32(value), count: count)
            return try Tensor(dtype: dtype, shape: shape, data: values.withUnsafeBytes { Data($0) })
        default:
            throw Failure("lengths are \(dtype): give int64 or int32")
        }
    }

    private func numbers<T>(_ type: T.Type, zero: T) -> [T] {
        var values = [T](repeating: zero, count: data.count / MemoryLayout<T>.stride)
        _ = values.withUnsafeMutableBytes { data.copyBytes(to: $0) }
        return values
    }

    private func outer(_ axis: Int) -> Int { shape[..<axis].reduce(1, *) }

    private func bytes(from axis: Int) -> Int { shape[axis...].reduce(itemSize, *) }
}
