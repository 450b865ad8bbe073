"""Whether a step of a model is sound: the one rule of `run --wav` and of the page."""

from __future__ import annotations

import math

from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError


def declared_rate(bundle: Bundle) -> float | None:
    """The `sample_rate` that its metadata declare, in Hz; None where they declare none."""
    rate = bundle.metadata.get("sample_rate")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < math.inf:
        return None
    return float(rate)


def sample_rate(bundle: Bundle, name: str, samples: int, features: int) -> float | None:
    """Samples a second of the sound that an input takes; None where its rate is not said.

    One channel is sound, at `frames_per_second` steps a second. N numbers a step are features as
    often (mels, at 100 frames a second) as they are frames of N samples, and nothing in a file
    tells them apart: they are sound where the model declares a `sample_rate`.

    Args:
        bundle: of the model.
        name: of the input.
        samples: how many places on the axis of time a step has.
        features: how many numbers each of them holds.

    Raises:
        RnnbenchError: the numbers are not known to be samples, or two rates are declared.
    """
    frames, rate = bundle.frames_per_second, declared_rate(bundle)
    if features > 1 and rate is None:
        raise RnnbenchError(
            f"input {name!r} takes {features} numbers a step, and nothing says that they are "
            "samples: declare Model(..., sample_rate=16000) if they are; else compute its "
            "features, and give --npz"
        )
    counted = None if frames is None else frames * samples * features
    if rate is not None and counted is not None and abs(rate - counted) > 1e-6 * rate:
        raise RnnbenchError(
            f"{bundle.name} declares sample_rate={rate:g} and frames_per_second={frames:g}, which "
            f"is {counted:g} numbers a second in input {name!r}: correct one of them, or, where "
            "these are features, compute them and give --npz"
        )
    return rate if rate is not None else counted
