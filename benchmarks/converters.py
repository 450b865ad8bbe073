"""Recurrent layers as other frameworks export them, for `published.py`.

    KERAS_BACKEND=torch python benchmarks/converters.py keras FOLDER
    KERAS_BACKEND=tensorflow python benchmarks/converters.py keras FOLDER
    python benchmarks/converters.py paddle FOLDER

Each framework wants an environment of its own: keras, torch, onnxscript, onnx; keras,
tensorflow-cpu, tf2onnx; paddlepaddle, paddle2onnx, packaging. The weights are seeded: 16 features,
32 units, 16 steps.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FEATURES, HIDDEN, STEPS, ROWS = 16, 32, 16, 2


def keras_files(folder: Path) -> None:
    """Keras 3, of the backend that KERAS_BACKEND names."""
    import keras
    from keras import layers

    def net(*stack: Any, steps: int | None = STEPS, batch: int | None = None) -> Any:
        x = keras.Input((steps, FEATURES), batch_size=batch)
        y = x
        for layer in stack:
            y = layer(y)
        return keras.Model(x, y)

    steps = {"return_sequences": True}
    made: dict[str, Callable[[], Any]] = {
        "rnn": lambda: net(layers.SimpleRNN(HIDDEN, **steps)),
        "gru": lambda: net(layers.GRU(HIDDEN, **steps)),
        "lstm": lambda: net(layers.LSTM(HIDDEN, **steps)),
        "gru_backwards": lambda: net(layers.GRU(HIDDEN, go_backwards=True, **steps)),
        "gru_both": lambda: net(layers.Bidirectional(layers.GRU(HIDDEN, **steps))),
        "gru_masked": lambda: net(layers.Masking(), layers.GRU(HIDDEN, **steps)),
        "gru_open": lambda: net(layers.GRU(HIDDEN, **steps), steps=None),
        "stack_last": lambda: net(layers.LSTM(HIDDEN, **steps), layers.LSTM(HIDDEN)),
    }
    backend = keras.backend.backend()
    if backend == "tensorflow":  # on PyTorch the export of a stateful layer fails
        made["lstm_stateful"] = lambda: net(layers.LSTM(HIDDEN, stateful=True, **steps), batch=ROWS)
    for name, build in made.items():
        keras.utils.set_random_seed(0)
        model = build()
        x = np.random.default_rng(0).standard_normal((ROWS, STEPS, FEATURES)).astype(np.float32)
        model(x)  # a stateful layer has a state from here on
        model.export(str(folder / f"keras_{backend}_{name}.onnx"), format="onnx", verbose=False)


def paddle_files(folder: Path) -> None:
    """PaddlePaddle, by paddle2onnx; its SimpleRNN and cells it does not convert."""
    import paddle
    from paddle.static import InputSpec

    class Steps(paddle.nn.Layer):  # type: ignore[misc]
        def __init__(self, layer: Any) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Any) -> Any:
            return self.layer(x)[0]

    class States(Steps):
        def forward(self, x: Any, h: Any, c: Any) -> Any:
            y, (h, c) = self.layer(x, (h, c))
            return y, h, c

    class Lengths(Steps):
        def forward(self, x: Any, lengths: Any) -> Any:
            return self.layer(x, None, lengths)[0]

    class Loop(Steps):
        def forward(self, x: Any) -> Any:
            h, found = paddle.zeros([x.shape[0], HIDDEN]), []
            for t in range(STEPS):
                _, h = self.layer(x[:, t], h)
                found.append(h)
            return paddle.stack(found, 1)

    def spec(name: str, *shape: int | None, dtype: str = "float32") -> Any:
        return InputSpec(list(shape), dtype, name)

    nn, x = paddle.nn, spec("x", None, None, FEATURES)
    size = (FEATURES, HIDDEN)
    states = [spec(name, 1, None, HIDDEN) for name in ("h", "c")]
    made = {
        "gru": (lambda: Steps(nn.GRU(*size)), [x]),
        "lstm_stack_both": (
            lambda: Steps(nn.LSTM(*size, num_layers=2, direction="bidirect")),
            [x],
        ),
        "lstm_states": (lambda: States(nn.LSTM(*size)), [x, *states]),
        "gru_lengths": (
            lambda: Lengths(nn.GRU(*size)),
            [x, spec("lengths", None, dtype="int64")],
        ),
        "gru_cell_loop": (lambda: Loop(nn.GRUCell(*size)), [spec("x", None, STEPS, FEATURES)]),
    }
    for name, (build, inputs) in made.items():
        paddle.seed(0)
        net = build()
        net.eval()
        path = str(folder / f"paddle_{name}")
        paddle.onnx.export(net, path, input_spec=inputs, opset_version=17)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("keras", "paddle"):
        sys.exit("usage: python benchmarks/converters.py keras|paddle FOLDER")
    into = Path(sys.argv[2])
    into.mkdir(parents=True, exist_ok=True)
    (keras_files if sys.argv[1] == "keras" else paddle_files)(into)
