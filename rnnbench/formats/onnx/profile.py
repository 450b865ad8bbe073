"""Which rewrites of an ONNX graph an engine needs: a record in its adapter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rnnbench.core.gaps import Gap
    from rnnbench.core.operators import WrongOperator


@dataclass(frozen=True)
class Profile:
    """The names of rewrites (formats/onnx/rewrites/), in their order.

    Attributes:
        always: at any sizes.
        once_pinned: besides, as soon as the sizes are known.
        last: what folding constants would undo.
        gaps: what a layer may have and the engine does not compute; of what no rewrite does
            without, the model is refused.
        no_weights: precisions of weights that the engine does not load; a file with such is
            refused.
        operators: those that it computes wrong wherever they stand; likewise.
    """

    always: tuple[str, ...] = ()
    once_pinned: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()
    no_weights: tuple[str, ...] = ()
    operators: tuple[WrongOperator, ...] = ()


_ORDER = (
    "drop_lengths",
    "make_explicit_states",
    "tell_states_apart",
    "turn_into_scan",
    "write_out_peepholes",
    "write_out_resets",
    "make_explicit_biases",
    "make_explicit_values",
    "turn_into_gru",
    "split_directions",
    "turn_forward",
    "gather_backward_slices",
    "read_last_step",
)
"""Of the rewrites that need no sizes: lengths first, directions behind what knows both."""

ONE_DIRECTION = ("split_directions", "turn_forward")
"""Forward layers only."""


def filling(
    gaps: Iterable[Gap],
    *,
    always: Iterable[str] = (),
    once_pinned: tuple[str, ...] = (),
    last: tuple[str, ...] = (),
    no_weights: tuple[str, ...] = (),
    operators: tuple[WrongOperator, ...] = (),
) -> Profile:
    """The profile of an engine: the rewrites that its gaps name, and others that it needs.

    Args:
        gaps: of the engine.
        always: further rewrites at any sizes.
        once_pinned: rewrites once the sizes are known; a gap's own, where it stands here, is done
            then and not before.
        last: the same, of what folding constants would undo.
        no_weights: precisions of weights that it does not load.
        operators: those that it computes wrong.
    """
    known = tuple(gaps)
    later = {*once_pinned, *last} - set(always)
    own = {gap.rewrite for gap in known if gap.rewrite} - later
    first = tuple(sorted({*always, *own}, key=_ORDER.index))
    return Profile(first, once_pinned, last, known, no_weights, operators)
