"""Recurrences that a tracer unrolled: a block of nodes, once for each step."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from rnnbench.core.repeats import FEWEST_STEPS, find_regions
from rnnbench.inspection.dataflow import Flow, bodies, data_of
from rnnbench.inspection.operators import CELLS, COLLECT, FUSED, MATRIX, MULTIPLY, PASS, PICK
from rnnbench.inspection.program import EXTERNAL, Node, Ref, refs_in
from rnnbench.inspection.recurrences.cells import classify, dtype, sizes
from rnnbench.inspection.recurrences.record import FoundRecurrence, state_in, state_out
from rnnbench.inspection.recurrences.turned import direction, is_turned

_LONGEST = 3000  # nodes in a step
_COPIES = 8  # nodes that hand a weight on, one after another
_COMPUTES = (*MATRIX, *MULTIPLY, *CELLS, *FUSED)


@dataclass(frozen=True)
class _Block:
    """Steps of equal nodes.

    Attributes:
        steps: the nodes of each.
        carried: the places in a step whose results the next step reads.
        source: the sequence that each step takes its own part of; None: there is none.
        indices: which part, where it is written down.
        collected: how many steps' results are put together; 0: they are not.
    """

    steps: list[list[Node]]
    carried: tuple[tuple[int, int], ...]
    source: Any
    indices: tuple[int, ...]
    collected: int


def find_unrolled(flow: Flow) -> tuple[list[FoundRecurrence], set[int]]:
    """The recurrences, and the ids of the nodes that belong to them."""
    found: list[FoundRecurrence] = []
    claimed: set[int] = set()
    for body in list(bodies(flow.program)):
        nodes = [n for n in body.nodes if not n.op.startswith("prim.") or n.bodies]
        taken: set[int] = set()
        for length, period, start in find_regions([_token(flow, n) for n in nodes], _LONGEST):
            region = nodes[start : start + length]
            if any(id(n) in taken for n in region):
                continue
            block = _best_rotation(flow, region, period)
            if block is None:
                continue
            taken |= {id(n) for n in region}
            found.append(_describe(flow, block))
        claimed |= taken
    return found, claimed


def _token(flow: Flow, node: Node) -> Hashable:
    """What two nodes have in common that may be the same line of two steps."""
    if node.bodies and node.op != "If":
        return id(node)
    if node.bodies:  # PyTorch's exporter writes some for shapes, which the ranks decide
        return node.op, tuple(tuple(_token(flow, n) for n in body.nodes) for body in node.bodies)
    return node.op, _mask(flow, node.args), repr(sorted(node.attributes.items(), key=str))


def _mask(flow: Flow, value: Any) -> Hashable:
    if isinstance(value, Ref):
        tensor = flow.program.constants.get(value)
        if tensor is None:
            return "value"
        if tensor.digest == EXTERNAL:  # copies look like others of their shape
            return tensor.shape
        return "number" if tensor.dtype.startswith("int") else _key(flow, value)
    if isinstance(value, list | tuple):
        return tuple(_mask(flow, v) for v in value)
    return "number" if isinstance(value, int) and not isinstance(value, bool) else repr(value)


def _best_rotation(flow: Flow, region: list[Node], period: int) -> _Block | None:
    """The block with most steps, which begin where fewest values have to be handed over."""
    spare = len(region) - period * FEWEST_STEPS
    blocks = [_analyse(flow, region[s:], period) for s in range(min(period, spare + 1))]
    found = [b for b in blocks if b is not None]
    return min(found, key=lambda b: (-len(b.steps), len(b.carried)), default=None)


def _analyse(flow: Flow, region: list[Node], period: int) -> _Block | None:
    """A stretch of equal nodes as a loop; None where its steps do not hand values on."""
    steps = [region[i : i + period] for i in range(0, len(region) - period + 1, period)]
    if len(steps) < FEWEST_STEPS or not any(n.op in _COMPUTES for n in steps[0]):
        return None
    made_at = [
        {name: (j, i) for j, n in enumerate(s) for i, name in enumerate(n.outputs)} for s in steps
    ]
    carried = {made_at[1][r] for n in steps[2] for r in n.refs if r in made_at[1]}
    for earlier, step in zip(made_at, steps[1:], strict=False):
        carried &= {earlier[r] for n in step for r in n.refs if r in earlier}
    if not _hands_on(steps, carried) or not _shares_weights(flow, steps):
        return None
    source, indices = _source(flow, steps, made_at)
    collected = _collected(flow, steps, made_at)
    if source is None and not collected:
        return None
    return _Block(steps, tuple(sorted(carried)), source, indices, collected)


def _hands_on(steps: list[list[Node]], carried: set[tuple[int, int]]) -> bool:
    """Whether what a step hands on depends on what it was handed: else it is no recurrence."""
    handed = {_output(steps[1][j], i) for j, i in carried}
    for node in steps[2]:
        if handed & {*node.refs}:
            handed |= {*node.outputs}
    return any(_output(steps[2][j], i) in handed for j, i in carried)


def _shares_weights(flow: Flow, steps: Sequence[Sequence[Node]]) -> bool:
    """Whether every step reads one weight: layers on top of one another do not."""
    known = flow.program.constants
    weights = [
        {
            _key(flow, r)
            for n in step
            for r in n.refs
            if (known[r].dtype.startswith(("float", "bf")) if r in known else flow.constant_only(r))
        }
        for step in steps
    ]
    return bool(set.intersection(*weights))


def _key(flow: Flow, value: Ref) -> Hashable:
    """The same for copies of one weight, which exporters make when they fold constants."""
    for _ in range(_COPIES):
        makers = flow.makers.get(value, [])
        if len(makers) != 1 or makers[0].op != "Identity" or not makers[0].refs:
            break
        value = makers[0].refs[0]
    tensor = flow.program.constants.get(value)
    return (tensor.shape, tensor.digest) if tensor is not None and tensor.digest > 0 else value


def _source(
    flow: Flow, steps: list[list[Node]], made_at: list[dict[str, tuple[int, int]]]
) -> tuple[Any, tuple[int, ...]]:
    """The sequence of which each step reads its own part, and which parts, in order."""
    inside = {name for p in made_at for name in p}
    for j, node in enumerate(steps[0]):
        if node.op in PICK and node.args:
            column = [s[j] for s in steps]
            if len({str(n.args[0]) for n in column}) == 1 and node.args[0] not in inside:
                return node.args[0], tuple(i for n in column for i in _index(flow, n))
    for j, node in enumerate(steps[0]):
        for k, first in enumerate(node.refs):
            column_refs = [s[j].refs[k] for s in steps if k < len(s[j].refs)]
            if first in inside or len(set(column_refs)) < len(steps):
                continue
            roots = [_root(flow, r) for r in column_refs]
            if roots[0][0] is not None and len({str(r) for r, _ in roots}) == 1:
                return roots[0][0], tuple(i for _, index in roots for i in index)
    return None, ()


def _root(flow: Flow, value: Ref) -> tuple[Any, tuple[int, ...]]:
    """What a value was taken out of, and at which index."""
    for _ in range(8):
        makers = flow.makers.get(value, [])
        if len(makers) != 1 or makers[0].op not in PASS:
            return None, ()
        node = makers[0]
        if node.op in PICK:
            many = len(node.outputs) > 1
            index = (node.outputs.index(value),) if many else _index(flow, node)
            return node.args[0], index
        data = refs_in(data_of(node))
        if len(data) != 1:
            return None, ()
        value = data[0]
    return None, ()


def _index(flow: Flow, node: Node) -> tuple[int, ...]:
    """Where a pick picks, if that is written down."""
    place = {"Gather": 1, "Slice": 1, "aten.select": 2, "aten.slice": 2}.get(node.op, 1)
    value = node.arg(place)
    if isinstance(value, Ref) and value in flow.program.constants:
        values = flow.program.constants[value].values
        value = values[0] if values and len(values) == 1 else None
    return (int(value),) if isinstance(value, int | float) and not isinstance(value, bool) else ()


def _collected(
    flow: Flow, steps: list[list[Node]], made_at: list[dict[str, tuple[int, int]]]
) -> int:
    """How many results are joined by a node that takes one of each step."""
    for j, i in made_at[0].values():
        joins = [_joins(flow, _output(step[j], i)) for step in steps]
        for name, node in joins[-1].items():
            # The first step may have another node for its initial state.
            if all(name in found for found in joins[1:]):
                return len(refs_in(data_of(node)))
    return 0


def _output(node: Node, place: int) -> str:
    """A result; empty where a node leaves its last ones out, as a layer may in one of its steps."""
    return node.outputs[place] if place < len(node.outputs) else ""


def _joins(flow: Flow, value: str) -> dict[int, Node]:
    """The nodes that put a value and others together, by their ids."""
    found: dict[int, Node] = {}
    goals = [value]
    for _ in range(4):  # a result may be unsqueezed before it is joined
        readers = [n for g in goals for n in flow.readers.get(g, ())]
        found |= {id(n): n for n in readers if n.op in COLLECT}
        goals = [o for n in readers if n.op in PASS and n.op not in COLLECT for o in n.outputs]
    return found


def _describe(flow: Flow, block: _Block) -> FoundRecurrence:
    steps = block.steps
    # The first step may lack a node, or have another for its initial state.
    count = block.collected if block.collected - len(steps) == 1 else len(steps)
    previous, body = steps[0], steps[1]
    handed = [previous[j].outputs[i] for j, i in block.carried]
    following = [Ref(body[j].outputs[i]) for j, i in block.carried]
    kind, layers = classify(flow, body, list(zip(handed, following, strict=True)))
    given, hidden = sizes(flow, body, handed, kind)
    firsts = _first_states(flow, steps, block)
    lasts = [_output(steps[-1][j], i) for j, i in block.carried]
    shape = flow.program.shape(block.source) or ()
    reverse = len(block.indices) > 1 and block.indices[0] > block.indices[1]
    return FoundRecurrence(
        place=steps[0][0].name,
        representation="unrolled",
        kind=kind,
        input_size=given or _behind(flow, block.source),
        hidden_size=hidden,
        num_layers=layers,
        direction=direction(reverse, is_turned(flow, block.source)),
        state_in=state_in(flow, firsts),
        state_out=_last_out(flow, lasts, steps),
        dtype=dtype(flow, body),
        time=next((d for d in shape if d == count), shape[0] if shape else None),
        batch=None,
        steps=count,
        period=len(body),
        states=tuple(firsts),
        source=block.source,
    )


def _first_states(flow: Flow, steps: list[list[Node]], block: _Block) -> list[Ref]:
    """What the first step reads in the place of what later ones are handed."""
    second = {o: (j, i) for j, n in enumerate(steps[0]) for i, o in enumerate(n.outputs)}
    found = []
    for j, node in enumerate(steps[1]):
        for first, later in zip(steps[0][j].refs, node.refs, strict=False):
            if second.get(later) in block.carried and first not in second:
                found.append(first)
    return list(dict.fromkeys(found))


def _last_out(flow: Flow, lasts: list[str], steps: list[list[Node]]) -> str:
    """Where the last states go; among the steps' results that are joined they do not count."""
    goals = [v for v in lasts if any(n.op not in COLLECT for n in _beyond(flow, v))]
    outputs = {p for p in lasts if p in refs_in(list(flow.program.graph.outputs))}
    return state_out(flow, [*goals, *outputs]) if goals or outputs else "dropped"


def _beyond(flow: Flow, value: str) -> list[Node]:
    """The readers of a value, looking through one that only adds or drops a dimension."""
    readers = flow.readers.get(value, [])
    shaping = ("Unsqueeze", "Squeeze", "aten.unsqueeze", "aten.squeeze")
    passed = [o for n in readers if n.op in shaping for o in n.outputs]
    return [n for n in readers if n.op not in shaping] + [
        n for o in passed for n in flow.readers.get(o, ())
    ]


def _behind(flow: Flow, source: Any) -> int | None:
    """The features of the input, where all steps' products with it were made at once."""
    waiting = [source] if isinstance(source, Ref) else []
    while waiting:
        value = waiting.pop()
        for node in flow.makers.get(value, ()):
            if node.op in MATRIX:
                shapes = [flow.program.shape(r) for r in node.refs if r in flow.program.constants]
                sizes_ = [s for s in shapes if s and len(s) == 2]
                size = sizes_[0][1 if node.op == "aten.linear" else 0] if sizes_ else None
                return size if isinstance(size, int) else None
            if node.op in ("Add", "aten.add"):
                waiting += node.refs
    return None
