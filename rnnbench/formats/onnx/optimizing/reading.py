"""What of an unrolled loop is read once it is gone: all its states, single ones, its last ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rnnbench.formats.onnx.optimizing.algebra.forms import Forms
from rnnbench.formats.onnx.optimizing.building import Label
from rnnbench.formats.onnx.optimizing.chains import Chain
from rnnbench.formats.onnx.optimizing.graph import Graph, attribute, is_standard
from rnnbench.formats.onnx.optimizing.sequences import aligned


class NotFusedError(Exception):
    """A chain that stays as it is; the message says why."""


@dataclass
class Read:
    """What of a chain is read; see `unrolled.Plan`."""

    joined: dict[str, bool]
    picked: dict[str, tuple[int, tuple[Label, ...]]]
    cells: dict[str, tuple[Label, ...]]


def note_read(
    forms: Forms,
    chain: Chain,
    step: tuple[Label, ...],
    readers: Readers,
    name: str,
    read: Read,
) -> None:
    """Notes who reads a value of a step.

    Args:
        forms: of the graph.
        chain: the steps.
        step: what the axes of a state are.
        readers: who reads what.
        name: the value.
        read: what is read so far.

    Raises:
        NotFusedError: a layer does not give it.
    """
    view = forms.layouts.view(name)
    own = {n for s in chain.steps for n in s.after}
    root = view.root if view is not None and view.root in own else ""
    axes: tuple[Label, ...] = ()
    plain = False
    if view is not None and root:
        labels = aligned(step, forms.graph.rank(root))
        axes = tuple(None if a is None else labels[a] for a in view.axes)
        plain = not view.flipped and all(not labels[a] for a, _ in view.fixed)
    if root in chain.hidden and plain:
        found = [_joins(forms, chain, step, n, root) for n in readers.of(name)]
        for each in found:
            read.joined |= each or {}
        if readers.reads_alone(name) or not all(found):
            read.picked[name] = chain.hidden.index(root), axes
    elif root and plain and root == chain.steps[-1].after[-1]:
        read.cells[name] = axes
    else:
        cells = {s.after[1] for s in chain.steps if len(s.after) > 1}
        what = "a cell state" if root in cells else f"{name}, which is inside of a step,"
        raise NotFusedError(f"{what} is read by {readers.said(name)}")


class Readers:
    """Who reads a value once the chains are gone.

    Args:
        graph: of the file.
        gone: the ids of the nodes that go.
        starts: the values that chains start from.
    """

    def __init__(self, graph: Graph, gone: set[int], starts: set[str]) -> None:
        self._graph, self._gone = graph, gone
        self._alone = starts | {*graph.outputs}

    def of(self, name: str) -> list[Any]:
        """The nodes that read it."""
        return [n for n in self._graph.readers.get(name, []) if id(n) not in self._gone]

    def reads_alone(self, name: str) -> bool:
        """Whether it is an output, or what another recurrence starts from."""
        return name in self._alone

    def reads(self, name: str) -> bool:
        """Whether anybody does."""
        return name in self._alone or bool(self.of(name))

    def said(self, name: str) -> str:
        """The first of them, in words."""
        found = self.of(name)
        return f"{found[0].op_type} {found[0].name!r}" if found else "an output"


def _joins(
    forms: Forms, chain: Chain, step: tuple[Label, ...], node: Any, root: str
) -> dict[str, bool] | None:
    """Outputs of Concats of the states of all steps behind one reader; None: it is another."""
    found: dict[str, bool] = {}
    waiting = [node]
    while waiting:
        at = waiting.pop()
        if is_standard(at, "Concat"):
            order = _order(forms, chain, step, at)
            if order is None:
                return None
            found[at.output[0]] = order
        elif is_standard(at, "Unsqueeze", "Reshape", "Identity", "Squeeze", "Transpose"):
            view = forms.layouts.view(at.output[0])
            if view is None or view.root != root or at.output[0] in forms.graph.outputs:
                return None
            waiting += forms.graph.readers.get(at.output[0], [])
        else:
            return None
    return found or None


def _order(forms: Forms, chain: Chain, step: tuple[Label, ...], node: Any) -> bool | None:
    """Whether a Concat has the states of all steps as they were computed, or the last first."""
    views = [forms.layouts.view(i) for i in node.input]
    found = [v for v in views if v is not None]
    if len(found) != len(chain.steps) or len({v.axes for v in found}) != 1:
        return None
    rank = len(found[0].axes)
    axis = attribute(node, "axis", 0) % rank
    along = found[0].axes[axis]
    labels = aligned(step, forms.graph.rank(found[0].root))
    if any(v.flipped or any(labels[a] for a, _ in v.fixed) for v in found):
        return None
    if along is not None and labels[along]:
        return None
    names = [v.root for v in found]
    hidden = list(chain.hidden)
    if names == hidden:
        return True
    return False if names == hidden[::-1] else None
