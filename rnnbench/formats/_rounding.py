"""The evaluation of a bundle's file that rounds values to whole numbers, by which it is judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rnnbench.core import plugins

if TYPE_CHECKING:
    import torch

    from rnnbench.capture.program import Captured
    from rnnbench.core.bundle import Bundle
    from rnnbench.core.model import Model


def file_that_rounds(bundle: Bundle, model: Model) -> torch.nn.Module | None:
    """What computes what the artifact does whose products are of whole numbers; None without one.

    Args:
        bundle: what `export` wrote.
        model: its declaration and module, with the bundle's weights.

    Raises:
        RnnbenchError: the file is damaged, or the module cannot be captured again.
    """

    def captured() -> Captured:
        from rnnbench.capture.again import captured_again

        return captured_again(bundle, model)

    for artifact in bundle.artifacts.values():
        if artifact.rounds:
            form = plugins.load("formats", artifact.format).FORMAT
            made: torch.nn.Module = form.evaluated(artifact.path, captured)
            return made
    return None
