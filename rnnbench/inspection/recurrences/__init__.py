"""Finds every recurrence of a program, however it is represented."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.program import Dim, Node


@dataclass(frozen=True)
class Recurrence:
    """One recurrence of a file.

    Attributes:
        where: the node, or the place in the code; of an unrolled loop, its first node.
        form: `fused` (one operator), `scan`, `loop`, `unrolled`, or `step` (a cell that is called
            once: whoever runs the file is the loop).
        kind: `rnn_tanh`, `rnn_relu`, `gru`, `lstm`; `unknown` where a loop is not proved to be one.
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
        source: the sequence that it reads.
    """

    where: str
    form: str
    kind: str = "unknown"
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
    source: Any = field(default=None, repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """What can be said of it outside of the program."""
        skip = ("node", "states", "source")
        return {k: v for k, v in vars(self).items() if k not in skip}


def find_recurrences(flow: Flow) -> tuple[Recurrence, ...]:
    """Every recurrence, in the order of the file's kinds: fused, loops, unrolled, single steps."""
    from rnnbench.inspection.recurrences.fused import find_fused
    from rnnbench.inspection.recurrences.looped import find_looped
    from rnnbench.inspection.recurrences.unrolled import find_unrolled

    unrolled, claimed = find_unrolled(flow)
    looped, inside = find_looped(flow)
    claimed |= inside
    fused = [r for r in find_fused(flow) if id(r.node) not in claimed]
    return (*fused, *looped, *unrolled)


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
