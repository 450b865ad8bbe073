"""Whether a model takes sound, so that a program can feed it a WAV file or a microphone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rnnbench.core.bundle import Bundle
from rnnbench.core.dims import Dim
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.sounds import sample_rate

_RATES = (8000, 96000)
"""What every browser has to play: https://www.w3.org/TR/webaudio/#BaseAudioContext-methods."""


def sound_of(bundle: Bundle, model: Mapping[str, Any]) -> dict[str, Any] | None:
    """What there is to know of the sound that a model takes; None where it takes none.

    Sound is one channel and a rate: an input `[batch, time]` or `[batch, time, 1]` of samples; or
    `[batch, time, N]`, frames of N samples, where that is declared (see `core/sounds.py`).

    Args:
        bundle: of the model.
        model: as `golden.describe_model` describes it.

    Returns:
        `input`; `output`, the one that is sound as well, or None; `rate`, samples a second;
        `frame`, samples a step; `min` and `multiple_of`, how many steps a call may have.
    """
    data = [port for port in model["inputs"] if port["role"] == "data"]
    frame = _samples(data[0]) if len(data) == 1 else 0
    if not frame:
        return None
    try:
        rate = sample_rate(bundle, data[0]["name"], 1, frame)
    except RnnbenchError:  # which `run --wav` says; the page shows something else
        return None
    if rate is None or rate != int(rate) or not _RATES[0] <= rate <= _RATES[1]:
        return None
    states = set(model["states"].values())
    heard = [
        port["name"]
        for port in model["outputs"]
        if port["name"] not in states and _samples(port) == frame
    ]
    dim = bundle.dims.get(bundle.time_dim, Dim())
    return {
        "input": data[0]["name"],
        "output": heard[0] if heard else None,
        "rate": int(rate),
        "frame": frame,
        "min": dim.fit(1),
        "multiple_of": dim.multiple_of,
    }


def _samples(port: Mapping[str, Any]) -> int:
    """How many samples a step of an input or output has; 0: they are none.

    Those of one sequence have to follow one another, step after step.
    """
    time, batch, shape = port["time_axis"], port["batch_axis"], port["shape"]
    if time < 0 or port["dtype"] not in ("float32", "float64"):
        return 0
    others = [size for axis, size in enumerate(shape) if axis not in (time, batch)]
    if any(not isinstance(size, int) for size in others):
        return 0
    before = math.prod(size for axis, size in enumerate(shape[:time]) if axis != batch)
    return math.prod(others) if before == 1 else 0
