import Foundation
import OnnxRuntimeBindings

/// One output of one case; an error of nil is another shape or dtype, or a NaN.
public struct Row {
    public let caseName: String
    public let how: String
    public let output: String
    public let error: Double?
    public let allowed: Double

    public var ok: Bool { error.map { $0 <= allowed } ?? false }
}

public struct Report {
    public let rows: [Row]
    public let stepSeconds: Double

    public var ok: Bool { !rows.isEmpty && rows.allSatisfy { $0.ok } }

    public var text: String {
        let wrong = rows.filter { !$0.ok }
        let lines = wrong.map { row in
            let error = row.error.map { String($0) } ?? "nothing to compare"
            return "WRONG \(row.caseName) \(row.how) \(row.output): off by \(error)"
        }
        let worst = rows.compactMap { $0.error }.max() ?? 0
        let last = "\(rows.count - wrong.count) of \(rows.count) right, worst error \(worst)"
        return (lines + [last]).joined(separator: "\n")
    }

    /// A result file, as `rnnbench conform --result` reads it.
    public func json(loadSeconds: Double) throws -> String {
        let list = rows.map { row -> [String: Any] in
            let error: Any = row.error.map { $0 as Any } ?? NSNull()
            return [
                "case": row.caseName, "how": row.how, "output": row.output, "error": error,
                "allowed": row.allowed, "ok": row.ok,
            ]
        }
        let said: [String: Any] = [
            "format": "rnnbench-result-1", "target": "swift",
            "versions": ["onnxruntime": ORTVersion() ?? "unknown"],
            "load_s": loadSeconds, "step_s": stepSeconds, "rows": list,
        ]
        return try jsonText(said, pretty: true) + "\n"
    }
}

/// The inputs of each case, in the order of the file.
public func cases(of entries: [Entry]) -> [(name: String, inputs: Arrays)] {
    var found: [(name: String, inputs: Arrays)] = []
    for entry in entries where entry.part == "in" {
        if found.last?.name != entry.caseName {
            found.append((entry.caseName, [:]))
        }
        found[found.count - 1].inputs[entry.name] = entry.tensor
    }
    return found
}

/// Every golden case at once and, where it may be, step by step.
public func verify(_ model: Model, folder: URL) throws -> Report {
    let golden = try readArrays(folder.appendingPathComponent("golden/cases.json"))
    let all = cases(of: golden)
    var rows: [Row] = []
    for (name, inputs) in all {
        let wanted = golden.filter { $0.part == "out" && $0.caseName == name }
        let streams = model.streams && wanted.contains { $0.stream }
        for how in streams ? ["whole", "stream"] : ["whole"] {
            let outputs = how == "whole" ? try model(inputs) : try model.streamed(inputs)
            for entry in wanted {
                let worst = compared(outputs[entry.name], entry)
                rows.append(
                    Row(
                        caseName: name, how: how, output: entry.name, error: worst.error,
                        allowed: worst.allowed))
            }
        }
    }
    guard let smallest = all.first(where: { $0.name == "batch-1-time-1" }) ?? all.first else {
        throw Failure("golden/cases.json has no case")
    }
    var best = Double.infinity
    for _ in 0..<200 {
        let start = DispatchTime.now().uptimeNanoseconds
        _ = try model(smallest.inputs)
        best = min(best, Double(DispatchTime.now().uptimeNanoseconds - start) * 1e-9)
    }
    return Report(rows: rows, stepSeconds: best)
}

/// The element that is the worst for what it is allowed.
private func compared(_ given: Tensor?, _ wanted: Entry) -> (error: Double?, allowed: Double) {
    let exact = wanted.tensor
    guard let given, given.dtype == exact.dtype, given.shape == exact.shape else {
        return (nil, wanted.allowed)
    }
    var worst = (error: 0.0, allowed: wanted.allowed)
    var share = 0.0
    for (i, (a, b)) in zip(given.doubles, exact.doubles).enumerated() {
        let error = abs(a - b)
        guard error.isFinite else {
            return (nil, wanted.allowed)
        }
        let allowed = wanted.limits?[i] ?? wanted.allowed
        let own = allowed > 0 ? error / allowed : error <= allowed ? 0 : Double.infinity
        if own > share || (own == share && error > worst.error) {
            share = own
            worst = (error, allowed)
        }
    }
    return (worst.error, worst.allowed)
}
