"""Runs the module and what was made of it, at other sizes, and compares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import fx

from rnnbench.capture.trace import evaluating
from rnnbench.errors import RnnbenchError, one_line
from rnnbench.model import Model, sample_inputs
from rnnbench.modules import device_of

# Another order of summation moves a float32 result by parts in 10^6; a wrong graph by parts in 10.
_TOLERANCE = 1e-4


class Unproved(RnnbenchError):  # noqa: N818
    """What was captured is not what the module computes, at some sizes."""

    def __init__(self, message: str, sizes: Mapping[str, int]) -> None:
        super().__init__(message)
        self.sizes = sizes


def prove_equal(model: Model, graph: fx.GraphModule, dims: Mapping[str, int]) -> None:
    """Compares a graph with the module that it stands for.

    Sizes at which the module itself raises are left out (a convolution longer than its input).

    Raises:
        Unproved: they differ; the message gives the sizes and the error.
    """
    compared = 0
    for seed, sizes in enumerate(_sizes(model, dims)):
        device = device_of(model.module)
        arrays = sample_inputs(model, sizes, seed).values()
        tensors = [torch.from_numpy(a).to(device) for a in arrays]
        with evaluating(model.module):
            try:
                expected = torch.utils._pytree.tree_leaves(model.module(*tensors))
            except Exception:
                continue
            try:
                given = graph.forward(*tensors)  # a call would print what it raises
            except Exception as error:
                raise _differs(model, sizes, "raises " + one_line(error)[:80]) from error
        compared += 1
        for name, a, b in zip(model.outputs, expected, given, strict=False):
            wrong = _difference(a, b)
            if wrong:
                raise _differs(model, sizes, f"gives {name!r} {wrong}")
    if not compared:
        raise RnnbenchError(f"model {model.name!r} raises at every size but the traced one")


def _sizes(model: Model, dims: Mapping[str, int]) -> Iterator[dict[str, int]]:
    other = [d for d in dims if d != model.batch_dim]
    yield dict(dims)
    for batch, scale, offset in ((1, 1, 0), (2, 0, 1), (4, 1, 3), (2, 2, 1), (1, 0, 2)):
        sizes = {d: dims[d] * scale + offset for d in other}
        yield {d: sizes.get(d, batch) for d in dims}


def _difference(a: torch.Tensor, b: torch.Tensor) -> str:
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"as {b.dtype}{list(b.shape)} for {a.dtype}{list(a.shape)}"
    x, y = a.detach().double().cpu().numpy(), b.detach().double().cpu().numpy()
    scale = max(1.0, float(np.abs(x[np.isfinite(x)]).max(initial=0.0)))
    close = np.isclose(x, y, rtol=0.0, atol=_TOLERANCE * scale, equal_nan=True)
    return "" if close.all() else f"off by {np.abs(x - y).max():.2g}"


def _differs(model: Model, sizes: Mapping[str, int], what: str) -> Unproved:
    at = ", ".join(f"{d}={n}" for d, n in sizes.items())
    message = f"model {model.name!r}: what was captured {what} at {at}, so it is not exported"
    return Unproved(message, sizes)
