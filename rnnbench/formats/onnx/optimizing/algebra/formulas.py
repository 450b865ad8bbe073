"""Which values are computed by the formulas of an Elman, GRU or LSTM cell.

The formulas are those of the documentation of `nn.RNN`, `nn.GRU` and `nn.LSTM`; a GRU may reset
its state before the matrix product as well, as ONNX's with `linear_before_reset=0`, the gates of an
LSTM may look at its cell state, as ONNX's do with `P`, and one of them may be 1 less the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rnnbench.formats.onnx.optimizing.algebra.arithmetic import scale
from rnnbench.formats.onnx.optimizing.algebra.forms import Affine, Form, Forms, Monomial

_COMPUTE = ("Add", "Sub", "Sum", "Mul", "Tanh", "Relu")  # others hand on what these made
Gate = tuple[Affine, float]
"""What is inside of an activation: an affine value, and a number that is added."""


@dataclass(frozen=True)
class Formula:
    """A value that is a cell's new hidden state.

    Attributes:
        kind: `rnn_tanh`, `rnn_relu`, `gru` or `lstm`.
        after: the states behind the step: h, and of an LSTM c.
        gates: in ONNX's order (i o f c, z r h), as to what is fed.
        recurrent: the same as to the state.
        hidden: the source of the state before; None where the formula does not say which it is.
        cell: of an LSTM, the source of c before; a constant vector is its number, negative less 1.
        resets_after: of a GRU, whether the product with the state is reset, or the state before it.
    """

    kind: str
    after: tuple[str, ...]
    gates: tuple[Gate, ...]
    recurrent: tuple[Gate, ...]
    hidden: int | None = None
    cell: int | None = None
    resets_after: bool = False


def formula_of(forms: Forms, name: str, fed_only: bool = False) -> Formula | None:
    """The formula that a value is computed by.

    Args:
        forms: of the graph.
        name: the value.
        fed_only: whether a step counts that looks at no state.
    """
    node = forms.graph.makers.get(name)
    form = forms.written(name) if node is not None and node.op_type in _COMPUTE else None
    if form is None or not form.products:
        return None
    return (
        _lstm(forms, name, form)
        or _gru(forms, name, form)
        or _elman(forms, name, form, 1 if fed_only else 2)
    )


def _elman(forms: Forms, name: str, form: Form, least: int) -> Formula | None:
    """Elman: h' = tanh(W x + R h + b), or relu, https://doi.org/10.1207/s15516709cog1402_1."""
    atoms = _single(form)
    kind = forms.atoms[atoms[0]][0] if len(atoms) == 1 else ""
    if kind not in ("tanh", "relu"):
        return None
    gate = _gate(forms, atoms[0], kind)
    if gate is None or len(gate[0].terms) < least:
        return None  # a layer is fed something besides its state
    return Formula(f"rnn_{kind}", (name,), (gate,), (gate,))


def _lstm(forms: Forms, name: str, form: Form) -> Formula | None:
    """An LSTM: c' = f c + i g, h' = o tanh(c'), https://doi.org/10.1162/neco.1997.9.8.1735."""
    pair = _single(form)
    out, squashed = _of_kind(forms, pair, "sigmoid"), _of_kind(forms, pair, "tanh")
    if len(pair) != 2 or len(out) != 1 or len(squashed) != 1 or squashed[0] not in forms.names:
        return None
    inside = forms.atoms[squashed[0]][1]
    parts = _cell(forms, inside) or _coupled(forms, inside)
    if parts is None:
        return None
    enter, forget, new, cell = parts
    given = [_gate(forms, a, k) for a, k in ((out[0], "sigmoid"), (new, "tanh"))]
    outer, squash = given
    if outer is None or squash is None:
        return None
    entering = _gate(forms, enter, "sigmoid") if enter is not None else None
    forgetting = _gate(forms, forget, "sigmoid") if forget is not None else None
    entering = entering or (_less(forms, forgetting) if forgetting and enter is None else None)
    forgetting = forgetting or (_less(forms, entering) if entering and forget is None else None)
    if entering is None or forgetting is None:
        return None
    found = (entering, outer, forgetting, squash)
    return Formula("lstm", (name, forms.names[squashed[0]]), found, found, cell=cell)


def _less(forms: Forms, gate: Gate) -> Gate:
    """1 - sigmoid(a) is sigmoid(-a)."""
    turned = scale(forms, Form(*gate, (), 0), -1.0)
    assert turned.affine is not None
    return turned.affine, turned.scalar


def _coupled(forms: Forms, form: Form) -> tuple[int | None, int | None, int, int] | None:
    """The same of f c + (1 - f) g, whose i is None, and of (1 - i) c + i g, whose f is None."""
    mixed = _mixture(forms, form)
    if mixed is None:
        return None
    z, new, cell, swapped = mixed
    return (z, None, new, cell) if swapped else (None, z, new, cell)


