"""The warnings that rnnbench knows of and answers for, named one by one, in one place."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rnnbench.core.one_thread import ignoring, quiet_loggers

_TORCHSCRIPT_CALLS = (
    "script",
    "script_method",
    "trace",
    "trace_method",
    "save",
    "load",
    "freeze",
    "interface",
    "optimize_for_inference",
)


@contextmanager
def torchscript_deprecation() -> Iterator[None]:
    """Silences "`torch.jit.X` is deprecated", and nothing else, in its block.

    TorchScript is deprecated, with a `DeprecationWarning` up to torch 2.13 and a `FutureWarning`
    from 2.14 (pytorch#177239). People still ship it, so rnnbench still writes and reads it.
    """
    calls = "|".join(_TORCHSCRIPT_CALLS)
    text = rf"`torch\.jit\.({calls})` is"
    with ignoring((text, DeprecationWarning), (text, FutureWarning)):
        yield


@contextmanager
def export_warnings() -> Iterator[None]:
    """Silences what `torch.export` says of its own code, and nothing else, in its block."""
    warnings = (
        (r"`isinstance\(treespec, LeafSpec\)`", FutureWarning),
        # torch 2.11 reads constants from the file's own bytes, and changes none of them.
        (r"The given buffer is not writable", UserWarning),
    )
    # "Unsure how to serialize the given empty list": of a scan without extras, and it is right.
    serializer = ("torch._export.serde.serialize",)
    with ignoring(*warnings), quiet_loggers(serializer, logging.ERROR):
        yield


@contextmanager
def scattered_weights() -> Iterator[None]:
    """Silences "RNN module weights are not part of single contiguous chunk", in its block.

    cuDNN copies the weights of a scripted layer together in each call; a benchmark shows what that
    takes, and need not say it again for each.
    """
    with ignoring((r"RNN module weights are not part of", UserWarning)):
        yield
