"""Recognises the step of an Elman RNN, a GRU or an LSTM in the body of a loop.

    gru_cell(select, h, w_ih, w_hh, b_ih, b_hh)                      by its operator
    n + z * (h - n), z = sigmoid(linear(x, W) + linear(h, R)) ...    by its algebra

are both a `Cell("gru", x=(0,), hidden=1, cell_state=None, weights=(w_ih, w_hh, b_ih, b_hh))`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx

from rnnbench.capture.cells.algebra import Algebra
from rnnbench.capture.cells.normal_forms import Affine, Atom, Monomial, Poly, Source, Unknown
from rnnbench.capture.graph_edit import shape_of
from rnnbench.capture.loops.fission import Piece
from rnnbench.capture.loops.layers import CELLS
from rnnbench.capture.loops.steps import Block, carried_in

aten = torch.ops.aten

_CELLS = {target: kind for kind, target in CELLS.items()}


@dataclass(frozen=True)
class Cell:
    """A piece of a body that is one step of a known layer.

    Attributes:
        kind: `rnn_tanh`, `rnn_relu`, `gru` or `lstm`.
        x: the inputs of the step, side by side along their last dimension: positions of the body,
            or nodes from outside the loop, which are the same in every step.
        hidden: the position of the hidden state.
        cell_state: the position of an LSTM's cell state.
        weights: `weight_ih`, `weight_hh` and, if the cell has them, `bias_ih`, `bias_hh`.
    """

    kind: str
    x: tuple[int | fx.Node, ...]
    hidden: int
    cell_state: int | None
    weights: tuple[fx.Node | Tensor, ...]


def match_cell(module: fx.GraphModule, block: Block, piece: Piece, needed: set[int]) -> Cell | None:
    """The cell that a recurring piece of a body computes, or None.

    Args:
        module: where the parameters are.
        block: the loop.
        piece: a piece of its body that recurs.
        needed: the positions whose values of all steps somebody else reads.
    """
    cell = _match_operator(block, piece) or _match_algebra(module, block, piece)
    # A layer gives the hidden state of all steps, and nothing else of what is in between.
    if cell is None or (needed & set(piece.positions)) - {cell.hidden}:
        return None
    like = block.body[cell.hidden].meta["val"]  # [batch, hidden]
    if like.dtype != torch.float32:  # no runtime has the fused operators in another
        return None
    own = [w if isinstance(w, fx.Node) else w.float().to(like.device) for w in cell.weights]
    return replace(cell, weights=tuple(own))


def _match_operator(block: Block, piece: Piece) -> Cell | None:
    """`nn.RNNCell`, `nn.GRUCell` and `nn.LSTMCell` stay one operator each in a trace."""
    body = block.body
    index = {n: j for j, n in enumerate(body)}
    # One call, and the getitems that take an LSTM's h and c apart.
    calls = [j for j in piece.positions if body[j].target in _CELLS]
    rest = [j for j in piece.positions if j not in calls]
    if len(calls) != 1 or any(body[j].args[0] is not body[calls[0]] for j in rest):
        return None
    at = calls[0]
    node = body[at]
    kind = _CELLS[node.target]  # type: ignore[index]
    x, weights = node.args[0], [a for a in node.args[2:] if a is not None]
    if not isinstance(x, fx.Node) or (at, 0) in block.previous or len(shape_of(x) or ()) != 2:
        return None
    if any(not isinstance(w, fx.Node) or w in index for w in weights):
        return None
    # The leaves of lstm_cell(x, [h, c], ...) are x, h, c ...: the state is what it was a step ago.
    hidden = block.previous.get((at, 1))
    cell_state = block.previous.get((at, 2)) if kind == "lstm" else None
    outputs = {body[j].args[1]: j for j in rest}
    expected = (outputs.get(0), outputs.get(1)) if kind == "lstm" else (at, None)
    if hidden is None or (hidden, cell_state) != expected:
        return None
    return Cell(kind, (index.get(x, x),), hidden, cell_state, tuple(weights))  # type: ignore[arg-type]


def _match_algebra(module: fx.GraphModule, block: Block, piece: Piece) -> Cell | None:
    """A cell by what it computes, however it is written."""
    algebra = Algebra(module, block, piece.positions)
    states = carried_in(block, set(piece.positions))
    try:
        if len(states) == 1:
            return _elman(algebra, states[0]) or _gru(algebra, states[0])
        if len(states) == 2:  # which of them is c, the formulas say
            a, b = states
            return _lstm(algebra, a, b) or _lstm(algebra, b, a)
    except Unknown:
        pass
    return None


def _polynomial(algebra: Algebra, position: int) -> dict[Monomial, float]:
    value = algebra.value(position)
    if not isinstance(value, Poly):
        raise Unknown("no polynomial")
    return value.terms


def _gate(algebra: Algebra, atom: Any, name: str) -> Affine:
    """The affine value inside a nonlinearity.

    Raises:
        Unknown: the atom is another one, or its inside is not affine.
    """
    if atom[0] != name:
        raise Unknown(f"not {name}")
    inner: dict[Monomial, float] = dict(atom[1])  # once one affine value
    if len(inner) != 1 or set(inner.values()) != {1.0}:
        raise Unknown("not affine")
    (monomial,) = inner
    if len(monomial) != 1:
        raise Unknown("not affine")
    return _affine(algebra, monomial[0])


def _affine(algebra: Algebra, atom: Any) -> Affine:
    if atom[0] != "affine":
        raise Unknown("not affine")
    index: int = atom[1]
    return algebra.affine[index]


def _elman(algebra: Algebra, h: int) -> Cell | None:
    """Elman: h' = tanh(W x + R h + b), https://doi.org/10.1207/s15516709cog1402_1."""
    terms = _polynomial(algebra, h)
    if len(terms) != 1:
        return None
    ((monomial, coefficient),) = terms.items()
    if coefficient != 1 or len(monomial) != 1 or monomial[0][0] not in ("tanh", "relu"):
        return None
    name = monomial[0][0]
    gate = _gate(algebra, monomial[0], name)
    return _cell(f"rnn_{name}", h, None, [gate], [gate])


