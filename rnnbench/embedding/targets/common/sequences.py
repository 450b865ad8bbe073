"""Whole sequences, and the same step by step; what runs a call is in model.py."""

import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


class Sequences:
    """`self(inputs)` gives the outputs; both are numpy arrays by name."""

    def __init__(self):
        about = HERE / "model.json"
        try:
            self.about = json.loads(about.read_text("utf-8"))
            self.file = HERE / self.about["artifact"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{about} cannot be read ({said(error)}): embed it again") from None
        if not self.file.is_file():
            raise ValueError(f"{self.file} is not there: copy it from its bundle again")

    def __call__(self, inputs):
        """The outputs of whole sequences."""
        self._check(inputs)
        return self.run(inputs)

    def zeros(self, batch, time):
        """Inputs of zeros; lengths are whole. Another dynamic size than batch and time is 1."""
        sizes = {self.about["batch_dim"]: batch, self.about["time_dim"]: time}
        made = {}
        for port in self.about["inputs"]:
            shape = [n if isinstance(n, int) else sizes.get(n, 1) for n in port["shape"]]
            fill = time if port["role"] == "lengths" else 0
            made[port["name"]] = np.full(shape, fill, dtype=port["dtype"])
        return made

    def stream(self, inputs, steps=1):
        """Yields the outputs of `steps` steps after another; the states are handed on.

        Inputs with a time axis are the whole sequence; the others, and the states to start from,
        are as for a call.
        """
        self._check(inputs)
        stream = Stream(self, inputs)
        timed = {p["name"]: p["time_axis"] for p in self.about["inputs"] if p["time_axis"] >= 0}
        name, axis = next(iter(timed.items()))
        total = inputs[name].shape[axis]
        for start in range(0, total, steps):
            part = {}
            for name, axis in timed.items():
                cut = [slice(None)] * inputs[name].ndim
                cut[axis] = slice(start, min(start + steps, total))
                part[name] = np.ascontiguousarray(inputs[name][tuple(cut)])
            yield stream.step(part)

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
            if 0 in given.shape:
                raise ValueError(f"input {name!r} is empty ({list(given.shape)}): give 1 or more")


class Stream:
    """Steps as they come: `stream.step({"x": part})` keeps the states for the next."""

    def __init__(self, model, start=None):
        """`start`: inputs, for their states and all that has no time axis; zeros otherwise."""
        if not model.about["streams"]:
            raise ValueError(
                f"{model.about['name']} needs whole sequences: run it without --stream"
            )
        self.model, self._start, self._kept = model, start, None

    def step(self, part):
        """The outputs of one step or a few; `part` has the inputs with a time axis."""
        ports = self.model.about["inputs"]
        timed = [port for port in ports if port["time_axis"] >= 0]
        for port in timed:
            name = port["name"]
            if name not in part or np.ndim(part[name]) != len(port["shape"]):
                raise ValueError(f"input {name!r} is missing or has not {len(port['shape'])} axes")
        if self._kept is None:
            batched = next(port for port in timed if port["batch_axis"] >= 0 or len(timed) == 1)
            batch = np.shape(part[batched["name"]])[batched["batch_axis"]]
            self._kept = dict(self._start or self.model.zeros(batch, 1))
        steps = np.shape(part[timed[0]["name"]])[timed[0]["time_axis"]]
        for port in ports:
            if port["time_axis"] >= 0:
                self._kept[port["name"]] = part[port["name"]]
            elif port["role"] == "lengths":
                self._kept[port["name"]] = np.full_like(self._kept[port["name"]], steps)
        outputs = self.model(self._kept)
        for source, target in self.model.about["states"].items():
            self._kept[source] = outputs[target]
        return outputs

    def reset(self):
        """The next step begins a new sequence."""
        self._kept = None


def said(error):
    """Why a file could not be read or written, without its path."""
    return getattr(error, "strerror", None) or str(error)
