"""WAV files in and out: integers of 16, 24 or 32 bits, or 8, as samples from -1 to 1."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.sounds import sample_rate
from rnnbench.core.whole import write_file
from rnnbench.runtimes.predicting.signals import Layout

Samples = NDArray[np.float64]
_BYTES = 2  # of a sample that is written


def read_wav(path: Path) -> tuple[Samples, int]:
    """Samples [sample, channel] from -1 to 1, and their rate in Hz.

    Raises:
        RnnbenchError: it cannot be read, is no PCM, or holds nothing.
    """
    try:
        with wave.open(str(path), "rb") as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            data = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error, ValueError) as error:
        raise RnnbenchError(
            f"cannot read {path} ({one_line(error)}): give a WAV file of integers (PCM)"
        ) from None
    whole = len(data) // (width * channels) * width * channels
    samples = _numbers(data[:whole], width).reshape(-1, channels)
    if not len(samples):
        raise RnnbenchError(f"{path} holds no samples: give a WAV file with sound in it")
    return samples, rate


def write_wav(path: Path, samples: Samples, rate: int) -> bool:
    """Writes [sample, channel] as 16 bits, whole or not at all; whether values were cut off."""
    cut = np.clip(np.round(samples * 32768), -32768, 32767)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(_BYTES)
        file.setframerate(rate)
        file.writeframes(cut.astype("<i2").tobytes())
    write_file(path, buffer.getvalue())
    return bool((np.abs(samples) > 1).any())


def frames_of(layout: Layout, samples: Samples, rate: int) -> Samples:
    """Samples [sample, channel] as the signal [step, row, feature] of a model: a row a channel.

    A model that takes one number a step takes samples; one that takes N takes N samples a step,
    where it declares that they are sound (see `core/sounds.py`).

    Raises:
        RnnbenchError: the model takes another rate, or numbers that are no samples.
    """
    name, size = layout.spec.name, layout.features
    wanted = sample_rate(layout.bundle, name, layout.step, size)
    if wanted is not None and abs(wanted - rate) > 1e-6 * rate:
        raise RnnbenchError(
            f"the sound has {rate} Hz, and {layout.bundle.name} takes {wanted:g} samples a second "
            f"in input {name!r}: resample it, or compute its features and give --npz"
        )
    steps = -(-len(samples) // size)
    padded = np.zeros((steps * size, samples.shape[1]))
    padded[: len(samples)] = samples
    return padded.reshape(steps, size, -1).transpose(0, 2, 1)


def sound_of(layout: Layout, per_step: NDArray[np.generic], count: int) -> Samples | None:
    """[step, row, channel] as samples [sample, channel]; None where it is no sound of this rate."""
    if per_step.shape[2] != layout.features:
        return None
    flat = per_step.transpose(0, 2, 1).reshape(-1, per_step.shape[1])
    return flat[:count].astype(np.float64) if len(flat) >= count else None


def _numbers(data: bytes, width: int) -> Samples:
    """Little-endian integers as numbers from -1 to 1."""
    if width == 1:  # unsigned, as the format has it
        return (np.frombuffer(data, np.uint8).astype(np.float64) - 128) / 128
    if width == 3:
        parts = np.frombuffer(data, np.uint8).reshape(-1, 3).astype(np.int64)
        values = parts[:, 0] | parts[:, 1] << 8 | parts[:, 2] << 16
        return np.where(values >= 1 << 23, values - (1 << 24), values) / float(1 << 23)
    dtype = {2: "<i2", 4: "<i4"}[width]
    return np.frombuffer(data, dtype).astype(np.float64) / float(1 << (8 * width - 1))
