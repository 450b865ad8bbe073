"""The graph that TorchScript's code is written out as: each operation is noted once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnnbench.core.errors import RnnbenchError
from rnnbench.inspection.program import Node, Program, Ref
from rnnbench.inspection.readers.torchscript.code import Object

_MOST_NODES = 500_000  # calls within calls could unfold to any size


class Notes:
    """The operations so far.

    Attributes:
        program: gets the shapes that the code itself says.
        nodes: of the body that is being written.
        taken: the names that values have.
        something: results that are never None.
        calls: the functions that are being written out, the innermost last.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.nodes: list[Node] = []
        self.taken: set[str] = set()
        self.calls: list[str] = []
        self._count = 0
        self.something: set[str] = set()

    def fresh(self, stem: str) -> Ref:
        """A name that nothing else has."""
        name, i = stem, 1
        while name in self.taken:
            name, i = f"{stem}.{self._count + i}", i + 1
        self.taken.add(name)
        return Ref(name)

    def emit(self, op: str, args: list[Any], attributes: dict[str, Any], count: int = 1) -> Any:
        """Notes an operation; returns its results."""
        self._count += 1
        if self._count > _MOST_NODES:
            raise RnnbenchError(f"its code unfolds to over {_MOST_NODES} operations")
        place = " > ".join(self.calls[1:])
        short = op.rpartition(".")[2]
        outputs = tuple(self.fresh(f"{short}_{self._count}") for _ in range(count))
        name = f"{place}: {short}" if place else short
        self.nodes.append(Node(op, name, args, attributes, outputs))
        self._note_shape(op, args, outputs)
        if op.startswith("aten.") and not op.endswith("__"):
            self.something.update(outputs)
        return outputs[0] if count == 1 else list(outputs)

    def _note_shape(self, op: str, args: list[Any], outputs: tuple[Ref, ...]) -> None:
        """The sizes of a new tensor are written in the call."""
        if op in ("aten.zeros", "aten.ones", "aten.empty", "aten.randn", "aten.full"):
            sizes = args[0] if args else None
        elif op in ("aten.new_zeros", "aten.new_ones", "aten.new_empty", "aten.new_full"):
            sizes = args[1] if len(args) > 1 else None
        else:
            return
        if isinstance(sizes, list):
            shape = tuple(n if isinstance(n, int) else None for n in sizes)
            self.program.shapes[outputs[0]] = shape

    def cast(self, value: Any, how: str) -> Any:
        """An empty list is one that steps are put into: it needs a name."""
        if how == "annotate" and value == []:
            return self.emit("prim.ListConstruct", [], {})
        return value

    def operator(self, name: str, args: list[Any], named: dict[str, Any], count: int) -> Any:
        """Notes a call of an operator, or works it out where its arguments are literals."""
        op = name.removeprefix("ops.")
        if op.startswith("torch."):
            op = f"aten.{op.removeprefix('torch.')}"
        elif "." not in op:
            op = f"prim.{op}"
        if op.startswith("aten.") and not op.endswith("__") and op != "aten.copy_":
            op = op.removesuffix("_")
        if op in _FOLDED and not any(isinstance(a, Ref | list | Object) for a in args):
            return _FOLDED[op](*args)
        compared = op in ("aten.__is__", "aten.__isnot__") and args[1] is None
        if compared and self.is_something(args[0]):
            return op == "aten.__isnot__"
        if op == "aten.device" and args and isinstance(args[0], str):
            return "device:" + ":".join(map(str, args))
        if op == "aten.append" and args and isinstance(args[0], Ref):
            node_list = args[0]
            self.emit(op, args, named)
            self.nodes[-1].outputs = (node_list,)
            return node_list
        return self.emit(op, args, named, count)

    def is_something(self, value: Any) -> bool:
        """Whether a value is a result that is never None."""
        return isinstance(value, Ref) and value in self.something


def flat(values: list[Any]) -> list[Ref]:
    """The values of the graph in nested lists."""
    found: list[Any] = []
    for value in values:
        found += flat(value) if isinstance(value, list) else [value]
    return [v for v in found if isinstance(v, Ref)]


_FOLDED: dict[str, Callable[..., Any]] = {
    "aten.__not__": lambda a: not a,
    "aten.__is__": lambda a, b: a is b,
    "aten.__isnot__": lambda a, b: a is not b,
    "aten.eq": lambda a, b: a == b,
    "aten.ne": lambda a, b: a != b,
    "prim.bool": bool,
    "prim.int": int,
    "prim.float": float,
}
