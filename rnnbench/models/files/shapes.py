"""The sizes of a file's inputs: which are open, which of these are the batch and the time."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from rnnbench.core.dims import names_of, products
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.signature import Shape
from rnnbench.inspection.axes.follow import open_axes
from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards.frozen_batch import batch_of_state
from rnnbench.inspection.recurrences import FoundRecurrence

BATCH, TIME = "batch", "time"


@dataclass(frozen=True)
class Sizes:
    """The shapes of the inputs by name, and what their dimensions are called.

    Attributes:
        shapes: a number is fixed, a name is open.
        batch_dim: the name of the batch.
        time_dim: the name of the time.
    """

    shapes: dict[str, tuple[int | str, ...]]
    batch_dim: str = BATCH
    time_dim: str = TIME


def sizes_of(
    path: Path,
    flow: Flow,
    recurrences: tuple[FoundRecurrence, ...],
    given: Mapping[str, Shape],
    states: Collection[str],
) -> Sizes:
    """What a file says of its inputs' sizes, and the user of those that it does not say.

    An open dimension keeps the name that the file has for it; one without a name is called after
    what it is, where a recurrence or its place says that, and else after its input. A state has
    nothing open but the batch, whatever the file calls it there. A recurrence that starts from
    numbers for two rows or more takes that batch.

    Args:
        path: the file, for messages.
        flow: its edges.
        recurrences: that it holds.
        given: the shapes that the user says.
        states: the inputs that are states.

    Raises:
        RnnbenchError: the shape of an input is not known.
    """
    roles = {
        (str(axis.start.value), axis.start.axis): axis.role for axis in open_axes(flow, recurrences)
    }
    rows = _written_rows(flow, recurrences)
    shapes: dict[str, tuple[int | str, ...]] = {}
    called: dict[str, str] = {}  # role -> the first name of such a dimension
    # The data first: a state's batch without a name is called as theirs.
    for port in sorted(flow.program.inputs, key=lambda port: port.name in states):
        shape = given.get(port.name, port.shape)
        if shape is None:
            raise RnnbenchError(
                f"{path} does not say which shape its input {port.name!r} has: give "
                f"--shape {port.name}=batch,time,16 (numbers, and names for what is open)"
            )
        own = []
        for axis, size in enumerate(shape):
            role = BATCH if port.name in states else roles.get((port.name, axis), "")
            if role == BATCH and not isinstance(size, int) and port.name not in given:
                size = rows or (_as_data(size, shapes, called) if port.name in states else size)
            name = _size(size, f"{port.name}_{axis}", called.get(role, role))
            own.append(name)
            if isinstance(name, str) and role and len(names_of(name)) == 1:
                called.setdefault(role, name)
        shapes[port.name] = tuple(own)
    names = {name for shape in shapes.values() for size in shape for name in names_of(size)}
    batch, time = (r if r in names else called.get(r, r) for r in (BATCH, TIME))
    return Sizes(shapes, batch, time)


def _written_rows(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> int | None:
    """The rows of a first state that is written down; None: there is none, or it stands for all."""
    found = {batch_of_state(flow, r) for r in recurrences if not _starts_from_input(flow, r)}
    found -= {None, 1}
    return found.pop() if len(found) == 1 else None


def _starts_from_input(flow: Flow, r: FoundRecurrence) -> bool:
    return any(kind == "input" for state in r.states for kind, _ in flow.origins(state))


def _as_data(
    size: str | None, shapes: Mapping[str, tuple[int | str, ...]], called: Mapping[str, str]
) -> str | None:
    """The batch of a state under the name that the data has for it, unless it has that one too."""
    known = {name for shape in shapes.values() for n in shape for name in names_of(n)}
    return size if size in known else called.get(BATCH, size)


def _size(size: int | str | None, place: str, role: str) -> int | str:
    """A size as a declaration has it: a number above 0, or a name."""
    if isinstance(size, int) and size > 0:
        return size
    if isinstance(size, str) and size and products(size.replace(" ", "")):
        return size.replace(" ", "")
    if isinstance(size, str) and size:
        return re.sub(r"\W+|^(?=\d)", "_", size)
    return role or re.sub(r"\W+|^(?=\d)", "_", place)
