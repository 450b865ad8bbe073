"""Unrolled loops of known cells become fused nodes."""

from __future__ import annotations

from rnnbench.formats.onnx.optimizing.algebra.cells import find_steps
from rnnbench.formats.onnx.optimizing.algebra.form_rules import forms_of
from rnnbench.formats.onnx.optimizing.algebra.forms import Forms
from rnnbench.formats.onnx.optimizing.chains import Chain, link
from rnnbench.formats.onnx.optimizing.findings import Finding, Outcome
from rnnbench.formats.onnx.optimizing.fused import OPERATORS, layer_of
from rnnbench.formats.onnx.optimizing.graph import Graph
from rnnbench.formats.onnx.optimizing.lengths import prove_lengths
from rnnbench.formats.onnx.optimizing.unrolled import Plan, plan_all, rewrite, widths_of

ORDER = 20


def find(graph: Graph, skip: frozenset[str]) -> Outcome:
    """Every chain of steps, each proved by itself first; see `unrolled.py`."""
    forms = forms_of(graph)
    chains = [c for c in link(forms, find_steps(forms)) if c.place not in skip]
    refused: dict[str, tuple[Chain, str]] = {}
    proofs: dict[str, str] = {}
    while True:
        left = [c for c in chains if c.place not in refused]
        plans, others = plan_all(forms, left)
        failed = {}
        for plan in plans:
            place, chain = plan.chain.place, plan.chain
            if place not in proofs:
                widths = widths_of(forms, chain)
                layer = layer_of(chain.weights, forms.matrices, widths)
                proof = prove_lengths(forms, chain, layer, widths)
                proofs[place] = f"its own steps at {proof}"
                if not proof.ok:
                    failed[place] = (chain, str(proof))
        refused |= failed
        if not failed:
            break
    found = Outcome()
    for plan in plans:
        place = plan.chain.place
        found.findings.append(
            Finding(place, _said(plan.chain), True, _became(forms, plan), proofs[place])
        )
        found.exact |= _exact(plan)
    found.likely = tuple(dict.fromkeys(len(p.chain.steps) for p in plans))
    for place, (chain, why) in (refused | others).items():
        found.findings.append(Finding(place, _said(chain), False, why))
    if plans:
        rewrite(forms, plans)
    return found


def _said(chain: Chain) -> str:
    return f"{chain.weights.kind} unrolled, {len(chain.steps)} steps"


def _became(forms: Forms, plan: Plan) -> str:
    chain = plan.chain
    free = all(r.stop is None for r in plan.runs) and any(
        r.time is not None or r.of for r in plan.runs
    )
    single = [t for t in plan.picked if t != len(chain.steps) - 1]
    length = "any length" if free and not single else f"{len(chain.steps)} steps"
    width, operator = sum(widths_of(forms, chain)), OPERATORS[chain.weights.kind]
    reverse = ", reverse" if plan.reverse else ""
    return f"{operator} {width} -> {chain.weights.size}{reverse}, {length}"


def _exact(plan: Plan) -> dict[tuple[str, int], int]:
    """Where the given file reads as many steps as it has, and no more."""
    last = len(plan.chain.steps) - 1
    return {
        (run.view.root, run.time): run.start + last * run.step + 1
        for run in plan.runs
        if run.time is not None and run.stop is None
    }
