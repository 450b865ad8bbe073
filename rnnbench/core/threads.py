"""How many threads torch uses inside one operation, for the time of a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


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
