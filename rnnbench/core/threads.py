"""How many threads torch uses inside one operation, and whether numpy starts any."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

NUMPYS_THREADS = "OPENBLAS_NUM_THREADS"
"""Read when numpy is imported, which starts that many, less one."""


@contextmanager
def numpy_without_threads() -> Iterator[None]:
    """Where numpy is imported for the first time in this block, it starts none of its own.

    A process with one thread can be forked.
    """
    if NUMPYS_THREADS in os.environ:  # somebody has chosen
        yield
        return
    os.environ[NUMPYS_THREADS] = "1"
    try:
        yield
    finally:
        os.environ.pop(NUMPYS_THREADS, None)


@contextmanager
def torch_threads(threads: int | None) -> Iterator[None]:
    """Sets torch's intra-op threads, which are global to the process, and sets them back.

    Changing them costs less than a microsecond, so it is done around every call: sessions with
    different numbers can live side by side. None leaves them alone.
    """
    import torch

    before = torch.get_num_threads()
    if threads is None or threads == before:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
