"""The model: load it once, then call it with whole sequences, or step by step."""

import json
from pathlib import Path

import numpy as np
import onnxruntime

HERE = Path(__file__).parent


class Model:
    """`model(inputs)` gives the outputs; both are numpy arrays by name."""

    def __init__(self, threads=1):
        self.about = json.loads((HERE / "model.json").read_text("utf-8"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(HERE / self.about["artifact"]), options, providers=["CPUExecutionProvider"]
        )
        self._used = {port.name for port in self._session.get_inputs()}
        self._names = [port.name for port in self._session.get_outputs()]

    def __call__(self, inputs):
        used = {name: array for name, array in inputs.items() if name in self._used}
        return dict(zip(self._names, self._session.run(self._names, used)))

    def stream(self, inputs, steps=1):
        """Yields the outputs of `steps` steps after another; the states are handed on.

        Inputs with a time axis are the whole sequence; the others, and the states to start from,
        are as for a call.
        """
        axes = {port["name"]: port["time_axis"] for port in self.about["inputs"]}
        timed = {name: axis for name, axis in axes.items() if axis >= 0}
        name, axis = next(iter(timed.items()))
        state = {source: inputs[source] for source in self.about["states"]}
        for start in range(0, inputs[name].shape[axis], steps):
            part = dict(inputs, **state)
            for name, axis in timed.items():
                cut = [slice(None)] * inputs[name].ndim
                cut[axis] = slice(start, start + steps)
                part[name] = inputs[name][tuple(cut)]
            for port in self.about["inputs"]:
                if port["role"] == "lengths":
                    width = part[next(iter(timed))].shape[next(iter(timed.values()))]
                    part[port["name"]] = np.full_like(inputs[port["name"]], width)
            outputs = self(part)
            state = {source: outputs[target] for source, target in self.about["states"].items()}
            yield outputs

    def streamed(self, inputs, steps=1):
        """The outputs of a stream put together, as one call with everything would give them."""
        parts = list(self.stream(inputs, steps))
        axes = {port["name"]: port["time_axis"] for port in self.about["outputs"]}
        return {
            name: np.concatenate([part[name] for part in parts], axes[name])
            if axes[name] >= 0
            else parts[-1][name]
            for name in parts[-1]
        }
