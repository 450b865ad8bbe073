#!/usr/bin/env bash
# torch.onnx.export traces a program that torch.export has made once more, to change nothing of it
#
# torch 2.13.0 with onnxscript 0.7.2, seen on 2026-12-01. Who has an ExportedProgram in hand expects its
# translation to be a walk over the graph. It is not: the exporter first runs the program's decompositions,
# a full trace of fake tensors, whether or not an operator is to be taken apart. For a loop of an Elman
# cell whose operators the library all has, the graph is the same before and after, and the trace takes 0.24
# of the 0.65 CPU seconds of the second export in a process. Who exports many recurrent models waits for that.
#
# Output seen:
#   traces by torch.onnx.export: 1
#   the same operators before and after: True
#   a quarter of the export's time or more: True
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 onnx==1.23.2 onnxscript==0.7.2 numpy==2.3.5

cat > "$folder/again.py" <<'P'
import logging
import warnings
from time import process_time

import torch
from torch.export import ExportedProgram

logging.disable(logging.WARNING)
warnings.simplefilter("ignore")


class Elman(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.outer = torch.nn.Linear(8, 16), torch.nn.Linear(16, 16)

    def forward(self, x, h):
        steps = []
        for t in range(8):
            h = torch.tanh(self.inner(x[t]) + self.outer(h))
            steps.append(h)
        return torch.stack(steps), h


batch = torch.export.Dim("batch", min=2)
given = torch.randn(8, 3, 8), torch.randn(3, 16)
program = torch.export.export(Elman().eval(), given, dynamic_shapes=({1: batch}, {0: batch}))
take_apart, seen = ExportedProgram.run_decompositions, []


def watched(self, *words):
    start = process_time()
    made = take_apart(self, *words)
    seen.append((process_time() - start, made))
    return made


def operators(program):
    return [str(node.target) for node in program.graph.nodes if node.op == "call_function"]


ExportedProgram.run_decompositions = watched
torch.onnx.export(program, (), dynamo=True, verbose=False)  # reads the library of functions
seen.clear()
start = process_time()
torch.onnx.export(program, (), dynamo=True, verbose=False)
whole = process_time() - start
print("traces by torch.onnx.export:", len(seen))
print("the same operators before and after:", operators(program) == operators(seen[0][1]))
print("a quarter of the export's time or more:", seen[0][0] > whole / 4)
P
cd "$folder"
seen=$("$folder/venv/bin/python" again.py)
echo "$seen"
[ "$seen" = "traces by torch.onnx.export: 1
the same operators before and after: True
a quarter of the export's time or more: True" ]
