"""A Python loop over time, unrolled in a trace, becomes one scan, or fused layers where it can.

A loop is found by comparing two traces at different lengths: a block of nodes that repeats once per
step in each, and more often in the longer one.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx

from rnnbench.capture import canonical
from rnnbench.capture.batching import batched
from rnnbench.capture.blocks import Block, Step, arguments, find_blocks
from rnnbench.capture.canonical import number, shape_of, size_at
from rnnbench.capture.cells import Cell, match_cell
from rnnbench.capture.fission import Piece, split_body
from rnnbench.capture.ops import recurrence
from rnnbench.capture.places import source_line
from rnnbench.capture.rolled import (
    per_step,
    repeated,
    run_scan,
    run_scan_or_nothing,
    shifted,
    written,
)

aten = torch.ops.aten


@dataclass(frozen=True)
class Rolled:
    """What a loop became.

    Attributes:
        place: `file:line` of the model's code.
        kinds: for each recurrence in the loop, `gru`, `lstm` ..., or `scan`.
        why: for a scan, why it is not a fused layer; else empty.
    """

    place: str
    kinds: tuple[str, ...]
    why: str = ""


def roll_loops(
    shorter: fx.GraphModule, longer: fx.GraphModule, *, keep_loops: bool
) -> list[Rolled]:
    """Rolls every loop whose number of steps differs between two traces, in both of them.

    Args:
        shorter: a trace of the module; rewritten in place.
        longer: a trace of the same module at greater lengths; rewritten in place.
        keep_loops: leave a scan where a fused layer could stand.
    """
    found: list[Rolled] = []
    for module in (shorter, longer):
        canonical.canonicalise(module.graph)
    while True:
        pair = _matching(shorter.graph, longer.graph)
        if pair is None:
            break
        for module, block in zip((shorter, longer), pair, strict=True):
            rolled = _Emitter(module, block, len(found), keep_loops).emit()
            canonical.join_steps(module.graph)
            canonical.canonicalise(module.graph)
        found.append(rolled)
    for module in (shorter, longer):
        module.recompile()
    return found


def _matching(shorter: fx.Graph, longer: fx.Graph) -> tuple[Block, Block] | None:
    """The largest block of one trace that the other has with another number of steps."""
    candidates = list(find_blocks(longer))
    for block in find_blocks(shorter):
        body = [str(n.target) for n in block.body]
        for other in candidates:
            if other.length != block.length and [str(n.target) for n in other.body] == body:
                return block, other
    return None


class _Emitter:
    """Writes the rolled form of one block into its graph."""

    def __init__(self, module: fx.GraphModule, block: Block, number: int, keep: bool) -> None:
        self.module = module
        self.graph = module.graph
        self.block = block
        self.body = block.body
        self.position = {n: j for j, n in enumerate(self.body)}
        self.number = number
        self.keep = keep
        self.stacked: dict[int, fx.Node] = {}  # position -> its values in all steps
        self.final: dict[int, fx.Node] = {}  # position -> its value after the last step
        self.members = {n for step in block.steps for n in step if n is not None}
        self.outside: dict[fx.Node, list[fx.Node]] = {}
        self.end = [n for n in self.graph.nodes if n in self.members][-1].next

    @property
    def may_be_empty(self) -> bool:
        """Whether the loop has fewer steps than what it runs over."""
        steps = self.block.length
        if self.block.inputs:
            sizes = [size_at(s.source, s.dim) for s in self.block.inputs.values()]
            return any(size is not None and size > steps for size in sizes)
        inputs = self.graph.find_nodes(op="placeholder")
        return steps not in [number(size) for n in inputs for size in shape_of(n) or ()]

    def emit(self) -> Rolled:
        """Rewrites the graph."""
        read = self._read_outside()
        kinds, why = [], ""
        if self.may_be_empty:
            why = "it has fewer steps than its input, so at one step it has none"
        elif not self.keep:
            pieces = split_body(self.block)
            needed = [
                read.union(*(o.reads(self.block) for o in pieces if o is not p)) for p in pieces
            ]
            cells = [
                match_cell(self.module, self.block, p, n) if p.recurs else None
                for p, n in zip(pieces, needed, strict=True)
            ]
            if any(cells):
                for piece, cell, reads in zip(pieces, cells, needed, strict=True):
                    kinds += self._emit_piece(piece, cell, reads)
            else:
                why = "its step is not an RNN, GRU or LSTM cell"
        if not kinds:
            everything = [
                j
                for j in range(len(self.body))
                if j not in {*self.block.inputs, *self.block.writes}
            ]
            self._emit_scan(Piece(tuple(everything), True), read)
            kinds = ["scan"]
            why = why or "asked to keep loops"
        self._redirect_uses()
        for node in reversed([n for n in self.graph.nodes if n in self.members]):
            self.graph.erase_node(node)
        self.graph.eliminate_dead_code()
        self.graph.lint()
        return Rolled(place_of(self.body), tuple(kinds), why)

    def _read_outside(self) -> set[int]:
        """The positions whose values of more than the last step are used after the loop."""
        read = set()
        last = self.block.length - 1
        for k, step in enumerate(self.block.steps):
            for j, node in enumerate(step):
                state_alone = k == last and j in self.block.carried
                if node is not None and not state_alone and self._outside(node):
                    read.add(j)
        for j in self.block.writes:
            source = self.body[j].args[1]
            if source in self.position:
                read.add(self.position[source])  # type: ignore[index]
        return read

    def _outside(self, node: fx.Node) -> list[fx.Node]:
        return [u for u in node.users if u not in self.members]

    def _emit_piece(self, piece: Piece, cell: Cell | None, needed: set[int]) -> list[str]:
        if cell is not None:
            self._emit_cell(cell)
            return [cell.kind]
        if piece.recurs or not self._emit_map(piece):
            self._emit_scan(piece, needed)
            return ["scan"]
        return []

    def _emit_cell(self, cell: Cell) -> None:
        """The fused layer: `rnnbench::recurrence` over the stacked inputs."""
        states = [cell.hidden] if cell.cell_state is None else [cell.hidden, cell.cell_state]
        weights = [self._constant(w) for w in cell.weights]
        with self.graph.inserting_before(self.end):
            call = self.graph.call_function
            xs = [self._input(x) for x in cell.x]
            x = xs[0] if len(xs) == 1 else call(aten.cat.default, (xs, -1))
            first = [call(aten.unsqueeze.default, (self.block.carried[j], 0)) for j in states]
            c0 = first[1] if len(first) > 1 else None
            out = call(recurrence, (x, None, first[0], c0, weights, cell.kind, "forward"))
            out.meta["stack_trace"] = self.body[cell.hidden].meta.get("stack_trace", "")
            self.stacked[cell.hidden] = call(operator.getitem, (out, 0))
            for i, j in enumerate(states):
                last = call(operator.getitem, (out, 1 + i))
                self.final[j] = call(aten.squeeze.dim, (last, 0))

    def _input(self, x: int | fx.Node) -> fx.Node:
        if isinstance(x, int):
            return self._all_steps(x)
        return self.graph.call_function(repeated, (x, self.block.length))

    def _constant(self, value: fx.Node | torch.Tensor) -> fx.Node:
        if isinstance(value, fx.Node):
            return value
        name = f"loop_{self.number}_weight_{len(list(self.module.buffers(recurse=False)))}"
        self.module.register_buffer(name, value)
        with self.graph.inserting_before(self.end):
            return self.graph.get_attr(name)

    def _emit_map(self, piece: Piece) -> bool:
        """All steps at once; False where some operator does not allow it."""

        def over_time(n: fx.Node) -> bool:
            return n in self.position

        functions = [batched(self.body[j], over_time) for j in piece.positions]
        if any(f is None for f in functions):
            return False
        made: dict[int, fx.Node] = {}
        for j, function in zip(piece.positions, functions, strict=True):
            node = self.body[j]
            args = self._arguments(j, lambda k: made.get(k) or self._all_steps(k))
            assert function is not None
            with self.graph.inserting_before(self.end):
                made[j] = self.graph.call_function(function.target, *function.arguments(*args))
            made[j].meta["stack_trace"] = node.meta.get("stack_trace", "")
        self.stacked |= made
        return True

    def _arguments(
        self, j: int, value: Callable[[int], fx.Node]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A body node's arguments, with what is in the body replaced."""
        places = iter(range(10**6))

        def swap(leaf: Any) -> Any:
            place = next(places)
            if not isinstance(leaf, fx.Node):
                return leaf
            if (j, place) in self.block.previous:
                return self._step_before(self.block.previous[j, place])
            return value(self.position[leaf]) if leaf in self.position else leaf

        node = self.body[j]
        return map_leaves(node.args, swap), map_leaves(dict(node.kwargs), swap)

    def _step_before(self, j: int) -> fx.Node:
        with self.graph.inserting_before(self.end):
            return self.graph.call_function(shifted, (self.block.carried[j], self._all_steps(j)))

    def _all_steps(self, j: int) -> fx.Node:
        """The values at a position of the body in all steps, stacked."""
        if j not in self.stacked:
            step = self.block.inputs[j]
            with self.graph.inserting_before(self.end):
                self.stacked[j] = self.graph.call_function(
                    per_step, (step.source, step.dim, *self._range(step), step.stride < 0)
                )
        return self.stacked[j]

    def _range(self, step: Step) -> tuple[int, int | None]:
        """The first index and the end; an end of None is that of the tensor."""
        last = step.first + step.stride * (self.block.length - 1)
        low, high = min(step.first, last), max(step.first, last) + 1
        return low, None if high == size_at(step.source, step.dim) else high

    def _range_in(self, into: fx.Node, step: Step) -> tuple[int, int | None]:
        return self._range(replace(step, source=into))

    def _emit_scan(self, piece: Piece, needed: set[int]) -> None:
        inside = set(piece.positions)
        carried = [
            j
            for j in self.block.carried
            if j in inside
            and any(s == j and r in inside for (r, _), s in self.block.previous.items())
        ]
        values = [j for j in piece.positions if j in needed and self._is_tensor(j)]
        body, xs, extras = self._body_of(piece, carried, values)
        name = f"loop_{self.number}_{piece.positions[0]}"
        self.module.add_submodule(name, body)
        with self.graph.inserting_before(self.end):
            step = self.graph.get_attr(name)
            inputs = [x() for x in xs] or [self._counter()]
            first = [self.block.carried[j] for j in carried]
            run = run_scan_or_nothing if self.may_be_empty else run_scan
            out = self.graph.call_function(run, (step, first, inputs, extras))
            out.meta["stack_trace"] = self.body[piece.positions[-1]].meta.get("stack_trace", "")
            results = [
                self.graph.call_function(operator.getitem, (out, i))
                for i in range(len(carried) + len(values))
            ]
        self.final |= dict(zip(carried, results, strict=False))
        self.stacked |= dict(zip(values, results[len(carried) :], strict=True))

    def _counter(self) -> fx.Node:
        """Something to scan over, where a loop has no input per step."""
        return self.graph.call_function(aten.arange.default, (self.block.length,))

    def _body_of(
        self, piece: Piece, carried: list[int], values: list[int]
    ) -> tuple[fx.GraphModule, list[Callable[[], fx.Node]], list[fx.Node]]:
        """One step as a graph of its own: carried values, per-step inputs, the rest."""
        graph = fx.Graph()
        holders: dict[Any, fx.Node] = {}
        xs: list[Callable[[], fx.Node]] = []
        extras: list[fx.Node] = []
        made: dict[int, fx.Node] = {}
        for j in carried:
            holders["carry", j] = graph.placeholder(f"carry_{j}")
        inside = set(piece.positions)
        uses = [(j, place, leaf) for j in piece.positions for place, leaf in self._uses(j)]
        for j, place, leaf in uses:
            key = self._key(j, place, leaf, inside)
            if key is None or key in holders or key[0] == "extra":
                continue
            kind, k = key
            holders[key] = graph.placeholder(f"{kind}_{k}")
            get = self._step_before if kind == "before" else self._all_steps
            xs.append(lambda get=get, k=k: get(k))  # type: ignore[misc]
        if not xs:
            graph.placeholder("step")
        for j, place, leaf in uses:
            key = self._key(j, place, leaf, inside)
            if key is not None and key[0] == "extra" and key not in holders:
                holders[key] = graph.placeholder(f"extra_{len(extras)}")
                extras.append(leaf)
        for j in piece.positions:
            made[j] = self._copy(graph, j, inside, holders, made)
        graph.output((tuple(made[j] for j in carried), tuple(made[j] for j in values)))
        return fx.GraphModule(torch.nn.Module(), graph), xs, extras

    def _uses(self, j: int) -> Iterable[tuple[int, fx.Node]]:
        for place, leaf in enumerate(arguments(self.body[j])):
            if isinstance(leaf, fx.Node):
                yield place, leaf

    def _key(self, j: int, place: int, leaf: fx.Node, inside: set[int]) -> Any:
        """How a step gets an argument; None: it is made in the same piece of the same step."""
        before = self.block.previous.get((j, place))
        if before is not None:
            return ("carry", before) if before in inside else ("before", before)
        if leaf in self.position:
            k = self.position[leaf]
            return None if k in inside else ("x", k)
        return ("extra", leaf)

    def _copy(
        self,
        graph: fx.Graph,
        j: int,
        inside: set[int],
        holders: dict[Any, fx.Node],
        made: dict[int, fx.Node],
    ) -> fx.Node:
        places = iter(range(10**6))

        def swap(leaf: Any) -> Any:
            place = next(places)
            if not isinstance(leaf, fx.Node):
                return leaf
            key = self._key(j, place, leaf, inside)
            return made[self.position[leaf]] if key is None else holders[key]

        node = self.body[j]
        target: Any = node.target
        copy = graph.call_function(
            target, map_leaves(node.args, swap), map_leaves(dict(node.kwargs), swap)
        )
        copy.meta = dict(node.meta)
        return copy

    def _is_tensor(self, j: int) -> bool:
        return isinstance(self.body[j].meta.get("val"), torch.Tensor)

    def _redirect_uses(self) -> None:
        """What was read of single steps is read of the stacked values, or of the last state."""
        last = self.block.length - 1
        self.outside = {n: self._outside(n) for n in self.members}
        for k, step in enumerate(self.block.steps):
            for j, node in enumerate(step):
                if node is None:
                    continue
                for user in self.outside[node]:
                    user.replace_input_with(node, self._after(j, k, last, user))

    def _after(self, j: int, k: int, last: int, user: fx.Node) -> fx.Node:
        if j in self.block.writes:
            return self._written(j)
        if k == last and j in self.final and not self._like_before(j, user):
            return self.final[j]
        stacked = self._all_steps(j)
        with self.graph.inserting_before(self.end):
            node = self.graph.call_function(aten.select.int, (stacked, 0, k))
        value = self.block.steps[1][j].meta.get("val")  # type: ignore[union-attr]
        node.meta["val"] = value
        if value is not None and "val" not in stacked.meta:
            with value.fake_mode:
                stacked.meta["val"] = value.new_empty((last + 1, *value.shape))
        return node

    def _like_before(self, j: int, user: fx.Node) -> bool:
        """Whether the last but one step's value is used in the same way (in one list, say)."""
        before = self.block.steps[-2][j]
        assert before is not None
        joins = user.target in (aten.stack.default, aten.cat.default)
        return any(
            u is user if joins else str(u.target) == str(user.target) for u in self.outside[before]
        )

    def _written(self, j: int) -> fx.Node:
        if j not in self.final:
            step = self.block.writes[j]
            source = self.body[j].args[1]
            assert isinstance(source, fx.Node)
            into = self.block.carried[j]
            with self.graph.inserting_before(self.end):
                values = self._all_steps(self.position[source])
                self.final[j] = self.graph.call_function(
                    written, (into, values, step.dim, *self._range_in(into, step), step.stride < 0)
                )
            self.final[j].meta["val"] = into.meta.get("val")
        return self.final[j]


def map_leaves(args: Any, change: Callable[[Any], Any]) -> Any:
    """Arguments with every leaf changed, visited in the order of `blocks.leaves`."""
    if isinstance(args, list | tuple) and not isinstance(args, fx.Node):
        return type(args)(map_leaves(a, change) for a in args)
    if isinstance(args, dict):
        return {k: map_leaves(args[k], change) for k in sorted(args)}
    return change(args)


def place_of(nodes: Iterable[fx.Node]) -> str:
    """`file:line` of the model's code that the nodes came from, where it is known."""
    return next((p for p in map(source_line, nodes) if p), "")
