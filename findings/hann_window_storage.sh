#!/usr/bin/env bash
# torch.hann_window(16) is a view of 17 values, and torch.export.save warns of a buffer made by it
#
# torch 2.13.0 (CPU), seen on 2026-11-28. A periodic window is the longer one without its last value:
# a view, whose storage has one value more. As a buffer of a front end (STFT, mel) it reaches
# torch.export.save as a tensor that is not complete, and the warning names neither the buffer nor a
# remedy. `.clone()` where the buffer is made ends it.
#
# Output seen:
#   values in the storage: 17
#   as it is: No complete tensor found in the group! Returning the first one.
#   cloned:   no warning
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6

cat > "$folder/window.py" <<'P'
import io
import sys
import warnings

import torch

window = torch.hann_window(16)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("window", window.clone() if sys.argv[1] == "cloned" else window)

    def forward(self, x):
        return x * self.window


program = torch.export.export(Net().eval(), (torch.zeros(2, 16),))
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    torch.export.save(program, io.BytesIO())
if sys.argv[1] == "values":
    print(window.untyped_storage().nbytes() // window.element_size())
else:
    print(" ".join(str(w.message).split(" This")[0] for w in said) or "no warning")
P
cd "$folder"
values=$("$folder/venv/bin/python" window.py values)
plain=$("$folder/venv/bin/python" window.py plain)
cloned=$("$folder/venv/bin/python" window.py cloned)
echo "values in the storage: $values"
echo "as it is: $plain"
echo "cloned:   $cloned"
[ "$values" = 17 ]
[ "$plain" = "No complete tensor found in the group! Returning the first one." ]
[ "$cloned" = "no warning" ]
