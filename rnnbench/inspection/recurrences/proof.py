"""Whether one step of a loop computes an Elman, GRU or LSTM cell, whatever its weights are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.program import Node, Ref
from rnnbench.inspection.recurrences.symbols import Poly, Symbols


def prove(flow: Flow, nodes: Sequence[Node], states: Sequence[tuple[str, Any]]) -> tuple[str, int]:
    """The kind of a step's cells, and how many there are; `unknown` where it cannot be shown.

    The formulas are those of the documentation of `nn.RNN`, `nn.GRU` and `nn.LSTM`; a GRU may reset
    its state before the matrix product as well, as ONNX's with `linear_before_reset=0`. Several
    cells are a stack: one's input may depend on another's states, but not both on each other's.

    Args:
        flow: the program's edges.
        nodes: of the step, in order.
        states: what it is handed and what it hands on.
    """
    try:
        symbols = Symbols(flow, nodes, [inside for inside, _ in states])
    except RecursionError:  # no cell is that deep
        return "unknown", 1
    following = [symbols.value(value) for _, value in states]
    cells = _Cells(symbols, following)
    kind, found = _kind(cells, range(len(states)))
    if any(_is_in_cycle(cell, found, symbols, following) for cell in found):
        return "unknown", 1
    return kind, max(len(found), 1)


@dataclass(frozen=True)
class Step:
    """One step of a cell.

    Attributes:
        kind: of the cell.
        starts: the states before the step: h, and of an LSTM c.
        ends: those after it.
    """

    kind: str
    starts: tuple[str, ...]
    ends: tuple[str, ...]


def steps_between(
    flow: Flow, nodes: Sequence[Node], starts: Sequence[str], ends: Sequence[str]
) -> list[Step]:
    """The cells whose states are among some values before nodes, and some after them.

    Args:
        flow: the program's edges.
        nodes: in order.
        starts: values that may be states before the step; some are what it is fed.
        ends: values that may be states after it.
    """
    try:
        symbols = Symbols(flow, nodes, starts)
    except RecursionError:  # no cell is that deep
        return []
    pairs = [
        (s, e)
        for e, end in enumerate(ends)
        for s, start in enumerate(starts)
        if s in symbols.depends(symbols.value(Ref(end))) and _may_be(flow, start, end)
    ]
    found: dict[tuple[int, ...], Step] = {}  # by the ends: each is that of one cell
    for kind, cell in _cells_of(symbols, ends, pairs):
        after = tuple(e for _, e in cell)
        names = tuple(starts[s] for s, _ in cell), tuple(ends[e] for e in after)
        if not any({*after} & {*others} for others in found):
            found[after] = Step(kind, *names)
    return [found[after] for after in sorted(found, key=min)]


def _may_be(flow: Flow, start: str, end: str) -> bool:
    """Whether what is handed on has the shape of what it is handed to, as far as both are known."""
    shapes = [flow.program.shape(Ref(name)) for name in (start, end)]
    known = [[n for n in shape if isinstance(n, int) and n != 1] for shape in shapes if shape]
    return len(known) < 2 or known[0] == known[1]


def _cells_of(
    symbols: Symbols, ends: Sequence[str], pairs: Sequence[tuple[int, int]]
) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """The kind of each cell, and for each of its states (the place before, the place after)."""
    values = [symbols.value(Ref(end)) for end in ends]

    def cells(*chosen: tuple[int, int]) -> _Cells:
        following: list[Poly] = [{} for _ in range(symbols.states)]
        for s, e in chosen:
            following[s] = values[e]
        return _Cells(symbols, following)

    # Of a state and what it is fed, both of which may go through a matrix, it is the later one.
    for new in reversed(pairs):
        tried = cells(new)
        if tried.is_gru(new[0]):
            yield "gru", [new]
        for kind in ("tanh", "relu"):
            if tried.is_elman(new[0], kind) and tried.is_fed(new[0]):
                yield f"rnn_{kind}", [new]
        for other in reversed(pairs):
            both = len({new[0], other[0]}) == len({new[1], other[1]}) == 2
            if both and cells(new, other).is_lstm(other[0], new[0]):
                yield "lstm", [other, new]


def _kind(cells: _Cells, count: range) -> tuple[str, list[tuple[int, ...]]]:
    """The kind of all the cells, and the states of each."""
    singles: list[tuple[int, ...]] = [(i,) for i in count]
    for kind in ("tanh", "relu"):
        if all(cells.is_elman(i, kind) for i in count):
            return f"rnn_{kind}", singles
    if all(cells.is_gru(i) for i in count):
        return "gru", singles
    pairs = {h: c for h in count for c in count if h != c and cells.is_lstm(h, c)}
    if 2 * len(pairs) == len(count) and {*pairs, *pairs.values()} == {*count}:
        return "lstm", list(pairs.items())
    return "unknown", []


def _is_in_cycle(
    cell: tuple[int, ...],
    cells: Sequence[tuple[int, ...]],
    symbols: Symbols,
    following: Sequence[Poly],
) -> bool:
    """Whether another cell depends on a cell's old states, and that cell on the other's."""
    waiting, seen = [cell], set()
    while waiting:
        states = waiting.pop()
        needs = {s for i in states for s in symbols.depends(following[i])}
        for other in cells:
            if other == states or not needs & {*other}:
                continue
            if other == cell:
                return True
            if other not in seen:
                seen.add(other)
                waiting.append(other)
    return False


class _Cells:
    """What the states become, held against the formulas."""

    def __init__(self, symbols: Symbols, following: Sequence[Poly]) -> None:
        self._symbols = symbols
        self._following = following
        self._states = [symbols.atoms.index(("state", i)) for i in range(len(following))]

    def is_elman(self, i: int, kind: str) -> bool:
        """Whether h' = tanh(W x + R h + b), or relu."""
        atoms = self._single(self._following[i])
        return (
            len(atoms) == 1
            and self._kind(atoms[0]) == kind
            and self._is_affine(self._symbols.inside(atoms[0]), (i,))
            and i in self._symbols.depends({atoms: 1.0})
        )

    def is_fed(self, i: int) -> bool:
        """Whether a product with something else than the state is added: a layer has none."""
        (atom,) = self._single(self._following[i])
        of = [m for m in self._symbols.inside(atom) if len(m) == 1 and self._kind(m[0]) == "matrix"]
        return any(i not in self._symbols.depends({m: 1.0}) for m in of)

    def is_gru(self, i: int) -> bool:
        """Whether h' = (1 - z) n + z h, or with z and 1 - z the other way round."""
        poly, h = self._following[i], self._states[i]
        atoms = {a for monomial in poly for a in monomial}
        zs = [a for a in atoms if self._kind(a) == "sigmoid"]
        ns = [a for a in atoms if self._kind(a) == "tanh"]
        if len(zs) != 1 or len(ns) != 1 or not self._is_gate(zs[0], (i,)):
            return False
        (z,), (n,) = zs, ns
        zn, zh = tuple(sorted((z, n))), tuple(sorted((z, h)))
        mixed = poly in ({(n,): 1.0, zn: -1.0, zh: 1.0}, {(h,): 1.0, zh: -1.0, zn: 1.0})
        return mixed and self._is_candidate(self._symbols.inside(n), i)

    def is_lstm(self, i: int, j: int) -> bool:
        """Whether c' = f c + i g, h' = o tanh(c'); gates that look at c are peepholes."""
        cell, c = self._following[j], self._states[j]
        keeps = [m for m in cell if c in m and len(m) == 2]
        adds = [m for m in cell if c not in m and len(m) == 2]
        if len(cell) != 2 or len(keeps) != 1 or len(adds) != 1 or {*cell.values()} != {1.0}:
            return False
        out = self._single(self._following[i])
        gates = [a for a in (*keeps[0], *adds[0], *out) if self._kind(a) == "sigmoid"]
        new = [a for a in adds[0] if self._kind(a) == "tanh"]
        squashed = [a for a in out if self._kind(a) == "tanh"]
        return (
            len(gates) == 3
            and len(new) == len(squashed) == 1
            and len(out) == 2
            and self._symbols.inside(squashed[0]) == cell
            and all(self._is_gate(gate, (i, j)) for gate in (*gates, new[0]))
        )

    def _is_candidate(self, poly: Poly, i: int) -> bool:
        """W x + b + r (R h + d), or with R (r h) instead."""
        resets = set()
        for monomial in poly:
            if i not in self._symbols.depends({monomial: 1.0}):
                if len(monomial) > 1:
                    return False
                continue
            if len(monomial) == 1 and self._kind(monomial[0]) == "matrix":
                inside = self._single(self._symbols.inside(monomial[0]))
                reset = [a for a in inside if a != self._states[i]]
                if len(inside) != 2 or len(reset) != 1:
                    return False
            else:
                reset = [a for a in monomial if self._kind(a) == "sigmoid"]
                rest = {tuple(a for a in monomial if a not in reset): 1.0}
                if len(monomial) != 2 or len(reset) != 1 or not self._is_affine(rest, (i,)):
                    return False
            resets.add(reset[0])
        sigmoids = [a for a in resets if self._kind(a) == "sigmoid"]
        return len(resets) == len(sigmoids) == 1 and self._is_gate(sigmoids[0], (i,))

    def _is_gate(self, atom: int, states: tuple[int, ...]) -> bool:
        squashes = self._kind(atom) in ("sigmoid", "tanh")
        return squashes and self._is_affine(self._symbols.inside(atom), states)

    def _is_affine(self, poly: Poly, states: tuple[int, ...]) -> bool:
        """Whether it is W x + R h + b, h the first of the states; x may be anything else."""
        for monomial in poly:
            if len(monomial) > 1:
                return False
            if not self._symbols.depends({monomial: 1.0}) & {*states}:
                continue
            (atom,) = monomial
            state = {(self._states[states[0]],): 1.0}
            if self._kind(atom) != "matrix" or self._symbols.inside(atom) != state:
                return False
        return True

    def _single(self, poly: Poly) -> tuple[int, ...]:
        """The atoms of what is one product; none of what is a sum."""
        return next(iter(poly)) if len(poly) == 1 and 1.0 in poly.values() else ()

    def _kind(self, atom: int) -> str:
        return str(self._symbols.atoms[atom][0])
