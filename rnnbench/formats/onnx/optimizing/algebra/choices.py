"""Choices between the states of two steps that are always the same.

Keras on PyTorch writes `where(t < steps, new, old)` in each step, and there both are numbers.
"""

from __future__ import annotations

from collections.abc import Container

from rnnbench.formats.onnx.optimizing.algebra.forms import Forms
from rnnbench.formats.onnx.optimizing.algebra.slicing import data_of
from rnnbench.formats.onnx.optimizing.graph import is_standard


def make_choices(forms: Forms, states: Container[str]) -> bool:
    """Hands on what is chosen anyway, where that or the other is a state; whether there was any.

    So that the other is not read.
    """
    from onnx import helper

    graph, found = forms.graph, []
    for node in graph.nodes:
        if not is_standard(node, "Where") or forms.layouts.move(node, node.output[0]) is None:
            continue
        views = [forms.layouts.view(name) for name in node.input[1:]]
        if any(view is not None and view.root in states for view in views):
            found.append(node)
    for node in found:
        chosen = data_of(forms.constants, node)
        made = helper.make_node("Identity", [chosen], list(node.output), name=node.name)
        graph.drop(node.output)
        graph.add(made, node)
    suspects = [name for node in found for name in node.input]
    if found:
        graph.commit()
        graph.sweep(suspects)
    return bool(found)
