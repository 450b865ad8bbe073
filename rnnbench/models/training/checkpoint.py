"""The state of a training run between two epochs, in a file that is whole or not there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.whole import whole_file

FORMAT = "rnnbench-checkpoint-1"
_KEYS = {"format", "run", "attempt", "epoch", "weights", "optimizer", "best", "best_loss"}


@dataclass
class Progress:
    """Where a run is: what changes from epoch to epoch.

    Random numbers are not part of it: each epoch seeds its own, so that a resumed run draws the
    same ones as an uninterrupted run.

    Attributes:
        module: the network.
        optimizer: its optimizer.
        attempt: how often training has started again from other weights.
        epoch: how many epochs are done.
        best: the weights with the lowest validation loss so far.
        best_loss: that loss.
    """

    module: nn.Module
    optimizer: torch.optim.Optimizer
    attempt: int = 0
    epoch: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    best_loss: float = float("inf")


def save(path: Path, progress: Progress, run: dict[str, Any]) -> None:
    """Writes a checkpoint in one step: an interrupted write leaves the previous one.

    Args:
        path: the file; its folder is made.
        progress: what to write.
        run: what the run depends on, as JSON: a checkpoint of another run is not resumed.

    Raises:
        RnnbenchError: the file cannot be written.
    """
    state = {
        "format": FORMAT,
        "run": run,
        "attempt": progress.attempt,
        "epoch": progress.epoch,
        "weights": progress.module.state_dict(),
        "optimizer": progress.optimizer.state_dict(),
        "best": progress.best,
        "best_loss": progress.best_loss,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            torch.save(state, file)
    except OSError as error:
        raise RnnbenchError(
            f"checkpoint {path} cannot be written ({one_line(error)}): give another path"
        ) from error


def read(path: Path, run: dict[str, Any]) -> dict[str, Any]:
    """The contents of a checkpoint of the same run.

    Raises:
        RnnbenchError: the file is damaged, or something else, or of another run.
    """
    state = _read(path)
    different = [key for key in run if state["run"].get(key) != run[key]]
    if different:
        key = different[0]
        raise RnnbenchError(
            f"checkpoint {path} is of another run ({key} was {state['run'].get(key)!r}, "
            f"asked is {run[key]!r}): give another path (--runs), or do not resume (--no-resume)"
        )
    return state


def described(path: Path) -> tuple[dict[str, Any], int]:
    """What the run of a checkpoint depends on, and how many epochs are done.

    Raises:
        RnnbenchError: the file is damaged, or something else.
    """
    state = _read(path)
    return dict(state["run"]), int(state["epoch"])


def restore(path: Path, progress: Progress, state: dict[str, Any]) -> None:
    """Puts what `read` returned into `progress`.

    Raises:
        RnnbenchError: it does not fit; `path` is for the message.
    """
    try:
        progress.module.load_state_dict(state["weights"])
        progress.optimizer.load_state_dict(state["optimizer"])
        progress.epoch, progress.attempt = int(state["epoch"]), int(state["attempt"])
        progress.best, progress.best_loss = dict(state["best"]), float(state["best_loss"])
        if progress.best.keys() != state["weights"].keys():
            raise KeyError("best weights")
    except Exception as error:  # a file that others wrote can fail in any way
        raise _unreadable(path, error) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a file that others wrote can fail in any way
        raise _unreadable(path, error) from error
    if (
        not isinstance(state, dict)
        or state.get("format") != FORMAT
        or not state.keys() >= _KEYS
        or not isinstance(state["run"], dict)
    ):
        raise _unreadable(path, ValueError("another kind of file"))
    return state


def _unreadable(path: Path, error: BaseException) -> RnnbenchError:
    return RnnbenchError(
        f"{path} is not a checkpoint of rnnbench, or is damaged "
        f"({one_line(error)}): give another path, or do not resume"
    )
