"""How a verb imports what it works with, which takes longer than much of what it does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rnnbench.core.collector import importing
from rnnbench.core.threads import numpy_without_threads


@contextmanager
def large_imports() -> Iterator[None]:
    """No garbage is collected meanwhile, and numpy starts no threads: no verb has work for them."""
    with importing(), numpy_without_threads():
        yield
