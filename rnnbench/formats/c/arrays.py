"""The elements of constant arrays as C has them, many at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from rnnbench.formats.c.literals import literal

_PER_LINE = 6  # 19 characters each
_AT_ONCE = 6 * 2**13  # elements; a whole number of lines
_MANY = 2**12


def _table(texts: list[str]) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """[texts, characters]."""
    return np.frombuffer("".join(texts).encode(), np.uint8).reshape(len(texts), -1)


# Below the least normal number the digit before the point is 0, and the exponent that of the least.
_FIRST = _table([" 0x0.", " 0x1.", "-0x0.", "-0x1."])
_TWO = _table([f"{n:02x}" for n in range(256)])
_POWER = _table([f"p{max(n, 1) - 127:+04d}f," for n in range(256)])


def elements(tensor: torch.Tensor) -> Iterator[str]:
    """The lines of an array's elements.

    Many floats are written in hexadecimal (C99), which is exact and can be made without a call for
    each: a model may have millions.

    Args:
        tensor: of any shape; its last index is the fastest.

    Yields:
        whole lines, some thousand at a time.
    """
    flat = tensor.reshape(-1)
    for start in range(0, flat.numel(), _AT_ONCE):
        part = flat[start : start + _AT_ONCE]
        is_many = part.dtype is torch.float32 and flat.numel() >= _MANY
        if is_many and np.isfinite(part.numpy()).all():
            yield _hexadecimal(part.numpy())
        else:
            yield _lines([literal(v, part.dtype) for v in part.tolist()])
    if not flat.numel():
        yield _lines(["0"])


def _lines(numbers: list[str]) -> str:
    parts = (numbers[n : n + _PER_LINE] for n in range(0, len(numbers), _PER_LINE))
    return "".join(f"    {', '.join(part)},\n" for part in parts)


def _hexadecimal(values: np.ndarray[tuple[int], np.dtype[np.float32]]) -> str:
    """-0x1.a2b3c4p-012f: the sign, 24 bits behind the point (the last is 0), the exponent."""
    bits = values.view(np.uint32)
    exponent, mantissa = bits >> 23 & 0xFF, (bits & 0x7FFFFF) << 1
    parts = [_FIRST[(bits >> 31) * 2 + (exponent > 0)]]
    parts += [_TWO[mantissa >> shift & 0xFF] for shift in (16, 8, 0)]
    made = np.concatenate([*parts, _POWER[exponent]], 1)  # [values, characters]
    whole = len(made) // _PER_LINE * _PER_LINE
    lines = made[:whole].reshape(-1, _PER_LINE * made.shape[1])
    ends = np.full((len(lines), 1), ord("\n"), np.uint8)
    text = np.concatenate([lines, ends], 1).tobytes().decode()
    rest = made[whole:].tobytes().decode()
    return f"{text}{rest}\n" if rest else text
