#!/usr/bin/env bash
# Keras: with an open time axis a GRU exports to ONNX, takes any length, and computes its first step
#
# Keras 3.15.1 on the torch backend (torch 2.13.0), onnx 1.23.2, onnxruntime 1.32.0, seen on
# 2026-11-28. `keras.Input((None, 3))` says that any number of steps may come, the exported file
# declares that axis open, and ONNX Runtime runs it at every length without a word. What it returns
# is the state after the first step: a sequence and its first step alone give the same numbers, and
# Keras itself gives others.
#
# Output seen:
#   declared: an open time axis
#   12 steps in ONNX Runtime: as the first step alone, not as Keras
#   (stderr: seen: off from Keras by 0.2, from the first step by 0e+00)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0
"$folder/venv/bin/pip" install --quiet keras==3.15.1 onnx==1.23.2 onnxruntime==1.32.0 onnxscript==0.7.2

cat > "$folder/open_time.py" <<'P'
import logging
import os
import sys
import warnings

os.environ["KERAS_BACKEND"] = "torch"
warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
import keras
import numpy as np
import onnxruntime

keras.utils.set_random_seed(0)
steps = keras.Input((None, 3))
model = keras.Model(steps, keras.layers.GRU(4)(steps))
model(np.zeros((1, 4, 3), np.float32))
model.export("gru.onnx", format="onnx", verbose=False)

session = onnxruntime.InferenceSession("gru.onnx")
(declared,) = session.get_inputs()
is_open = not isinstance(declared.shape[1], int)
print(f"declared: {'an open' if is_open else 'a fixed'} time axis", file=sys.stdout)

x = np.random.default_rng(0).standard_normal((1, 12, 3)).astype(np.float32)
(whole,) = session.run(None, {declared.name: x})
(first,) = session.run(None, {declared.name: x[:, :1]})
right = np.asarray(keras.ops.convert_to_numpy(model(x)))
from_keras, from_first = float(abs(whole - right).max()), float(abs(whole - first).max())
as_first = from_first < 1e-6 and from_keras > 0.05
print(f"12 steps in ONNX Runtime: {'as the first step alone, not as Keras' if as_first else 'other'}")
print(f"seen: off from Keras by {from_keras:.1g}, from the first step by {from_first:.0e}", file=sys.stderr)
P

cd "$folder"
said=$("$folder/venv/bin/python" open_time.py | grep -E '^(declared|12 steps)')
echo "$said"
[ "$said" = "declared: an open time axis
12 steps in ONNX Runtime: as the first step alone, not as Keras" ]
