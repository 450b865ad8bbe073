"""What `export` captured, captured once more of a bundle's module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rnnbench.capture.pipeline import capture

if TYPE_CHECKING:
    from rnnbench.capture.program import Captured
    from rnnbench.core.bundle import Bundle
    from rnnbench.core.model import Model


def captured_again(bundle: Bundle, model: Model) -> Captured:
    """The program of a bundle's module, with its loops as they were exported.

    Args:
        bundle: what `export` wrote.
        model: its declaration and module, with the bundle's weights.

    Raises:
        RnnbenchError: the module cannot be captured.
    """
    frozen = bool(bundle.manifest.get("frozen"))
    captured = capture(model, allow_frozen=frozen)
    kinds = [r.get("representation") for r in bundle.manifest.get("recurrences", [])]
    if kinds and kinds != [r.representation for r in captured.recurrences]:
        captured = capture(model, keep_loops=True, allow_frozen=frozen)
    return captured
