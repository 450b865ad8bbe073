"""The evaluation of a bundle's file that rounds values to whole numbers, by which it is judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rnnbench.core import plugins
from rnnbench.core.errors import RnnbenchError

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
        RnnbenchError: the file is damaged, or the module cannot be captured again as it was.
    """

    def captured() -> Captured:
        from rnnbench.capture.again import captured_again

        return captured_again(bundle, model)

    from rnnbench.models.calls import on_cpu

    for artifact in bundle.artifacts.values():
        if artifact.rounds:
            form = plugins.load("formats", artifact.format).FORMAT
            with on_cpu(model.module):  # what is timed may be elsewhere
                made: torch.nn.Module = form.evaluated(artifact.path, captured)
            if artifact.details["whole"] != getattr(made, "weights", artifact.details["whole"]):
                raise RnnbenchError(
                    f"{bundle.name} is captured in another way than when it was exported, so that "
                    "its values would be rounded elsewhere: export it again"
                )
            return made
    return None