def _gru(algebra: Algebra, h: int) -> Cell | None:
    """GRU: h' = (1 - z) n + z h, n = tanh(W x + b + r (R h + d)), arxiv.org/abs/1406.1078."""
    z, n, swapped = _mixture(_polynomial(algebra, h), ("carry", h))
    update = _gate(algebra, z, "sigmoid")
    if swapped:  # 1 - sigmoid(a) is sigmoid(-a)
        update = Affine({s: -m for s, m in update.matrices.items()}, -update.bias)
    candidate, reset, recurrent = _candidate(algebra, n, h)
    return _cell("gru", h, None, [reset, update, candidate], [reset, update, recurrent])


def _mixture(terms: dict[Monomial, float], state: Atom) -> tuple[Atom, Atom, bool]:
    """The gate z and the candidate n of `(1 - z) n + z h`.

    Returns:
        z, n, and whether z and 1 - z are the other way round: `z n + (1 - z) h`.

    Raises:
        Unknown: it is no such mixture.
    """
    atoms = {a for monomial in terms for a in monomial}
    zs = [a for a in atoms if a[0] == "sigmoid"]
    ns = [a for a in atoms if a[0] == "tanh"]
    if len(zs) != 1 or len(ns) != 1 or atoms - {zs[0], ns[0], state}:
        raise Unknown("not a gate, a candidate and the state")
    z, n = zs[0], ns[0]
    zn, zh = _product(z, n), _product(z, state)  # (1 - z) n + z h = n - z n + z h
    if terms == {(n,): 1.0, zn: -1.0, zh: 1.0}:
        return z, n, False
    if terms == {(state,): 1.0, zh: -1.0, zn: 1.0}:
        return z, n, True
    raise Unknown("not a mixture")


def _product(*factors: Atom) -> Monomial:
    return tuple(sorted(factors, key=repr))


def _candidate(algebra: Algebra, n: Any, h: int) -> tuple[Affine, Affine, Affine]:
    """What is inside of n = tanh(W x + b + r (R h + d)): W x + b, the gate r, and R h + d.

    Raises:
        Unknown: it is something else.
    """
    inner: dict[Monomial, float] = dict(n[1])
    if len(inner) != 2 or set(inner.values()) != {1.0}:
        raise Unknown("not a sum of two")
    given, gated = sorted(inner, key=len)
    resets = [a for a in gated if a[0] == "sigmoid"]
    others = [a for a in gated if a[0] != "sigmoid"]
    if (len(given), len(gated), len(resets)) != (1, 2, 1):
        raise Unknown("not W x + b, and a gate times a value")
    candidate = _affine(algebra, given[0])
    if ("carry", h) in candidate.matrices:
        raise Unknown("the state is not gated alone")
    return candidate, _gate(algebra, resets[0], "sigmoid"), _of_state(algebra, others[0], h)


