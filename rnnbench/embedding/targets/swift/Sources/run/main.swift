import Foundation
import RNN

let usage = "run --verify [RESULT.json] | INPUT.json OUTPUT.json [--stream]"

func printError(_ line: String) {
    FileHandle.standardError.write(Data((line + "\n").utf8))
}

/// In the project's folder; an app uses `Model` itself.
func perform(_ words: [String]) throws -> Int32 {
    let verifies = words.first == "--verify" && words.count <= 2
    let streams = words.count == 3 && words[2] == "--stream"
    guard verifies || ((words.count == 2 || streams) && !words[0].hasPrefix("-")) else {
        printError(usage)
        return 2
    }
    let folder = URL(fileURLWithPath: FileManager.default.currentDirectoryPath)
    let start = DispatchTime.now().uptimeNanoseconds
    let model = try Model(folder: folder)
    let loadSeconds = Double(DispatchTime.now().uptimeNanoseconds - start) * 1e-9
    if verifies {
        let report = try verify(model, folder: folder)
        if words.count > 1 {
            let text = try report.json(loadSeconds: loadSeconds)
            try Data(text.utf8).write(to: URL(fileURLWithPath: words[1]))
        }
        print(report.text)
        return report.ok ? 0 : 1
    }
    let inputs = cases(of: try readArrays(URL(fileURLWithPath: words[0]))).first?.inputs ?? [:]
    let outputs = streams ? try model.streamed(inputs) : try model(inputs)
    let ordered = model.outputs.compactMap { port in
        outputs[port.name].map { (name: port.name, tensor: $0) }
    }
    try writeArrays(URL(fileURLWithPath: words[1]), ordered)
    return 0
}

do {
    exit(try perform(Array(CommandLine.arguments.dropFirst())))
} catch let failure as Failure {
    printError(failure.description)
} catch {
    printError(error.localizedDescription.split(separator: "\n").joined(separator: " "))
}
exit(2)
