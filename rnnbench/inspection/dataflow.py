"""Where a value of a program comes from, and where it goes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from rnnbench.inspection.operators import COLLECT, MAKERS, PASS
from rnnbench.inspection.program import Body, Dim, Node, Program, Ref, refs_in, walk

_DEEPEST = 8  # bodies in one another, through which a weight is handed

Origin = tuple[str, str]
"""`input`, `constant`, `state` (a tensor that the module keeps) or `computed`, and a name."""


class Flow:
    """The edges of a program, through loops and branches as well.

    Attributes:
        makers: value -> the nodes that make it; a list that is appended to has several.
        readers: value -> the nodes that read it, in their bodies too.
        same: value in or after a body -> the values that it stands for.
        handed: value of a branch -> what it is called behind the branches.
        chosen: value behind branches -> the one that it stands for, where it is that or, in an
            inner call without a batch, that with one more dimension or one less.
        kept: the tensors that the program itself overwrites.
        vectors: shapes and indices that were worked out once (`numbers.vector`).
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.makers: dict[str, list[Node]] = defaultdict(list)
        self.readers: dict[str, list[Node]] = defaultdict(list)
        self.same: dict[str, list[Any]] = defaultdict(list)
        self.handed: dict[str, list[str]] = defaultdict(list)
        self.chosen: dict[str, Ref] = {}
        self.kept: set[str] = set()
        self.vectors: dict[str, list[int | None] | None] = {}
        self._inputs = {port.name for port in program.inputs}
        self._outputs = self._name_outputs()
        for node in walk(program.graph):
            for name in filter(None, node.outputs):
                self.makers[name].append(node)
            for ref in dict.fromkeys(node.refs):
                self.readers[ref].append(node)
            if node.op in ("prim.SetAttr", "aten.copy_") and node.args:
                self.kept.add(str(node.args[0]))
            self._link(node)
        self._goes: dict[str, list[str]] = defaultdict(list)
        for name, sources in self.same.items():
            for source in refs_in(sources):
                self._goes[source].append(name)
        self._live = self._find_live()

    def _name_outputs(self) -> dict[str, list[str]]:
        names: dict[str, list[str]] = defaultdict(list)
        values = refs_in(list(self.program.graph.outputs))
        for value, port in zip(values, self.program.outputs, strict=False):
            names[value].append(port.name)
        return names

    def _link(self, node: Node) -> None:
        for c in node.carried:
            self.same[c.inside] += [c.first, c.next]
            if c.last:
                self.same[c.last] += [c.next, c.first]
        for outer, inner in (*node.slices, *node.attributes.get("passed", ())):
            self.same[inner].append(outer)
        if node.bodies and not node.carried:
            for body in node.bodies:
                for name, value in zip(node.outputs, body.outputs, strict=False):
                    self.same[name].append(value)
                for inner, outer in zip(body.inputs, node.refs[1:], strict=False):
                    self.same[inner].append(outer)
            self._hand_on(node)
        elif node.bodies:
            rest = [n for n in node.outputs if n and n not in {c.last for c in node.carried}]
            values = refs_in(list(node.bodies[-1].outputs))[-len(rest) :] if rest else []
            for name, value in zip(rest, values, strict=False):
                self.same[name].append(value)

    def _hand_on(self, node: Node) -> None:
        """Which values of its branches a node gives, the ones of another rank left out."""
        for name, *values in zip(node.outputs, *(b.outputs for b in node.bodies), strict=False):
            others = {
                o
                for body in node.bodies
                for n in body.nodes
                if _ranks(n, values)
                for o in n.outputs
            }
            kept = [v for v in values if isinstance(v, Ref) and v not in others]
            for value in kept:
                self.handed[value].append(name)
            if len(kept) == 1 < len(values):
                self.chosen[name] = kept[0]

    def _find_live(self) -> set[str]:
        """The values that an output, or a tensor that the program keeps, depends on."""
        waiting: list[str] = [*refs_in(list(self.program.graph.outputs))]
        for node in walk(self.program.graph):
            if node.op in ("prim.SetAttr", "aten.copy_"):
                waiting += node.refs
        live: set[str] = set()
        while waiting:
            value = waiting.pop()
            if value in live:
                continue
            live.add(value)
            waiting += refs_in(self.same.get(value, []))
            for node in self.makers.get(value, ()):
                waiting += node.refs if not node.bodies else node.refs[:1]
        return live

    def is_live(self, value: str) -> bool:
        """Whether anything that leaves the program depends on a value."""
        return value in self._live

    def origins(self, value: Any) -> set[Origin]:
        """Where a value was made, looking through what only hands it on."""
        found: set[Origin] = set()
        waiting, seen = [value], set()
        while waiting:
            item = waiting.pop()
            if isinstance(item, list | tuple):
                waiting += item
                continue
            if not isinstance(item, Ref):
                found |= {("constant", "")} if item is not None else set()
                continue
            if item in seen:
                continue
            seen.add(item)
            if item in self._inputs:
                found.add(("input", item))
            elif item in self.kept:
                found.add(("state", item))
            elif item in self.program.constants:
                found.add(("constant", item))
            elif item in self.same:
                waiting += self.same[item]
            else:
                self._origin_of_made(item, found, waiting)
        return found

    def _origin_of_made(self, item: Ref, found: set[Origin], waiting: list[Any]) -> None:
        nodes = self.makers.get(item, ())
        if not nodes:
            found.add(("computed", item))
        for node in nodes:
            if node.op in MAKERS:
                found.add(("constant", item))
            elif node.op in PASS:
                waiting += data_of(node)
            else:
                found.add(("computed", node.op))

    def destinations(self, value: str) -> set[str]:
        """The outputs, and the kept tensors, that a value goes to as it is."""
        found: set[str] = set()
        waiting, seen = [value], set()
        while waiting:
            item = waiting.pop()
            if item in seen or not item:
                continue
            seen.add(item)
            found |= set(self._outputs.get(item, ()))
            waiting += self._goes.get(item, [])
            for node in self.readers.get(item, ()):
                if node.op in ("prim.SetAttr", "aten.copy_"):
                    found.add(f"(kept in {node.args[0]})")
                elif node.op in PASS and item in refs_in(data_of(node)):
                    waiting += node.outputs
        return found

    def inputs_behind(self, value: Any) -> set[str]:
        """The inputs that a value depends on; not those of which it takes the sizes alone."""
        waiting, seen = refs_in([value]), set[str]()
        while waiting:
            item = waiting.pop()
            if item in seen:
                continue
            seen.add(item)
            waiting += refs_in(self.same.get(item, []))
            waiting += [r for n in self.makers.get(item, ()) if n.op not in MAKERS for r in n.refs]
        return seen & self._inputs

    def outer(self, value: Ref) -> Ref:
        """What a value of a body is called outside, where it is handed in as it is.

        A loop may hand a weight on from step to step, as it is.
        """
        for _ in range(_DEEPEST):
            handed = set(refs_in(self.same.get(value, []))) - {value}
            if value in self.program.constants or len(handed) != 1:
                break
            value = handed.pop()
        return value

    def weight_shape(self, value: Any) -> tuple[Dim, ...] | None:
        """The sizes of a weight, or of what is worked out from weights alone; None of others."""
        if not isinstance(value, Ref):
            return None
        value = self.outer(value)
        return self.program.shape(value) if self.constant_only(value) else None

    def constant_only(self, value: Any) -> bool:
        """Whether a value is worked out from constants alone: it could be one itself."""
        known = value in self.program.constants or value in self.makers
        return known and value not in self._varying

    @cached_property
    def _varying(self) -> set[str]:
        """The values that depend on something that no node makes, or that a body makes."""
        constants = self.program.constants
        waiting = [
            v for v in self.readers if v not in self.makers and self.outer(Ref(v)) not in constants
        ]
        for nodes in self.makers.values():
            waiting += [o for n in nodes if not n.refs or n.bodies for o in n.outputs]
        varying: set[str] = set()
        while waiting:
            value = waiting.pop()
            if value in varying or value in constants:
                continue
            varying.add(value)
            waiting += [o for node in self.readers.get(value, ()) for o in node.outputs]
        return varying


def _ranks(node: Node, values: list[Any]) -> bool:
    """Whether a branch gives what another one gives, with one more dimension or one less."""
    return (
        node.op in ("aten.squeeze", "aten.unsqueeze") and bool(node.args) and node.args[0] in values
    )


def data_of(node: Node) -> list[Any]:
    """The arguments that a node hands on: all of what is joined, else the first."""
    if node.op in ("Concat", "aten.append"):
        return list(node.args)
    if node.op in (*COLLECT, "prim.ListConstruct"):
        return list(node.args[:1])
    return list(node.args[:1])


def bodies(program: Program) -> Iterator[Body]:
    """The program's graph, and every one inside of it."""
    yield program.graph
    for node in walk(program.graph):
        yield from node.bodies
