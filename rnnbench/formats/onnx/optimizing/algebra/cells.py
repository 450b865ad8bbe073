"""Which values are one step of a cell, with its weights and the states before and after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from rnnbench.formats.onnx.optimizing.algebra.called import called_step
from rnnbench.formats.onnx.optimizing.algebra.forms import Forms
from rnnbench.formats.onnx.optimizing.algebra.formulas import Formula, Gate, formula_of
from rnnbench.formats.onnx.optimizing.algebra.steps import Rows, Step, Weights

_OUT = 1  # of the gates i o f c


def find_steps(forms: Forms, handed: Mapping[str, str] | None = None) -> list[Step]:
    """Every step of a cell in a graph.

    Args:
        forms: of the graph.
        handed: of a loop's body, what is handed on -> what it is called when it is handed over.
    """
    names = [o for node in forms.graph.nodes for o in node.output if o]
    found = [f for f in (formula_of(forms, name) for name in names) if f is not None]
    states = _hidden_states(forms, found, handed or {})
    steps = (_step(forms, f, states[f.after[0]]) for f in found if f.after[0] in states)
    called = (called_step(forms, node) for node in forms.graph.nodes)
    return [step for step in (*steps, *called) if step is not None]


def _hidden_states(
    forms: Forms, formulas: Iterable[Formula], handed: Mapping[str, str]
) -> dict[str, int]:
    """The source of the state before each step, by the value that is the state after it.

    Several things go through a matrix. The state is what a loop hands over, or what such a step of
    the same weights made; before the first step it is what goes through the matrix that the states
    of later steps go through.
    """
    known = {f.after[0]: f for f in formulas}
    by_weights = {name: _matrices(f) for name, f in known.items()}
    found: dict[str, int] = {}
    for name, f in known.items():
        for source in _sources(f):
            root = forms.sources[source].root
            is_state = handed.get(name) == root if handed else _follows(forms, f, known.get(root))
            if source == f.hidden or (f.hidden is None and is_state):
                found[name] = source
    shared = {by_weights[name]: _through(known[name], source) for name, source in found.items()}
    for name, f in known.items():
        through = shared.get(by_weights[name])
        if name not in found and through is not None and not handed:
            likely = [s for s in _sources(f) if _through(f, s) == through]
            if len(likely) == 1:
                found[name] = likely[0]
    return found


def _follows(forms: Forms, f: Formula, earlier: Formula | None) -> bool:
    """Whether one step is handed the states of another, as far as its cell state says."""
    if earlier is None or earlier.kind != f.kind or _matrices(earlier) != _matrices(f):
        return False
    if f.cell is None:
        return earlier.after != f.after
    return f.cell >= 0 and forms.sources[f.cell].root == earlier.after[1]


def _sources(f: Formula) -> list[int]:
    gates = (*f.gates, *f.recurrent)
    return list(dict.fromkeys(s for affine, _ in gates for s, _ in affine.terms))


def _through(f: Formula, source: int) -> Rows:
    """The matrices that a source goes through, for each gate."""
    return tuple(dict(affine.terms).get(source) for affine, _ in f.recurrent)


def _matrices(f: Formula) -> tuple[str | tuple[int, ...], ...]:
    """Those of each gate, whatever goes through them, and the kind."""
    return (f.kind, *(tuple(sorted(m for _, m in a.terms)) for a, _ in (*f.gates, *f.recurrent)))


def _step(forms: Forms, f: Formula, h: int) -> Step | None:
    """A step of a formula, the source of whose state is known."""
    size = next((g.width for g, _ in f.gates if g.width), None)
    gates = (*f.gates, *f.recurrent)
    if size is None or any(g.width not in (None, size) for g, _ in gates):
        return None
    fed: dict[int, list[int | None]] = {}
    peepholes: list[int | None] = [None] * 3
    for i, (affine, _) in enumerate(f.gates):
        for source, matrix in affine.terms:
            if source == h:  # which is c, too, where both are the same zeros
                continue
            if i < len(peepholes) and _looks_at_the_cell(forms, f, i, source):
                peepholes[i] = matrix
            else:
                fed.setdefault(source, [None] * len(f.gates))[i] = matrix
    recurrent = _through(f, h)
    if not fed or f.cell in fed or all(m is None for m in recurrent):
        return None  # a layer is fed something
    if any(m is not None and not _is_diagonal(forms, m) for m in peepholes):
        return None
    order = sorted(fed, key=lambda s: ([-1 if m is None else m for m in fed[s]], s))
    reset = _bias(forms, f.recurrent[-1], size) if f.kind == "gru" else None
    weights = Weights(
        f.kind,
        tuple(tuple(fed[s]) for s in order),
        recurrent,
        tuple(_bias(forms, g, size) for g in f.gates),
        reset,
        f.resets_after,
        size,
        tuple(peepholes) if any(m is not None for m in peepholes) else (),
    )
    return Step(weights, tuple(order), (h,) if f.cell is None else (h, f.cell), f.after)


def _looks_at_the_cell(forms: Forms, f: Formula, gate: int, source: int) -> bool:
    """Whether a source is the cell state that a gate of an LSTM may see: o that behind the step."""
    if f.kind != "lstm":
        return False
    if gate != _OUT:
        return source == f.cell
    view = forms.sources[source]
    return view.root == f.after[1] and view.whole


def _is_diagonal(forms: Forms, number: int) -> bool:
    if forms.matrices.of_eye(number) is not None:  # of any size
        return True
    matrix = forms.matrices.value(number)
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
    return square and not (matrix - np.diag(np.diag(matrix))).any()


def _bias(forms: Forms, gate: Gate, size: int) -> int | None:
    affine, number = gate
    if not number:
        return affine.bias
    bias = affine.bias if affine.bias is not None else forms.matrices.constant(np.zeros(size))
    return forms.matrices.shifted(bias, number)
