#!/usr/bin/env bash
# torch.export.save: a program that was decomposed never gives the same bytes twice
#
# torch 2.13.0 (CPU), seen on 2026-11-28. The same module with the same weights is exported and saved
# by two processes. As traced, the two .pt2 files hold the same bytes, entry by entry. After
# `run_decompositions()`, which changes nothing that matters here, `models/model.json` differs: each
# node keeps its history (`from_node`), in which graphs are told apart by `id(graph)`, their place in
# memory. `.data/serialization_id` follows. Who names artifacts by their hash, or caches builds by it,
# sees a new model each time.
#
# Output seen:
#   as traced:  identical entries
#   decomposed: differ in .data/serialization_id models/model.json
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6

cat > "$folder/save.py" <<'P'
import sys

import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.GRUCell(3, 4)

    def forward(self, x, h):
        return torch.nn.functional.softmax(self.rnn(x, h), -1)


torch.manual_seed(0)
program = torch.export.export(Net().eval(), (torch.zeros(2, 3), torch.zeros(2, 4)))
if sys.argv[1] == "decomposed":
    program = program.run_decompositions()
torch.export.save(program, sys.argv[2])
P
cat > "$folder/compare.py" <<'P'
import sys
import zipfile


def entries(path):
    with zipfile.ZipFile(path) as file:
        return {name.split("/", 1)[1]: file.read(name) for name in file.namelist()}


one, two = map(entries, sys.argv[1:])
differ = sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name))
print(f"differ in {' '.join(differ)}" if differ else "identical entries")
P
cd "$folder"
for how in traced decomposed; do
    mkdir "$how"
    # two processes, each with a heap of its own
    for run in 1 2; do
        mkdir "$how/$run"
        (cd "$how/$run" && "$folder/venv/bin/python" -W ignore "$folder/save.py" "$how" model.pt2)
    done
    "$folder/venv/bin/python" compare.py "$how/1/model.pt2" "$how/2/model.pt2" > "$how.txt"
done
echo "as traced:  $(cat traced.txt)"
echo "decomposed: $(cat decomposed.txt)"
[ "$(cat traced.txt)" = "identical entries" ]
grep -q "models/model.json" decomposed.txt
