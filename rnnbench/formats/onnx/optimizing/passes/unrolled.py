"""Unrolled loops of known cells become fused nodes."""

from __future__ import annotations

from dataclasses import dataclass, field

from rnnbench.formats.onnx.optimizing.algebra.cells import find_steps
from rnnbench.formats.onnx.optimizing.algebra.choices import make_choices
from rnnbench.formats.onnx.optimizing.algebra.form_rules import forms_of
from rnnbench.formats.onnx.optimizing.algebra.forms import Forms
from rnnbench.formats.onnx.optimizing.chains import Chain, link
from rnnbench.formats.onnx.optimizing.findings import Finding, Outcome
from rnnbench.formats.onnx.optimizing.fused import OPERATORS, layer_of
from rnnbench.formats.onnx.optimizing.graph import Graph
from rnnbench.formats.onnx.optimizing.hoisting import Hoister, fed_columns
from rnnbench.formats.onnx.optimizing.joining import join_columns, joins
from rnnbench.formats.onnx.optimizing.lengths import prove_lengths
from rnnbench.formats.onnx.optimizing.sequences import labels
from rnnbench.formats.onnx.optimizing.unrolled import Plan, plan_all, rewrite, widths_of

ORDER = 20
_ROUNDS = 16  # a stack of layers with something between them takes two for each


@dataclass
class _Round:
    """One look at the graph.

    Attributes:
        plans: what can be fused.
        refused: the other chains by their place, and why.
        proofs: place -> what proved a plan by itself.
    """

    forms: Forms
    plans: list[Plan]
    refused: dict[str, tuple[Chain, str]]
    proofs: dict[str, str] = field(default_factory=dict)


def find(graph: Graph, skip: frozenset[str], keep: frozenset[str]) -> Outcome:
    """Every chain of steps, each proved by itself first.

    What a step computes for itself, of its input or its state, is taken out of the steps between
    two looks; see `unrolled.py` and `hoisting.py`.
    """
    found = Outcome()
    left: list[Finding] = []
    single: dict[str, list[str]] = {}
    for _ in range(_ROUNDS):
        made = _look(graph, skip, keep, graph.has_unread)
        left = [Finding(p, _said(c), False, why) for p, (c, why) in made.refused.items()]
        for plan in made.plans:
            _note(found, made, plan)
            single[plan.chain.place] = [
                name for name, (t, _) in plan.picked.items() if t != len(plan.chain.steps) - 1
            ]
        if made.plans:
            rewrite(made.forms, made.plans)
        behind = _join(graph, found, made.plans)
        if not _hoist(graph, found, made) and not made.plans and not behind:
            break
    found.frozen = frozenset(
        place
        for place, names in single.items()
        if any(n in graph.makers and (graph.readers.get(n) or n in graph.outputs) for n in names)
    )
    found.findings += left
    if not found.places:
        found.findings = left
    return found


def _look(graph: Graph, skip: frozenset[str], keep: frozenset[str], keep_all: bool) -> _Round:
    """Looks at the graph as it is.

    An input that nothing reads was written down when the file was made, and so may be the length.
    """
    forms = forms_of(graph)
    chains = [c for c in link(forms, find_steps(forms)) if c.place not in skip]
    if chains and make_choices(forms, {name for c in chains for name in c.hidden}):
        forms = forms_of(graph)
        chains = [c for c in link(forms, find_steps(forms)) if c.place not in skip]
    if keep_all:
        keep = frozenset(c.place for c in chains)
    failed: dict[str, tuple[Chain, str]] = {}
    proofs: dict[str, str] = {}
    while True:
        plans, others = plan_all(forms, [c for c in chains if c.place not in failed], keep)
        for plan in plans:
            place, chain = plan.chain.place, plan.chain
            if place not in proofs:
                widths = widths_of(forms, chain)
                layer = layer_of(chain.weights, forms.matrices, widths)
                proof = prove_lengths(forms, chain, layer, widths)
                proofs[place] = f"step by step: {proof}"
                if not proof.ok:
                    failed[place] = (chain, str(proof))
        if not any(plan.chain.place in failed for plan in plans):
            return _Round(forms, plans, failed | others, proofs)


def _hoist(graph: Graph, found: Outcome, made: _Round) -> bool:
    """Takes what other chains are fed out of their steps; whether anything was."""
    columns = [c for chain, _ in made.refused.values() for c in fed_columns(made.forms, chain)]
    hoister = Hoister(graph)
    for column in columns:
        if hoister.can(column):
            hoister.hoist(column)
    _note_hoisted(found, hoister)
    return hoister.finish()


def _join(graph: Graph, found: Outcome, plans: list[Plan]) -> bool:
    """What is made of each state and put together is made of all of them at once."""
    if not plans:
        return False
    hoister = Hoister(graph)
    counts = {len(plan.chain.steps) for plan in plans}
    for column in joins(graph, counts):
        if hoister.can(column):
            hoister.hoist(column)
    _note_hoisted(found, hoister)
    return bool(hoister.finish()) | bool(join_columns(graph, counts))


def _note_hoisted(found: Outcome, hoister: Hoister) -> None:
    found.origins |= hoister.origins
    for (value, axis), size in hoister.exact.items():
        found.require(value, axis, size)


def _note(found: Outcome, made: _Round, plan: Plan) -> None:
    place = plan.chain.place
    became = _became(made.forms, plan)
    found.findings.append(Finding(place, _said(plan.chain), True, became, made.proofs[place]))
    for (value, axis), size in _exact(made.forms, plan).items():
        found.require(value, axis, size)
    found.likely = tuple(dict.fromkeys((*found.likely, len(plan.chain.steps))))


def _said(chain: Chain) -> str:
    return f"{chain.weights.kind} unrolled, {len(chain.steps)} steps"


def _became(forms: Forms, plan: Plan) -> str:
    chain = plan.chain
    width, operator = sum(widths_of(forms, chain)), OPERATORS[chain.weights.kind]
    reverse = ", reverse" if plan.reverse else ""
    moves = [r for r in plan.runs if r.time is not None]
    fixed = any(r.stop is not None or r.start < 0 for r in moves)
    free = bool(moves) or any(r.of for r in plan.runs)
    steps = f", {len(chain.steps)} steps as before" if fixed else ", any length" if free else ""
    return f"{operator} {width} -> {chain.weights.size}{reverse}{steps}"


def _exact(forms: Forms, plan: Plan) -> dict[tuple[str, int], int]:
    """Where the given file reads as many steps as it has, and as many rows, and no more."""
    last = len(plan.chain.steps) - 1
    found = {}
    rows = [_rows(forms, number) for number in plan.states if number >= 0]
    for run in plan.runs:
        if run.time is None:
            continue
        if run.stop is None and run.start >= 0:
            found[run.view.root, run.time] = run.start + last * run.step + 1
        axes = labels(forms.graph, run.view, run.time)
        for count in filter(None, rows):
            if "batch" in axes:
                found[run.view.root, axes.index("batch")] = count
    return found


def _rows(forms: Forms, number: int) -> int | None:
    """The rows that are written down of a first state; one row is for any number of them."""
    view = forms.sources[number]
    array = forms.constants.value(view.root)
    if array is None or array.ndim < 2 or array.shape[-2] == 1:
        return None
    return int(array.shape[-2])
