"""Which rewrites of an ONNX graph an engine needs: a record in its adapter."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """The names of rewrites (formats/onnx/rewrites/), in their order.

    Attributes:
        always: at any sizes.
        once_pinned: besides, as soon as the sizes are known.
        last: what folding constants would undo.
    """

    always: tuple[str, ...] = ()
    once_pinned: tuple[str, ...] = ()
    last: tuple[str, ...] = ()


EXPLICIT = ("drop_lengths", "make_explicit_states", "make_explicit_values")
"""No lengths, and all initial states and constants written down."""

ONE_DIRECTION = ("split_directions", "turn_forward")
"""Forward layers only."""
