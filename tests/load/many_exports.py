"""How time and memory of exports grow in one process: `python -m tests.load.many_exports 300 ours`.

    ours     rnnbench.export of a small model
    torchs   torch.export.export of a module alike, alone

It prints a JSON object: the CPU seconds of each, and the bytes that the process has after each.
"""

import gc
import json
import logging
import re
import sys
import time
import warnings
from pathlib import Path

import torch
from torch import nn

import rnnbench
from rnnbench import Model, TensorSpec
from rnnbench.core.temporary import temporary_folder

FEATURES, HIDDEN = 3, 8


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(FEATURES, HIDDEN)
        self.out = nn.Linear(HIDDEN, 2)

    def forward(self, x):
        h = x.new_zeros(x.size(1), HIDDEN)
        seen = []
        for t in range(x.size(0)):
            h = self.cell(x[t], h)
            seen.append(self.out(h))
        return torch.stack(seen)


def ours(folder):
    model = Model(Net(), (TensorSpec("x", ("time", "batch", FEATURES)),), ("y",), name="net")
    rnnbench.export(model, ("onnx", "torchscript"), folder)


def torchs(_folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shapes = ({1: torch.export.Dim.AUTO},)
        torch.export.export(Net().eval(), (torch.zeros(5, 3, FEATURES),), dynamic_shapes=shapes)


def resident():
    """Bytes that are this process's own."""
    said = Path("/proc/self/smaps_rollup").read_text()
    return 1024 * sum(int(n) for n in re.findall(r"^Private_\w+:\s*(\d+) kB", said, re.MULTILINE))


def main(count, which):
    logging.disable(logging.WARNING)
    export = {"ours": ours, "torchs": torchs}[which]
    seconds, sizes = [], []
    with temporary_folder() as folder:
        for _ in range(count):
            start = time.process_time()
            export(folder)
            seconds.append(time.process_time() - start)
            gc.collect()
            sizes.append(resident())
    print(json.dumps({"seconds": seconds, "bytes": sizes}))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
