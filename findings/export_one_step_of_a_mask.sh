#!/usr/bin/env bash
# torch.export: a mask of `max(lengths)` steps must have 2 or more, though 1 or more was said
#
# torch 2.13.0 (CPU), seen on 2026-11-30; 2.14.1 is the same. Beside a sequence of `time` steps, a mask of
# as many steps as the longest row has runs in eager mode where it is as long as the sequence, and where
# all rows are one step long: then it is broadcast. export takes the size as `time`, and the program
# that it gives asserts that the number in the tensor is 2 or more: `torch._check(longest >= 1)` and
# `Dim(min=1)` do not help. Batches of single steps stop.
#
# Output seen:
#   [9, 9, 1] eager: 16 filled
#   [9, 9, 1] exported: 16 filled
#   [1, 1, 1] eager: 0 filled
#   [1, 1, 1] exported: Runtime assertion failed for expression u0 >= 2 on node 'ge_2'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.3.5

cat > "$folder/mask.py" <<'P'
import torch
from torch.export import Dim, export


class Masked(torch.nn.Module):
    def forward(self, y, lengths):
        longest = lengths.max().item()
        torch._check(longest >= 1)
        steps = torch.arange(longest)
        ended = steps.unsqueeze(0) >= lengths.unsqueeze(1)  # [batch, longest]
        return y.masked_fill(ended.unsqueeze(2), -1.0)


batch, time = Dim("batch", min=1), Dim("time", min=1)
y = torch.zeros(3, 9, 2)
sizes = ({0: batch, 1: time}, {0: batch})
program = export(
    Masked(), (y, torch.tensor([9, 4, 2])), dynamic_shapes=sizes, strict=False
).module()
for lengths in ([9, 9, 1], [1, 1, 1]):
    for name, run in (("eager:", Masked()), ("exported:", program)):
        try:
            print(lengths, name, int((run(y, torch.tensor(lengths)) == -1).sum()), "filled")
        except Exception as error:
            print(lengths, name, str(error).splitlines()[0])
P
cd "$folder"
seen=$("$folder/venv/bin/python" -W ignore mask.py 2>/dev/null)
echo "$seen"
[ "$seen" = "[9, 9, 1] eager: 16 filled
[9, 9, 1] exported: 16 filled
[1, 1, 1] eager: 0 filled
[1, 1, 1] exported: Runtime assertion failed for expression u0 >= 2 on node 'ge_2'" ]
