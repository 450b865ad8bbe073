"""How good a declaration is: what runs by chance is told from what is meant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from torch import nn

from rnnbench.core.model import TensorSpec
from rnnbench.models.declaration.caller import parts_of
from rnnbench.models.declaration.guesses import Guess
from rnnbench.models.declaration.ports import Sizes

_CONVS = (nn.Conv1d, nn.Conv2d)
_OF_ALL = re.compile(r"mean|std|var|median|scale|weight", re.IGNORECASE)  # of the whole data


def likelihood(
    found: Guess, sizes: Sizes, module: nn.Module, returned: Any, *, walks: bool, shaky: bool
) -> float:
    """How good a declaration is: 2 for a batch, and time that is walked along.

    Args:
        found: the declaration.
        sizes: that no layer of the module has.
        module: an object of the class.
        returned: what it gave.
        walks: whether what one step changes is not at that step alone.
        shaky: whether a state that it keeps cannot be lifted.
    """
    specs = found.inputs
    dims = {d for spec in specs for d in spec.dims}
    known = sum(d in dims for d in ("batch", "time")) + 1.0 * found.lift_state
    # What it does to each step alone is one step's work, and a state that does not fit is wrong.
    apart = "time" in dims and not walks
    known -= 1.1 * apart + 0.8 * shaky
    known -= 0.01 * sum(max(len(spec.shape) - 3, 0) for spec in specs)
    # An image of a single line, and a size that nothing has: others may do that are likelier.
    known -= 0.15 * any(len(s.shape) == 4 and 1 in s.shape[2:] for s in specs)
    known -= 0.15 * any(_unheard(s, sizes) for s in specs if s.role == "data")
    known -= 0.15 * _of_one_line(specs, module)
    # An axis of which no layer knows the size may be one too many.
    known -= 0.1 * any(len(s.shape) == 4 and n in sizes.free for s in specs for n in s.shape)
    known -= 0.12 * _not_handed_on(found, returned, module)
    known -= 0.15 * _same_in_all_rows(specs)
    return known - 0.3 * _oddities(specs, sizes)


def _unheard(spec: TensorSpec, sizes: Sizes) -> bool:
    """Whether the features are as many as no layer has, and no argument says."""
    known = {1, *sizes.layers, *sizes.given, *sizes.free}
    return len(spec.shape) == 3 and isinstance(spec.shape[-1], int) and spec.shape[-1] not in known


def _same_in_all_rows(specs: Sequence[TensorSpec]) -> bool:
    """Whether there are floats that are the same in all rows: one for each may run as well."""
    rows = any("batch" in spec.shape for spec in specs)
    alone = (
        s for s in specs[1:]
        if s.role == "data" and s.dtype.startswith("float") and not _OF_ALL.search(s.name)
    )  # fmt: skip
    return rows and any(len(s.shape) == 1 and isinstance(s.shape[0], int) for s in alone)


def _of_one_line(specs: Sequence[TensorSpec], module: nn.Module) -> bool:
    """Whether a sequence has a single channel, as only convolutions want it."""
    lined = any(len(s.shape) == 3 and s.shape[1:] == (1, "time") for s in specs)
    return lined and not any(isinstance(part, _CONVS) for part in module.modules())


def _not_handed_on(found: Guess, returned: Any, module: nn.Module) -> bool:
    """Whether a state is none that goes on, with layers that go one way: time may be elsewhere."""
    layers = [m for m in module.modules() if isinstance(m, nn.RNNBase)]
    given = [s for s in found.inputs if s.role == "state" and s.name not in found.states]
    ranks = {p.tensor.ndim for p in parts_of(returned) if p is not None}
    lost = any(len(s.shape) in ranks for s in given)
    return lost and bool(layers) and not any(layer.bidirectional for layer in layers)


def _oddities(specs: Sequence[TensorSpec], sizes: Sizes) -> int:
    """How many inputs look as if they ran by chance, as what is broadcast does.

    They have no batch, where others have one, or are fixed to a size that no layer has.
    """
    batched = any("batch" in spec.shape for spec in specs)
    return sum(
        (batched and (len(spec.shape) > 1 or not i) and "batch" not in spec.shape)
        or (len(spec.shape) < 4 and any(size in sizes.free for size in spec.shape))
        for i, spec in enumerate(specs)
    )
