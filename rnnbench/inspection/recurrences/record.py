"""What is said of one recurrence of a file, and where its states come from and go to."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from rnnbench.core.recurrence import Recurrence, inspected
from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.program import Dim, Node


@dataclass(frozen=True)
class FoundRecurrence(Recurrence):
    """One recurrence of a file; its place is, of an unrolled loop, its first node.

    Attributes:
        input_size: features per step.
        hidden_size: the size of the state.
        num_layers: layers in one operator, or cells in one step.
        direction: `forward`, `reverse` or `bidirectional`.
        state_in: `input NAME`, `constant`, `kept in NAME`, `absent` (zeros by default), `computed`.
        state_out: `output NAME`, `kept in NAME`, `used`, or `dropped`.
        lengths: whether the operator takes a length for each row.
        dtype: of its weights.
        time: the length of its input: a number, a name, or unknown.
        batch: likewise.
        steps: of an unrolled loop.
        period: nodes in one step of a loop.
        node: the operator or loop itself; None of an unrolled loop.
        states: what it starts from.
        lasts: the names of what it ends with, one for each of `states`; none where that is unknown.
        source: the sequence that it reads.
        axes: which dimensions of that are its time and its batch.
    """

    input_size: int | None = None
    hidden_size: int | None = None
    num_layers: int = 1
    direction: str = "forward"
    state_in: str = ""
    state_out: str = ""
    lengths: bool = False
    dtype: str = ""
    time: Dim = None
    batch: Dim = None
    steps: int | None = None
    period: int | None = None
    node: Node | None = field(default=None, repr=False, compare=False)
    states: tuple[Any, ...] = field(default=(), repr=False, compare=False)
    lasts: tuple[str, ...] = field(default=(), repr=False, compare=False)
    source: Any = field(default=None, repr=False, compare=False)
    axes: tuple[int, int] = field(default=(0, 1), repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """What can be said of it outside of the program."""
        shared = {"where": self.place, "form": inspected(self.representation), "kind": self.kind}
        skip = (*(f.name for f in fields(Recurrence)), "node", "states", "lasts", "source", "axes")
        return shared | {k: v for k, v in vars(self).items() if k not in skip}


def state_in(flow: Flow, values: Any) -> str:
    """Where the first state comes from."""
    found = flow.origins(values)
    inputs = sorted(name for kind, name in found if kind == "input")
    kept = sorted(name for kind, name in found if kind == "state")
    if inputs:
        return "input " + ", ".join(inputs)
    if kept:
        return "kept in " + ", ".join(kept)
    if any(kind == "computed" for kind, _ in found):
        return "computed"
    return "constant" if found else "absent"


def state_out(flow: Flow, values: Any) -> str:
    """Where the last state goes."""
    names = sorted({name for v in values if v for name in flow.destinations(v)})
    outputs = [n for n in names if not n.startswith("(")]
    if outputs:
        return "output " + ", ".join(outputs)
    if names:
        return names[0].strip("()")
    return "used" if any(v and flow.is_live(v) for v in values) else "dropped"
