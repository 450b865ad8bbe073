"""Follows one dimension of a value through a program, and says what is read of it.

The dimension that an input leaves open (its batch, its time) must reach the results whole. Where a
node reads fixed places of it, or gives it a fixed size, the size of the example input is in the
file. What the nodes do is in `table`; a node that has no rule may read everything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from rnnbench.inspection.axes.place import Place
from rnnbench.inspection.axes.table import step
from rnnbench.inspection.dataflow import Flow, bodies
from rnnbench.inspection.program import Node, Port, Ref, refs_in
from rnnbench.inspection.recurrences import FoundRecurrence

_MOST = 20_000  # places that are looked at from one input


@dataclass(frozen=True)
class Trail:
    """What a dimension has come through.

    Attributes:
        behind: a recurrence.
        changed: nodes that gave it another length.
        turned: a node that turned it round.
        joined: a node that put it and others together, so that it may have so many parts.
        frozen: a node that gave it a fixed size; what is said of that is said there.
    """

    behind: bool = False
    changed: bool = False
    turned: bool = False
    joined: bool = False
    frozen: bool = False


@dataclass(frozen=True)
class Use:
    """What a node does with a dimension.

    Attributes:
        node: which; None where the value is a result of the program or of a body.
        place: the value that it reads, and which of its dimensions.
        trail: what lies before it.
        kind: `whole`, `places` (only these are read), `cut` (only from a fixed place to another),
            `rest` (from a place on), `fixed` (any other size is refused, or wrong), `joined` (put
            behind one another, along another dimension), `time` or `batch` (of a recurrence).
        numbers: the places, the two ends or the size.
    """

    node: Node | None
    place: Place
    trail: Trail
    kind: str
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True)
class Axis:
    """A dimension whose size a file leaves open.

    Attributes:
        name: its own, or which it is.
        role: `time` or `batch`, by the recurrence that it leads to or else by its name; empty
            where neither says.
        start: where it is followed from.
        uses: what is done with it.
    """

    name: str
    role: str
    start: Place
    uses: tuple[Use, ...]


def open_axes(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> list[Axis]:
    """The open dimensions of the inputs; where none says its sizes, of what recurrences give."""
    found = []
    for port in flow.program.inputs:
        for axis, dim in enumerate(port.shape or ()):
            if not isinstance(dim, int):
                start = Place(Ref(port.name), axis, len(port.shape or ()))
                uses = follow(flow, start, recurrences)
                name = dim or f"dimension {axis} of {port.name}"
                found.append(Axis(name, _role(port, axis, uses), start, uses))
    if any(port.shape is not None for port in flow.program.inputs):
        return found
    for r in recurrences:  # TorchScript: any size is taken
        results, sources = list(_results(flow, r)), list(_sources(flow, r))
        for start, role in sources or results:  # the ones lead to the others
            uses = follow(flow, start, recurrences, Trail(behind=not sources))
            found.append(Axis(role, role, start, uses))
    return found


_NAMES = {
    "time": ("time", "seq", "len", "frame", "step", "chunk"),
    "batch": ("batch", "rows"),
}


def _role(port: Port, axis: int, uses: tuple[Use, ...]) -> str:
    """By the recurrence that it leads to, its name, or its place in (batch, time, features)."""
    shape = port.shape or ()
    roles = [use.kind for use in uses if use.kind in _NAMES]
    name = str(shape[axis] or "").lower()
    roles += [role for role, parts in _NAMES.items() if any(part in name for part in parts)]
    roles += {"t": ["time"], "n": ["batch"], "b": ["batch"]}.get(name, [])
    if axis < 2 and len(shape) == 3 and isinstance(shape[2], int):
        roles.append(("batch", "time")[axis])
    return roles[0] if roles else ""


def _results(flow: Flow, r: FoundRecurrence) -> Iterator[tuple[Place, str]]:
    """Where the time and the batch of a layer of PyTorch go on, in its sequence and its states.

    The program gets the sizes of those, which a file without shapes does not say.
    """
    if r.representation != "fused" or r.node is None or r.lengths or not r.node.outputs:
        return
    value, *lasts = (Ref(name) for name in r.node.outputs)
    width, ways = r.hidden_size, 2 if r.direction == "bidirectional" else 1
    names = ("time", "batch") if r.axes == (0, 1) else ("batch", "time")
    if width:
        flow.program.shapes.setdefault(value, (*names, width * ways))
    yield Place(value, r.axes[0], 3), "time"
    yield Place(value, r.axes[1], 3), "batch"
    for last in lasts:
        if width:
            flow.program.shapes.setdefault(last, (r.num_layers * ways, "batch", width))
        yield Place(last, 1, 3), "batch"


_KEEPS = (
    "add",
    "sub",
    "mul",
    "div",
    "linear",
    "relu",
    "tanh",
    "dropout",
    "contiguous",
    "to",
    "slice",
)


def _sources(flow: Flow, r: FoundRecurrence) -> Iterator[tuple[Place, str]]:
    """The same of the input that a layer of PyTorch reads, where nothing on the way reshapes it."""
    value, axes = r.source, list(r.axes)
    inputs = {port.name for port in flow.program.inputs}
    while isinstance(value, Ref) and value not in inputs:
        if value in flow.chosen:
            value = flow.chosen[value]
            continue
        makers = flow.makers.get(value, [])
        if len(makers) != 1 or not makers[0].args:
            return
        node, name = makers[0], makers[0].op.removeprefix("aten.")
        if name == "transpose" and all(isinstance(node.arg(i), int) for i in (1, 2)):
            swap = {node.arg(1) % 3: node.arg(2) % 3, node.arg(2) % 3: node.arg(1) % 3}
            axes = [swap.get(axis, axis) for axis in axes]
        elif name not in _KEEPS:
            return
        value = node.args[0]
    if isinstance(value, Ref) and r.representation == "fused" and not r.lengths:
        yield from zip((Place(value, axis, 3) for axis in axes), ("time", "batch"), strict=True)


def _use(node: Node, place: Place, trail: Trail, kind: str, numbers: tuple[int, ...] = ()) -> Use:
    if trail.turned and kind == "places":
        numbers = tuple(-1 - n for n in numbers)
    elif trail.turned and kind in ("cut", "rest"):  # counted from the other end
        kind, numbers = "whole", ()
    return Use(node, place, trail, kind, numbers)


def follow(
    flow: Flow,
    start: Place,
    recurrences: tuple[FoundRecurrence, ...] = (),
    trail: Trail | None = None,
) -> tuple[Use, ...]:
    """Everything that is done with a dimension, through nodes that keep it as well.

    Behind a node that gives it a fixed size, only what it leads to is looked for.
    """
    uses = _walk(flow, start, recurrences, trail or Trail())[0]
    return tuple(u for u in uses if not u.trail.frozen or u.kind in _NAMES)


def reaches(flow: Flow, start: Place, value: str, axis: int) -> bool:
    """Whether a dimension goes on to be this one of that value."""
    trails = _walk(flow, start, (), Trail())[1]
    return any(place.value == value and place.axis == axis for place in trails)


def _walk(
    flow: Flow, start: Place, recurrences: tuple[FoundRecurrence, ...], trail: Trail
) -> tuple[list[Use], dict[Place, Trail]]:
    ends = {ref for body in bodies(flow.program) for ref in refs_in(list(body.outputs))}
    ends -= flow.handed.keys() - set(refs_in(list(flow.program.graph.outputs)))
    layers = {id(r.node): r for r in recurrences if r.node is not None}
    found: list[Use] = []
    waiting, trails = deque([start]), {start: trail}
    while waiting and len(trails) < _MOST:
        place = waiting.popleft()
        here = trails[place]
        if place.value in ends:
            found.append(Use(None, place, here, "whole"))
        for name in flow.handed.get(place.value, ()):
            behind = Place(Ref(name), place.axis, place.rank)
            if behind not in trails:
                trails[behind] = here
                waiting.append(behind)
        for node in flow.readers.get(place.value, ()):
            layer = layers.get(id(node))
            done = step(flow, node, place, layer)
            found += [_use(node, place, here, *use) for use in done.uses]
            fixes = any(kind in ("fixed", "cut") for kind, _ in done.uses)
            beyond = Trail(
                here.behind or layer is not None,
                here.changed or done.changed,
                here.turned != done.turned,
                here.joined or done.joined,
                here.frozen or fixes,
            )
            for following in done.places:
                if following.value and following not in trails:
                    trails[following] = beyond
                    waiting.append(following)
    return found, trails
