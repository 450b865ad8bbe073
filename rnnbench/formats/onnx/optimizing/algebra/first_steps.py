"""First steps from zeros, of which an exporter has worked the product with the state out.

Gemm(zeros, R, b)  is written down as the constant b: the step looks at no state
"""

from __future__ import annotations

import numpy as np

from rnnbench.formats.onnx.optimizing.algebra.forms import Forms
from rnnbench.formats.onnx.optimizing.algebra.formulas import Formula, Gate, formula_of
from rnnbench.formats.onnx.optimizing.algebra.steps import Step

_CLOSE = 1e-6  # of a bias that was worked out in float32


def step_before(forms: Forms, step: Step) -> Step | None:
    """The step from zeros that made the states that a step is handed; None: it is no such step."""
    if any(number < 0 for number in step.before):
        return None
    names = [forms.sources[number].root for number in step.before]
    formula = formula_of(forms, names[0], fed_only=True)
    if formula is None or formula.kind != step.weights.kind or list(formula.after) != names:
        return None
    states = [s for s in (formula.hidden, formula.cell) if s is not None]
    if not all(_is_zero(forms, number) for number in states):
        return None
    fed = _fed(forms, step, formula)
    if fed is None or not _same_biases(forms, step, formula):
        return None
    zeros = -1 - forms.matrices.constant(np.zeros(step.weights.size))
    return Step(step.weights, fed, (zeros,) * len(step.before), tuple(names))


def _is_zero(forms: Forms, number: int) -> bool:
    if number < 0:
        return not forms.matrices.value(-1 - number).any()
    return forms.constants.is_zero(forms.sources[number].root)


def _fed(forms: Forms, step: Step, formula: Formula) -> tuple[int, ...] | None:
    """The sources that go through the matrices of what later steps are fed."""
    gates = [dict(affine.terms) for affine, _ in formula.gates]
    sources = dict.fromkeys(s for gate in gates for s in gate)
    rows = {s: tuple(gate.get(s) for gate in gates) for s in sources}
    found = sorted(rows, key=lambda s: ([-1 if m is None else m for m in rows[s]], s))
    same = tuple(rows[s] for s in found) == step.weights.inputs
    return tuple(found) if same else None


def _same_biases(forms: Forms, step: Step, formula: Formula) -> bool:
    size = step.weights.size
    known = [*step.weights.bias]
    given = [*formula.gates]
    if formula.kind == "gru":
        if formula.resets_after != step.weights.resets_after:
            return False
        known.append(step.weights.reset_bias)
        given.append(formula.recurrent[-1])
    return all(_close(forms, b, gate, size) for b, gate in zip(known, given, strict=True))


def _close(forms: Forms, bias: int | None, gate: Gate, size: int) -> bool:
    affine, number = gate
    zeros = np.zeros(size)
    a = zeros if bias is None else forms.matrices.value(bias)
    b = zeros if affine.bias is None else forms.matrices.value(affine.bias)
    return a.shape == b.shape and bool(np.allclose(a, b + number, rtol=_CLOSE, atol=_CLOSE))
