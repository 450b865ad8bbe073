#!/usr/bin/env bash
# torch: `scan` refuses a first state that is a slice, though its shape and dtype are those of a step's
#
# torch 2.13.0 (CPU), seen on 2026-11-28. `scan` compares the strides of the first state with those of
# what a step hands on. `x[:, 0]` of an x [batch, time, 4] has the stride of x in its first dimension, a
# step's result is laid out in order: refused, in eager mode as in an export. Values do not depend on
# strides, and the operator is functional; a copy of the slice runs.
#
# Output seen:
#   slice: Expected init and carry to have same metadata (stride: (20, 1) vs (4, 1))
#   copy:  [5, 3, 4]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.3.5

cat > "$folder/first.py" <<'P'
import re

import torch
from torch._higher_order_ops.scan import scan


def step(h, x_t):
    h = torch.tanh(h + x_t)
    return h, h.clone()


x = torch.ones(3, 5, 4)  # [batch, time, 4]
for name, first in (("slice:", x[:, 0]), ("copy: ", x[:, 0].clone())):
    try:
        print(name, list(scan(step, first, x.movedim(1, 0).clone())[1].shape))
    except Exception as error:
        text = str(error)
        strides = re.search(r"stride: \(\d+, \d+\) vs \(\d+, \d+\)", text)
        print(name, text.partition(" but")[0], f"({strides[0]})")
P
cd "$folder"
seen=$("$folder/venv/bin/python" -W ignore first.py 2>/dev/null)
echo "$seen"
[ "$seen" = "slice: Expected init and carry to have same metadata (stride: (20, 1) vs (4, 1))
copy:  [5, 3, 4]" ]
