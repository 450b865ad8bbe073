"""Writes the rolled form of an unrolled loop into its graph."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from rnnbench.capture.cells.match import Cell, match_cell
from rnnbench.capture.loops.counting import (
    Count,
    filled,
    for_all_steps,
    over_time,
    rank_of,
    tensor_form,
)
from rnnbench.capture.loops.fission import Piece, split_body
from rnnbench.capture.loops.steps import Block, carried_in, map_leaves
from rnnbench.capture.operators.recurrence import recurrence
from rnnbench.capture.operators.rolled import aligned, repeated, run_scan, run_scan_or_nothing
from rnnbench.capture.rolling.batching import Batched, batched
from rnnbench.capture.rolling.bodies import build_body
from rnnbench.capture.rolling.stacks import Stacks
from rnnbench.capture.source_lines import source_line

aten = torch.ops.aten
_FILLED = Batched(filled)


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


class Emitter:
    """Writes the rolled form of one block into its graph."""

    def __init__(
        self, module: fx.GraphModule, block: Block, number: int, keep: bool, may_be_empty: bool
    ) -> None:
        self.module = module
        self.graph = module.graph
        self.block = block
        self.body = block.body
        self.position = {n: j for j, n in enumerate(self.body)}
        self.number = number
        self.keep = keep
        self.may_be_empty = may_be_empty
        self.members = {n for step in block.steps for n in step if n is not None}
        self.outside: dict[fx.Node, list[fx.Node]] = {}
        end = [n for n in self.graph.nodes if n in self.members][-1].next
        self.stacks = Stacks(self.graph, block, end)

    def emit(self) -> Rolled:
        """Rewrites the graph."""
        pieces = split_body(self.block)
        read = self._read_outside({j for p in pieces for j in carried_in(self.block, p.positions)})
        kinds, why = [], ""
        if not self.keep:
            needed = [
                read.union(*(o.reads(self.block) for o in pieces if o is not p)) for p in pieces
            ]
            cells = [
                match_cell(self.module, self.block, p, n) if p.recurs else None
                for p, n in zip(pieces, needed, strict=True)
            ]
            if not any(cells):
                why = self._no_cell()
            elif self.may_be_empty:
                why = "it has no steps where its input has one, and a fused layer must have one"
            else:
                for piece, cell, reads in zip(pieces, cells, needed, strict=True):
                    kinds += self._emit_piece(piece, cell, reads)
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

    def _no_cell(self) -> str:
        values = [self.body[j].meta.get("val") for j in self.block.carried]
        kinds = {v.dtype for v in values if isinstance(v, torch.Tensor) and v.is_floating_point()}
        if kinds and kinds != {torch.float32}:
            return f"it computes in {str(kinds.pop())[6:]}, in which no runtime has a fused layer"
        return "its step is not an RNN, GRU or LSTM cell"

    def _read_outside(self, states: set[int]) -> set[int]:
        """The positions whose values of more than the last step are used after the loop.

        Args:
            states: the positions whose value after the last step a piece hands out by itself.
        """
        read = set()
        last = self.block.length - 1
        for k, step in enumerate(self.block.steps):
            for j, node in enumerate(step):
                state_alone = k == last and j in states
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
        with self.graph.inserting_before(self.stacks.end):
            call = self.graph.call_function
            xs = [self._input(x) for x in cell.x]
            x = xs[0] if len(xs) == 1 else call(aten.cat.default, (xs, -1))
            first = [call(aten.unsqueeze.default, (self.block.carried[j], 0)) for j in states]
            c0 = first[1] if len(first) > 1 else None
            out = call(recurrence, (x, None, first[0], c0, weights, cell.kind, "forward"))
            out.meta["stack_trace"] = self.body[cell.hidden].meta.get("stack_trace", "")
            self.stacks.stacked[cell.hidden] = call(operator.getitem, (out, 0))
            for i, j in enumerate(states):
                last = call(operator.getitem, (out, 1 + i))
                self.stacks.final[j] = call(aten.squeeze.dim, (last, 0))

    def _input(self, x: int | fx.Node) -> fx.Node:
        if isinstance(x, int):
            return self.stacks.all_steps(x)
        return self.graph.call_function(repeated, (x, self.block.length))

    def _constant(self, value: fx.Node | torch.Tensor) -> fx.Node:
        if isinstance(value, fx.Node):
            return value
        name = f"loop_{self.number}_weight_{len(list(self.module.buffers(recurse=False)))}"
        self.module.register_buffer(name, value)
        with self.graph.inserting_before(self.stacks.end):
            return self.graph.get_attr(name)

    def _emit_map(self, piece: Piece) -> bool:
        """All steps at once; False where some operator does not allow it."""

        def over_time(n: fx.Node) -> bool:
            return n in self.position

        counted = {reader for reader, _ in self.block.counts}
        if any(j in counted and not self._for_all_steps(j) for j in piece.positions):
            return False
        functions = [
            _FILLED if self._fills(j) else batched(self.body[j], over_time) for j in piece.positions
        ]
        if any(f is None for f in functions):
            return False
        made: dict[int, fx.Node] = {}
        for j, function in zip(piece.positions, functions, strict=True):
            node = self.body[j]

            def value(k: int, node: fx.Node = node) -> fx.Node:
                return self._aligned(k, made.get(k) or self.stacks.all_steps(k), node)

            args, kwargs = self._arguments(j, value)
            assert function is not None
            target, (args, kwargs) = function.target, function.arguments(args, kwargs)
            if j in counted:
                target, args = tensor_form(node, args)
            with self.graph.inserting_before(self.stacks.end):
                made[j] = self.graph.call_function(target, args, kwargs)
            made[j].meta["stack_trace"] = node.meta.get("stack_trace", "")
        self.stacks.stacked |= made
        return True

    def _aligned(self, k: int, steps: fx.Node, reader: fx.Node) -> fx.Node:
        """The values of all steps, as an operator that works element by element needs them."""
        target, rank = reader.target, rank_of(reader)
        pointwise = isinstance(target, torch._ops.OpOverload) and torch.Tag.pointwise in target.tags
        if not pointwise or rank_of(self.body[k]) >= rank:
            return steps
        with self.graph.inserting_before(self.stacks.end):
            return self.graph.call_function(aligned, (steps, rank))

    def _fills(self, j: int) -> bool:
        counted = any(reader == j for reader, _ in self.block.counts)
        return counted and self.body[j].target is aten.full.default

    def _for_all_steps(self, j: int) -> bool:
        return self._fills(j) or for_all_steps(self.body[j])

    def _arguments(
        self, j: int, value: Callable[[int], fx.Node]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A body node's arguments, with what is in the body replaced."""
        places = iter(range(10**6))

        def swap(leaf: Any) -> Any:
            place = next(places)
            if (j, place) in self.block.counts:
                return self._numbers(j, self.block.counts[j, place])
            if not isinstance(leaf, fx.Node):
                return leaf
            if (j, place) in self.block.previous:
                return self.stacks.step_before(self.block.previous[j, place])
            return value(self.position[leaf]) if leaf in self.position else leaf

        node = self.body[j]
        return map_leaves(node.args, swap), map_leaves(dict(node.kwargs), swap)

    def _numbers(self, j: int, count: Count) -> fx.Node:
        numbers = self.stacks.count(count)
        if self._fills(j):
            return numbers
        with self.graph.inserting_before(self.stacks.end):
            return self.graph.call_function(over_time, (numbers, rank_of(self.body[j])))

    def _emit_scan(self, piece: Piece, needed: set[int]) -> None:
        inside = set(piece.positions)
        carried = carried_in(self.block, inside)
        values = [j for j in piece.positions if j in needed and self._is_tensor(j)]
        body = build_body(self.block, piece.positions, carried, values)
        name = f"loop_{self.number}_{piece.positions[0]}"
        self.module.add_submodule(name, body.module)
        with self.graph.inserting_before(self.stacks.end):
            step = self.graph.get_attr(name)
            inputs = [self._per_step(*key) for key in body.per_step] or [self.stacks.counter()]
            first = [self.block.carried[j] for j in carried]
            run = run_scan_or_nothing if self.may_be_empty else run_scan
            out = self.graph.call_function(run, (step, first, inputs, list(body.extras)))
            out.meta["stack_trace"] = self.body[piece.positions[-1]].meta.get("stack_trace", "")
            results = [
                self.graph.call_function(operator.getitem, (out, i))
                for i in range(len(carried) + len(values))
            ]
        self.stacks.final |= dict(zip(carried, results, strict=False))
        self.stacks.stacked |= dict(zip(values, results[len(carried) :], strict=True))

    def _per_step(self, kind: str, what: Any) -> fx.Node:
        if kind == "count":
            return self.stacks.count(what)
        return self.stacks.step_before(what) if kind == "before" else self.stacks.all_steps(what)

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
            return self.stacks.written(j)
        if k == last and j in self.stacks.final and not self._like_before(j, user):
            return self.stacks.final[j]
        stacked = self.stacks.all_steps(j)
        with self.graph.inserting_before(self.stacks.end):
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


def place_of(nodes: Iterable[fx.Node]) -> str:
    """`file:line` of the model's code that the nodes came from, where it is known."""
    return next((p for p in map(source_line, nodes) if p), "")