def _of_state(algebra: Algebra, atom: Any, h: int) -> Affine:
    """A value that is affine in the state alone.

    Raises:
        Unknown: it depends on something else.
    """
    if atom == ("carry", h):
        shape = shape_of(algebra.body[h])
        assert shape is not None
        size = int(shape[1])
        eye = torch.eye(size, dtype=torch.float64)  # [hidden, hidden]: r h, without a matrix
        return Affine({("carry", h): eye}, torch.zeros(size, dtype=torch.float64))
    value = _affine(algebra, atom)
    if not set(value.matrices) <= {("carry", h)}:
        raise Unknown("not of the state alone")
    return value


def _lstm(algebra: Algebra, h: int, c: int) -> Cell | None:
    """LSTM: c' = f c + i g, h' = o tanh(c'), https://doi.org/10.1162/neco.1997.9.8.1735."""
    cell, hidden = _polynomial(algebra, c), _polynomial(algebra, h)
    if len(cell) != 2 or len(hidden) != 1 or {*cell.values(), *hidden.values()} != {1.0}:
        return None
    # c' = f c + i g is the two monomials (f, c) and (i, g); h' = o tanh(c') is one.
    keeps = [m for m in cell if ("carry", c) in m and len(m) == 2]
    adds = [m for m in cell if ("carry", c) not in m and len(m) == 2]
    if len(keeps) != 1 or len(adds) != 1:
        return None
    forget = next((a for a in keeps[0] if a != ("carry", c)), None)
    enter = [a for a in adds[0] if a[0] == "sigmoid"]
    new = [a for a in adds[0] if a[0] == "tanh"]
    out = [a for a in next(iter(hidden)) if a[0] == "sigmoid"]
    squashed = ("tanh", Poly(cell).key)
    if forget is None or len(enter) != 1 or len(new) != 1 or len(out) != 1:
        return None
    if set(next(iter(hidden))) != {out[0], squashed}:
        return None
    gates = [  # in PyTorch's order: i, f, g, o
        _gate(algebra, enter[0], "sigmoid"),
        _gate(algebra, forget, "sigmoid"),
        _gate(algebra, new[0], "tanh"),
        _gate(algebra, out[0], "sigmoid"),
    ]
    if any(("carry", c) in g.matrices for g in gates):
        return None  # peepholes
    return _cell("lstm", h, c, gates, gates)


def _cell(
    kind: str, h: int, c: int | None, inputs: Sequence[Affine], recurrent: Sequence[Affine]
) -> Cell | None:
    """A cell from its gates: `inputs` as to the step's inputs, `recurrent` as to the state.

    Where both are one value its bias counts once.
    """
    state: Source = ("carry", h)
    sources = list(dict.fromkeys(s for g in inputs for s in g.matrices if s != state))
    if not sources or any(s[0] == "carry" for s in sources):
        return None
    widths = {s: m.shape[1] for g in inputs for s, m in g.matrices.items()}  # features of each
    hidden = len(inputs[0].bias)
    if any(len(g.bias) != hidden for g in (*inputs, *recurrent)):
        return None

    def part(gate: Affine, source: Source, width: int) -> Tensor:
        known = gate.matrices.get(source)  # [hidden, width]; a gate may not look at a source
        return torch.zeros(hidden, width, dtype=torch.float64) if known is None else known

    # Of each gate [hidden, input], the sources side by side; the gates one below the other.
    w_ih = torch.cat([torch.cat([part(g, s, widths[s]) for s in sources], 1) for g in inputs])
    w_hh = torch.cat([part(g, state, hidden) for g in recurrent])  # [gates * hidden, hidden]
    b_ih = torch.cat([g.bias for g in inputs])  # [gates * hidden]
    b_hh = torch.cat(
        [
            torch.zeros_like(r.bias) if r is g else r.bias
            for g, r in zip(inputs, recurrent, strict=True)
        ]
    )
    weights: list[Tensor] = [w_ih, w_hh]
    if b_ih.any() or b_hh.any():
        weights += [b_ih, b_hh]
    return Cell(kind, tuple(s[1] for s in sources), h, c, tuple(weights))
