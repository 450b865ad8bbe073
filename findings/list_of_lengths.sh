#!/usr/bin/env bash
# torch.export: list(lengths), even where the list is thrown away, fixes the batch
#
# torch 2.13.0 (CPU), seen on 2026-11-28, not strict, every dimension `Dim.AUTO`. `list(x)` first asks
# `len(x)` how much room to take, and `len` has to return a Python number: the symbol of the batch is
# made one, without a warning. A program that sorts by length, packs with `list(lengths)`, and was to
# take any batch takes the traced one alone. The list itself need not be used.
#
# Output seen:
#   with list(lengths): ['3'] ['3', 's27']
#   without:            ['s2'] ['s2', 's27']
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6

cat > "$folder/listed.py" <<'P'
import sys

import torch
from torch.export import Dim


class Net(torch.nn.Module):
    def forward(self, lengths, x):
        if sys.argv[1] == "list":
            list(lengths)
        return x.sum(1) * lengths


shapes = ({0: Dim.AUTO}, {0: Dim.AUTO, 1: Dim.AUTO})
inputs = (torch.arange(1, 4), torch.zeros(3, 5))
program = torch.export.export(Net(), inputs, dynamic_shapes=shapes, strict=False)
holders = [n.meta["val"].shape for n in program.graph.nodes if n.op == "placeholder"]
print(*([str(size) for size in shape] for shape in holders))
P
cd "$folder"
with=$("$folder/venv/bin/python" -W ignore listed.py list)
without=$("$folder/venv/bin/python" -W ignore listed.py none)
echo "with list(lengths): $with"
echo "without:            $without"
[ "$with" = "['3'] ['3', 's27']" ]
[ "$without" = "['s2'] ['s2', 's27']" ]