def _cell(forms: Forms, form: Form) -> tuple[int | None, int | None, int, int] | None:
    """The gates i, f and g of f c + i g, and the source c."""
    keeps = [m for m, _ in form.products if _of_kind(forms, m, "affine")]
    adds = [m for m, _ in form.products if _of_kind(forms, m, "tanh")]
    plain = form.affine is None and not form.scalar and all(t == 1 for _, t in form.products)
    if len(form.products) != 2 or not plain or len(keeps) != 1 or len(adds) != 1:
        return None
    enter, new = _of_kind(forms, adds[0], "sigmoid"), _of_kind(forms, adds[0], "tanh")
    forget, states = _of_kind(forms, keeps[0], "sigmoid"), _of_kind(forms, keeps[0], "affine")
    if any(len(part) != 1 for part in (enter, new, forget, states)):
        return None
    if len(keeps[0]) != 2 or len(adds[0]) != 2:
        return None
    cell = _state(forms, states[0])
    return None if cell is None else (enter[0], forget[0], new[0], cell)


def _gru(forms: Forms, name: str, form: Form) -> Formula | None:
    """A GRU: h' = (1 - z) n + z h, n = tanh(W x + b + r (R h + d)), https://arxiv.org/abs/1406.1078."""
    mixed = _mixture(forms, form)
    if mixed is None:
        return None
    z, n, h, swapped = mixed
    update, inside = _gate(forms, z, "sigmoid"), forms.atoms[n][1]
    candidate = _candidate(forms, inside, h)
    if update is None or candidate is None:
        return None
    given, reset, of_state, after = candidate
    if swapped:
        update = _less(forms, update)
    gates, recurrent = (update, reset, given), (update, reset, of_state)
    return Formula("gru", (name,), gates, recurrent, hidden=h, resets_after=after)


def _mixture(forms: Forms, form: Form) -> tuple[int, int, int, bool] | None:
    """z, n and h of `(1 - z) n + z h`, and whether z and 1 - z change places."""
    atoms = {a for m, _ in form.products for a in m}
    zs, ns = _of_kind(forms, atoms, "sigmoid"), _of_kind(forms, atoms, "tanh")
    if len(zs) != 1 or len(ns) != 1 or form.scalar:
        return None
    (z,), (n,), products = zs, ns, dict(form.products)
    zn = _monomial(z, n)
    if form.affine is not None:  # h - z h + z n
        h = forms.source_of(form.affine)
        zh = _monomial(z, forms.atom("affine", form.affine))
        return (z, n, h, True) if h is not None and products == {zh: -1.0, zn: 1.0} else None
    states = _of_kind(forms, atoms, "affine")
    if len(states) != 1 or products != {(n,): 1.0, zn: -1.0, _monomial(z, states[0]): 1.0}:
        return None
    h = _state(forms, states[0])  # n - z n + z h
    return None if h is None else (z, n, h, False)


def _candidate(forms: Forms, inside: Form, h: int) -> tuple[Gate, Gate, Gate, bool] | None:
    """Of tanh(W x + b + r (R h + d)): W x + b, r, R h + d, and whether it is reset behind R."""
    given = inside.affine if inside.affine is not None else Affine((), None, None)
    if inside.products:
        gated = _single(inside._replace(affine=None, scalar=0.0))
        resets = [a for a in gated if forms.atoms[a][0] == "sigmoid"]
        others = [a for a in gated if forms.atoms[a][0] == "affine"]
        if len(gated) != 2 or len(resets) != 1 or len(others) != 1:
            return None
        of_state: Affine = forms.atoms[others[0]][1]
        if {s for s, _ in of_state.terms} - {h} or any(s == h for s, _ in given.terms):
            return None
        reset = _gate(forms, resets[0], "sigmoid")
        return None if reset is None else ((given, inside.scalar), reset, (of_state, 0.0), True)
    for source, matrix in given.terms:
        written = forms.inner.get(forms.sources[source].root)
        pair = _single(written) if written is not None else ()
        resets = [a for a in pair if forms.atoms[a][0] == "sigmoid"]
        states = [a for a in pair if forms.atoms[a][0] == "affine"]
        if len(pair) == 2 and len(resets) == len(states) == 1 and _state(forms, states[0]) == h:
            reset = _gate(forms, resets[0], "sigmoid")
            rest = Affine(tuple(t for t in given.terms if t[0] != source), given.bias, given.width)
            if reset is None or any(s == h for s, _ in rest.terms):
                return None
            return (
                (rest, inside.scalar),
                reset,
                (Affine(((h, matrix),), None, given.width), 0.0),
                False,
            )
    return None


def _gate(forms: Forms, atom: int, kind: str) -> Gate | None:
    """The affine value inside of an activation."""
    known, of = forms.atoms[atom]
    if known != kind or of.products or of.affine is None:
        return None
    return of.affine, of.scalar


def _state(forms: Forms, atom: int) -> int | None:
    """The source that a factor is; a constant vector as a negative number."""
    kind, of = forms.atoms[atom]
    if kind != "affine":
        return None
    if not of.terms and of.bias is not None:
        return -1 - int(of.bias)
    return forms.source_of(of)


def _single(form: Form) -> Monomial:
    """The atoms of what is one product; none of what is more."""
    if form.affine is not None or form.scalar or len(form.products) != 1:
        return ()
    ((monomial, times),) = form.products
    return monomial if times == 1 else ()


def _monomial(*atoms: int) -> Monomial:
    return tuple(sorted(atoms))


def _of_kind(forms: Forms, atoms: Iterable[int], kind: str) -> list[int]:
    return [a for a in atoms if forms.atoms[a][0] == kind]
