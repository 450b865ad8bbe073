"""Other sizes of the arguments, where no error names one: those that are usual, and larger ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from rnnbench.models.declaration.calling import Values, ports_in
from rnnbench.models.declaration.changes import grown, sized, with_
from rnnbench.models.declaration.kinds import Edit
from rnnbench.models.declaration.ports import Sizes

_MOST = 2_000_000  # numbers in a tensor
_LARGER = (4, 21, 70, 700)  # times the size
_LONG = (480, 512, 4800, 16000)  # and multiples of what frames are made of
_IMAGES = (64, 128)  # heights of lines of text, and of spectrograms


def given_sizes(values: Values, s: Sizes) -> Iterator[Edit]:
    """As many features as the constructor was given, where others ran: parts of them were read."""
    for port in ports_in(values):
        if port.role == "data" and len(port.shape) in (2, 3) and port.shape[-1] in s.free[1:]:
            for i, n in enumerate(s.given[:4]):
                yield 0.1 + 0.05 * i, sized(values, port, len(port.shape) - 1, n)


def usual_sizes(values: Values, s: Sizes) -> Iterator[Edit]:
    """Sizes that the constructor was given, and that images have, where an error names none."""
    for port in ports_in(values):
        if port.role != "data":
            continue
        for axis, size in enumerate(port.shape):
            if size in s.free[1:]:
                windows = [n - 1 for n in sorted(s.given) if n > 2]  # without the last step
                usual = [*sorted(s.given), *([32, 64] if len(port.shape) > 3 else []), *windows]
                alike = port.shape.count(size) > 1  # height and width
                for i, n in enumerate(dict.fromkeys(usual)):
                    yield 2.0 + 0.1 * i, sized(values, port, axis, n)
                    if alike:
                        yield 1.0 + 0.1 * i, grown(values, size, n)


def larger(values: Values, s: Sizes) -> Iterator[Edit]:
    """Longer sequences: those that are as long as each other together."""
    sizes = {n for p in ports_in(values) for n in p.shape if n in s.free[1:]}
    for size in sorted(sizes, key=s.free.index):
        image = any(len(p.shape) > 3 and size in p.shape[2:] for p in ports_in(values))
        usual = _IMAGES if image else ()
        for i, more in enumerate([*usual, *(size * k for k in _LARGER), *_LONG]):
            tried = grown(values, size, more)
            if max(math.prod(port.shape) for port in ports_in(tried)) < _MOST:
                yield 1.0 + 0.2 * i, tried


def other_lengths(values: Values, s: Sizes) -> Iterator[Edit]:
    """Numbers of steps along another axis."""
    sizes = {n for p in ports_in(values) if p.role == "data" for n in p.shape if n in s.free[1:]}
    for port in ports_in(values):
        if port.role == "lengths":
            for size in sorted(sizes - {port.high}):
                yield 1.2, with_(values, port, replace(port, high=size))
