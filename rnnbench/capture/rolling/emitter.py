"""Writes the rolled form of an unrolled loop into its graph.

Of a loop with 4 steps over x [time, batch, 4], a cell:

    select = select(x, 0, 0)                      xs = per_step(x, 0, 0, None, 1)
    gru_cell = gru_cell(select, h0, w_ih, ...)    first = unsqueeze(h0, 0)
    select_1 = select(x, 0, 1)                ->  out = recurrence(xs, None, first, None,
    gru_cell_1 = gru_cell(select_1, gru_cell,                      [w_ih, ...], 'gru', 'forward')
    ...                                           y, last = out[0], squeeze(out[1], 0)

and what is no cell, or is to stay a loop:

    select = select(x, 0, 0)                      xs = per_step(x, 0, 0, None, 1)
    mul = mul(select, 2)                      ->  out = run_scan(body, [h0], [xs], [])
    add = add(mul, h0)                            last, y = out[0], out[1]
    ...
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from rnnbench.capture.cells.match import Cell, match_cell
from rnnbench.capture.loops.fission import Piece, split_body
from rnnbench.capture.loops.steps import Block, carried_in
from rnnbench.capture.operators.recurrence import recurrence
from rnnbench.capture.operators.rolled import repeated, run_scan, run_scan_or_nothing
from rnnbench.capture.rolling.bodies import build_body
from rnnbench.capture.rolling.first_states import expand_first_states
from rnnbench.capture.rolling.mapping import early_positions, map_steps
from rnnbench.capture.rolling.stacks import Stacks
from rnnbench.capture.rolling.uses import Uses
from rnnbench.capture.source_lines import source_line

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


class Emitter:
    """Writes the rolled form of one block into its graph."""

    def __init__(
        self,
        module: fx.GraphModule,
        block: Block,
        number: int,
        keep_loops: bool,
        may_be_empty: bool,
    ) -> None:
        self.module = module
        self.graph = module.graph
        self.block = block
        self.body = block.body
        self.number = number
        self.keep_loops = keep_loops
        self.may_be_empty = may_be_empty
        # All is written where the loop ends: what it needs is there, and what needs it is not yet.
        members = {n for step in block.steps for n in step if n is not None}
        end = _readers_behind(self.graph, members)
        expand_first_states(self.graph, block)
        self.stacks = Stacks(self.graph, block, end)
        self.uses = Uses(block, self.stacks, members)

    def emit(self) -> Rolled:
        """Rewrites the graph."""
        pieces = split_body(self.block)
        handed_out = {j for p in pieces for j in carried_in(self.block, p.positions)}
        read = self.uses.read_of_all_steps(handed_out)
        kinds, why = self._emit_pieces(pieces, read)
        if not kinds and not self._all_at_once(pieces):  # the whole body as one scan
            given = {*self.block.inputs, *self.block.writes, *self._emit_early(pieces)}
            rest = [j for j in range(len(self.body)) if j not in given]
            self._emit_scan(Piece(tuple(rest), True), read)
            kinds = ["scan"]
        self.uses.redirect()
        # The steps are read by themselves alone now; from the end, each is read by nobody.
        for node in reversed([n for n in self.graph.nodes if n in self.uses.members]):
            self.graph.erase_node(node)
        self.graph.eliminate_dead_code()
        self.graph.lint()
        return Rolled(place_of(self.body), tuple(kinds), why)

    def _emit_pieces(self, pieces: list[Piece], read: set[int]) -> tuple[list[str], str]:
        """Writes the pieces one by one, where one of them at least is a cell.

        Returns:
            What the recurring pieces became; or nothing, and why the loop is to stay one scan.
        """
        if self.keep_loops:
            return [], "asked to keep loops"
        # Of each piece, what the graph around and the other pieces read of all its steps.
        needed = [read.union(*(o.reads(self.block) for o in pieces if o is not p)) for p in pieces]
        cells = [
            match_cell(self.module, self.block, p, n) if p.recurs else None
            for p, n in zip(pieces, needed, strict=True)
        ]
        if not any(cells):
            return [], self._why_no_cell()
        if self.may_be_empty:
            return [], "it has no steps where its input has one, and a fused layer must have one"
        kinds: list[str] = []
        for piece, cell, reads in zip(pieces, cells, needed, strict=True):
            kinds += self._emit_piece(piece, cell, reads)
        return kinds, ""

    def _all_at_once(self, pieces: list[Piece]) -> bool:
        """Writes a loop without recurrence for all its steps at once, where that is known."""
        if self.keep_loops or len(pieces) != 1 or pieces[0].recurs:
            return False
        return map_steps(pieces[0], self.block, self.stacks)

    def _emit_early(self, pieces: list[Piece]) -> set[int]:
        """Writes for all steps at once what needs nothing of the step before.

        linear(x_t, w) in each step of a scan  ->  linear(x, w) before it, x [time, batch, features]
        """
        if self.keep_loops or self.may_be_empty:
            return set()
        early = early_positions(pieces, self.block, self.stacks)
        piece = Piece(tuple(sorted(early)), False)
        return early if early and map_steps(piece, self.block, self.stacks) else set()

    def _why_no_cell(self) -> str:
        values = [self.body[j].meta.get("val") for j in self.block.carried]
        kinds = {v.dtype for v in values if isinstance(v, torch.Tensor) and v.is_floating_point()}
        if kinds and kinds != {torch.float32}:
            return f"it computes in {str(kinds.pop())[6:]}, in which no runtime has a fused layer"
        return "its step is not an RNN, GRU or LSTM cell"

    def _emit_piece(self, piece: Piece, cell: Cell | None, needed: set[int]) -> list[str]:
        if cell is not None:
            self._emit_cell(cell)
            return [cell.kind]
        if piece.recurs or not map_steps(piece, self.block, self.stacks):
            self._emit_scan(piece, needed)
            return ["scan"]
        return []

    def _emit_cell(self, cell: Cell) -> None:
        """The fused layer: `rnnbench::recurrence` over the stacked inputs."""
        states = [cell.hidden] if cell.cell_state is None else [cell.hidden, cell.cell_state]
        weights = [self._constant(w) for w in cell.weights]
        with self.graph.inserting_before(self.stacks.end):
            call = self.graph.call_function
            xs = [self._input(x) for x in cell.x]  # [time, batch, features] each
            x = xs[0] if len(xs) == 1 else call(aten.cat.default, (xs, -1))
            # [batch, hidden] -> [directions, batch, hidden], of one direction
            first = [call(aten.unsqueeze.default, (self.block.carried[j], 0)) for j in states]
            c0 = first[1] if len(first) > 1 else None
            out = call(recurrence, (x, None, first[0], c0, weights, cell.kind, "forward"))
            out.meta["stack_trace"] = self.body[cell.hidden].meta.get("stack_trace", "")
            # y [time, batch, hidden]: the hidden state of all steps
            self.stacks.stacked[cell.hidden] = call(operator.getitem, (out, 0))
            for i, j in enumerate(states):
                last = call(operator.getitem, (out, 1 + i))  # [1, batch, hidden]
                self.stacks.final[j] = call(aten.squeeze.dim, (last, 0))

    def _input(self, x: int | fx.Node) -> fx.Node:
        if isinstance(x, int):
            return self.stacks.all_steps(x)
        # The same in all steps: [batch, features] -> [time, batch, features]
        return self.graph.call_function(repeated, (x, self.block.length))

    def _constant(self, value: fx.Node | torch.Tensor) -> fx.Node:
        if isinstance(value, fx.Node):
            return value
        name = f"loop_{self.number}_weight_{len(list(self.module.buffers(recurse=False)))}"
        self.module.register_buffer(name, value)
        with self.graph.inserting_before(self.stacks.end):
            return self.graph.get_attr(name)

    def _emit_scan(self, piece: Piece, needed: set[int]) -> None:
        inside = set(piece.positions)
        carried = carried_in(self.block, inside)
        values = [j for j in piece.positions if j in needed and self._is_tensor(j)]
        body = build_body(self.block, piece.positions, carried, values)
        name = f"loop_{self.number}_{piece.positions[0]}"
        self.module.add_submodule(name, body.module)
        with self.graph.inserting_before(self.stacks.end):
            step = self.graph.get_attr(name)
            # [time, batch, ...] each
            inputs = [self._per_step(*key) for key in body.per_step] or [self.stacks.counter()]
            first = [self.block.carried[j] for j in carried]
            run = run_scan_or_nothing if self.may_be_empty else run_scan
            out = self.graph.call_function(run, (step, first, inputs, list(body.extras)))
            out.meta["stack_trace"] = self.body[piece.positions[-1]].meta.get("stack_trace", "")
            results = [
                self.graph.call_function(operator.getitem, (out, i))
                for i in range(len(carried) + len(values))
            ]
        # First the last states [batch, ...], then what each step gave [time, batch, ...].
        self.stacks.final |= dict(zip(carried, results, strict=False))
        self.stacks.stacked |= dict(zip(values, results[len(carried) :], strict=True))

    def _per_step(self, kind: str, what: Any) -> fx.Node:
        if kind == "count":
            return self.stacks.count(what)
        return self.stacks.step_before(what) if kind == "before" else self.stacks.all_steps(what)

    def _is_tensor(self, j: int) -> bool:
        return isinstance(self.body[j].meta.get("val"), torch.Tensor)


def _readers_behind(graph: fx.Graph, members: Collection[fx.Node]) -> fx.Node:
    """Moves what reads a loop's steps, and lies among them, behind the last one.

    cell_2 = gru_cell(x_2, cell_1)          cell_2 = gru_cell(x_2, cell_1)
    hn = unsqueeze(cell_2, 0)           ->  y_2 = linear(cell_2)            (a step's last node)
    y_2 = linear(cell_2)                    hn = unsqueeze(cell_2, 0)

    Returns:
        The node behind the last step, before which the loop's new form is to be written.
    """
    order = list(graph.nodes)
    places = [i for i, n in enumerate(order) if n in members]
    moved: set[fx.Node] = set()
    last = order[places[-1]]
    for node in order[places[0] : places[-1]]:
        if node not in members and any(n in members or n in moved for n in node.all_input_nodes):
            moved.add(node)
            last.append(node)
            last = node
    behind: fx.Node = order[places[-1]].next
    return behind


def place_of(nodes: Iterable[fx.Node]) -> str:
    """`file:line` of the model's code that the nodes came from, where it is known."""
    return next((p for p in map(source_line, nodes) if p), "")
