"""What a module gives where its loop is told when to end, or goes on to its most steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from rnnbench.capture.tracing.rewriting import Rewritten, running_both_ways
from rnnbench.capture.tracing.trace import evaluating
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Model, sample_inputs
from rnnbench.models.calls import device_of, invoke
from rnnbench.models.kept import tensors_in


class TooFewSteps(RnnbenchError):  # noqa: N818  (what is declared, and not so)
    """A loop has more steps than `max_steps`."""


class _Told(TorchFunctionMode):
    """Answers each question in the same way, but for the last one."""

    def __init__(self, model: Model, going: bool, questions: int | None) -> None:
        super().__init__()
        self._model, self._going, self._last = model, going, questions
        self._asked = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.__bool__ and args[0].numel() == 1:
            self._asked += 1
            if self._asked > (self._model.max_steps or 0) + 1:
                raise TooFewSteps(
                    f"model {self._model.name!r}: its loop goes on for more steps than "
                    f"max_steps={self._model.max_steps}: declare as many as it has at most"
                )
            return self._going == (self._asked != self._last)
        return func(*args, **(kwargs or {}))


def run_told(
    model: Model,
    sizes: dict[str, int],
    going: bool,
    those: Rewritten,
    questions: int | None,
) -> tuple[list[Tensor], list[Tensor]]:
    """Random inputs, and what the module gives for them where its loop is told when to end.

    Args:
        model: the declaration.
        sizes: of its dimensions.
        going: the answer on which the loop goes on.
        those: the functions that run both ways of an `if` on data.
        questions: how often it asks; None: as often as it has steps.

    Raises:
        TooFewSteps: it has more than are declared.
    """
    device = device_of(model.module)
    tensors = [torch.from_numpy(a).to(device) for a in sample_inputs(model, sizes, 0).values()]
    told = _Told(model, going, questions)
    unknown: Callable[[Tensor], bool | None] = lambda _: None  # noqa: E731
    with evaluating(model.module), running_both_ways(those, unknown), told:
        returned = invoke(model.module, model.inputs, model.outputs, tensors)
    return tensors, tensors_in(returned)
