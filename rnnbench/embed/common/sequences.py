"""Whole sequences, and the same step by step; what runs a call is in model.py."""

import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


class Sequences:
    """`self(inputs)` gives the outputs; both are numpy arrays by name."""

    def __init__(self):
        self.about = json.loads((HERE / "model.json").read_text("utf-8"))
        self.file = HERE / self.about["artifact"]

    def __call__(self, inputs):
        """The outputs of whole sequences."""
        self._check(inputs)
        return self.run(inputs)

    def stream(self, inputs, steps=1):
        """Yields the outputs of `steps` steps after another; the states are handed on.

        Inputs with a time axis are the whole sequence; the others, and the states to start from,
        are as for a call.
        """
        if not self.about["streams"]:
            raise ValueError(f"{self.about['name']} needs whole sequences: run it without --stream")
        self._check(inputs)
        timed = {p["name"]: p["time_axis"] for p in self.about["inputs"] if p["time_axis"] >= 0}
        lengths = [port["name"] for port in self.about["inputs"] if port["role"] == "lengths"]
        part = dict(inputs)
        name, axis = next(iter(timed.items()))
        total = inputs[name].shape[axis]
        for start in range(0, total, steps):
            end = min(start + steps, total)
            for name, axis in timed.items():
                cut = [slice(None)] * inputs[name].ndim
                cut[axis] = slice(start, end)
                part[name] = np.ascontiguousarray(inputs[name][tuple(cut)])
            for name in lengths:
                part[name] = np.full_like(inputs[name], end - start)
            outputs = self(part)
            for source, target in self.about["states"].items():
                part[source] = outputs[target]
            yield outputs

    def streamed(self, inputs, steps=1):
        """The outputs of a stream put together, as one call with everything would give them."""
        parts = list(self.stream(inputs, steps))
        if not parts:
            raise ValueError("there is no step to stream: give a sequence of at least one")
        axes = {port["name"]: port["time_axis"] for port in self.about["outputs"]}
        return {
            name: np.concatenate([part[name] for part in parts], axes[name])
            if axes[name] >= 0
            else parts[-1][name]
            for name in parts[-1]
        }

    def _check(self, inputs):
        """What is wrong with inputs is said before a runtime sees them, which may convert."""
        sizes = {}
        for port in self.about["inputs"]:
            name, shape = port["name"], port["shape"]
            if name not in inputs:
                wanted = ", ".join(port["name"] for port in self.about["inputs"])
                raise ValueError(f"input {name!r} is missing: give {wanted}")
            given = inputs[name]
            for dim, size in zip(shape, given.shape):
                sizes.setdefault(dim, dim if isinstance(dim, int) else size)
            fits = given.shape == tuple(sizes.get(dim) for dim in shape)
            if str(given.dtype) != port["dtype"] or not fits:
                wanted = f"{port['dtype']}[{', '.join(str(sizes.get(d, d)) for d in shape)}]"
                raise ValueError(
                    f"input {name!r} is {given.dtype}{list(given.shape)}: give {wanted}, that is "
                    f"[{', '.join(map(str, shape))}]"
                )
