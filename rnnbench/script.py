"""Reads TorchScript's code as a graph: methods are written out where they are called.

The language is https://docs.pytorch.org/docs/stable/jit_language_reference.html, as the archive's
writer prints it. Nothing is executed: expressions become nodes, and only literals are followed.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rnnbench.errors import RnnbenchError
from rnnbench.program import Body, Carried, Node, Program, Ref

CONSTANTS = "CONSTANTS"
_MOST_NODES = 500_000  # calls within calls could unfold to any size
_DEEPEST = 100


@dataclass(eq=False)
class Object:
    """A module of the file.

    Attributes:
        cls: its class's full name.
        path: of its attributes' names, `encoder.rnn.`.
        attributes: literals, lists, objects, and `Ref` for tensors.
    """

    cls: str
    path: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Function:
    name: str


class Library:
    """The classes and functions of the code, by their full names."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._classes: dict[str, dict[str, ast.FunctionDef]] = {}
        self._functions: dict[str, ast.FunctionDef] = {}
        for module, text in sources.items():
            try:
                tree = ast.parse(text)
            except (SyntaxError, ValueError, MemoryError):
                raise RnnbenchError(f"the code of {module} is damaged") from None
            for item in tree.body:
                if isinstance(item, ast.FunctionDef):
                    self._functions[f"{module}.{item.name}"] = item
                elif isinstance(item, ast.ClassDef):
                    self._classes[f"{module}.{item.name}"] = {
                        f.name: f for f in item.body if isinstance(f, ast.FunctionDef)
                    }

    def method(self, cls: str, name: str) -> ast.FunctionDef | None:
        """A method of a class."""
        return self._classes.get(cls, {}).get(name)

    def function(self, name: str) -> ast.FunctionDef | None:
        """A free function."""
        return self._functions.get(name)


def interpret(
    library: Library, root: Object, program: Program
) -> tuple[Body, list[tuple[str, str]]]:
    """The graph of `forward`, and its inputs' names and types.

    Raises:
        RnnbenchError: there is no `forward`, or it unfolds to too many operations.
    """
    forward = library.method(root.cls, "forward")
    if forward is None:
        raise RnnbenchError("its module has no method forward")
    names = [
        (a.arg, ast.unparse(a.annotation) if a.annotation else "") for a in forward.args.args[1:]
    ]
    reader = _Reader(library, program)
    for name, _ in names:
        reader.taken.add(name)
    result = reader.call(forward, [root, *(Ref(n) for n, _ in names)], {}, "forward")
    outputs = result if isinstance(result, list) else [result]
    flat = tuple(Ref(v) for v in reader.flat(outputs))
    return Body(reader.nodes, tuple(n for n, _ in names), flat), names


class _Reader:
    """Walks through code, and notes the operations."""

    def __init__(self, library: Library, program: Program) -> None:
        self.library = library
        self.program = program
        self.nodes: list[Node] = []
        self.taken: set[str] = set()
        self.count = 0
        self.calls: list[str] = []
        self.frames: list[dict[str, Any]] = []

    # What there is a name for -------------------------------------------------------------

    def fresh(self, stem: str) -> Ref:
        """A name that nothing else has."""
        name, i = stem, 1
        while name in self.taken:
            name, i = f"{stem}.{self.count + i}", i + 1
        self.taken.add(name)
        return Ref(name)

    def emit(self, op: str, args: list[Any], attributes: dict[str, Any], count: int = 1) -> Any:
        """Notes an operation; returns its results."""
        self.count += 1
        if self.count > _MOST_NODES:
            raise RnnbenchError(f"its code unfolds to over {_MOST_NODES} operations")
        place = " > ".join(self.calls[1:])
        short = op.rpartition(".")[2]
        outputs = tuple(self.fresh(f"{short}_{self.count}") for _ in range(count))
        name = f"{place}: {short}" if place else short
        self.nodes.append(Node(op, name, args, attributes, outputs))
        self._note_shape(op, args, outputs)
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

    # Calls --------------------------------------------------------------------------------

    def call(
        self, function: ast.FunctionDef, given: list[Any], named: dict[str, Any], label: str
    ) -> Any:
        """Writes a function out; returns its result."""
        if len(self.calls) > _DEEPEST:
            raise RnnbenchError("its code calls itself")
        parameters = [a.arg for a in function.args.args]
        frame = dict(zip(parameters, given, strict=False)) | named
        defaults = function.args.defaults
        for name, default in zip(
            parameters[len(parameters) - len(defaults) :], defaults, strict=True
        ):
            if name not in frame:
                frame[name] = self.value(default, frame)
        self.calls.append(label)
        result = self.block(function.body, frame)
        self.calls.pop()
        return result

    def block(self, statements: list[ast.stmt], frame: dict[str, Any]) -> Any:
        """Goes through statements; returns what is returned in them."""
        result = None
        for statement in statements:
            if isinstance(statement, ast.Return):
                return self.value(statement.value, frame) if statement.value else None
            if isinstance(statement, ast.Assign):
                self.assign(statement, frame)
            elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
                self.bind(statement.target, self.value(statement.value, frame), frame)
            elif isinstance(statement, ast.Expr):
                self.value(statement.value, frame)
            elif isinstance(statement, ast.If):
                self.branch(statement, frame)
            elif isinstance(statement, ast.For | ast.While):
                self.loop(statement, frame)
            elif isinstance(statement, ast.With):
                result = self.block(statement.body, frame)
        return result

    def assign(self, statement: ast.Assign, frame: dict[str, Any]) -> None:
        target = statement.targets[0]
        count = len(target.elts) if isinstance(target, ast.Tuple) else 1
        self.bind(target, self.value(statement.value, frame, count), frame)

    def bind(self, target: ast.expr, value: Any, frame: dict[str, Any]) -> None:
        """Gives a value its name, or its names."""
        if isinstance(target, ast.Name):
            frame[target.id] = value
        elif isinstance(target, ast.Tuple):
            count = len(target.elts)
            if not isinstance(value, list) or len(value) != count:
                value = self.emit("prim.TupleUnpack", [value], {}, count)
                value = value if isinstance(value, list) else [value]
            for item, part in zip(target.elts, value, strict=True):
                self.bind(item, part, frame)
        elif isinstance(target, ast.Attribute):
            owner = self.value(target.value, frame)
            if isinstance(owner, Object):
                self.emit("prim.SetAttr", [owner.path + target.attr, value], {})
                owner.attributes[target.attr] = value

    # Expressions --------------------------------------------------------------------------

    def value(self, node: ast.expr, frame: dict[str, Any], count: int = 1) -> Any:
        """What an expression stands for."""
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            special = {"inf": float("inf"), "nan": float("nan")}
            return frame[node.id] if node.id in frame else special.get(node.id)
        if isinstance(node, ast.Tuple | ast.List):
            return [self.value(item, frame) for item in node.elts]
        if isinstance(node, ast.Dict):
            return self.emit("prim.DictConstruct", [self.value(v, frame) for v in node.values], {})
        if isinstance(node, ast.Attribute):
            return self.attribute(node, frame)
        if isinstance(node, ast.Subscript):
            return self.item(self.value(node.value, frame), self.value(node.slice, frame))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            inner = self.value(node.operand, frame)
            return -inner if isinstance(inner, int | float) else self.emit("aten.neg", [inner], {})
        if isinstance(node, ast.Call):
            return self.invoke(node, frame, count)
        parts = [
            self.value(n, frame) for n in ast.iter_child_nodes(node) if isinstance(n, ast.expr)
        ]
        return self.emit(f"prim.{type(node).__name__}", parts, {})

    def attribute(self, node: ast.Attribute, frame: dict[str, Any]) -> Any:
        name = ast.unparse(node)
        if name.startswith(f"{CONSTANTS}."):
            return Ref(name)
        if name.startswith("__torch__."):
            return _Function(name)
        owner = self.value(node.value, frame)
        if isinstance(owner, Object):
            return owner.attributes.get(node.attr)
        return self.emit("prim.GetAttr", [owner, node.attr], {})

    def item(self, whole: Any, index: Any) -> Any:
        if isinstance(whole, list) and isinstance(index, int) and -len(whole) <= index < len(whole):
            return whole[index]
        return self.emit("aten.__getitem__", [whole, index], {})

    def invoke(self, node: ast.Call, frame: dict[str, Any], count: int) -> Any:
        name = ast.unparse(node.func)
        if name in ("annotate", "unchecked_cast") and len(node.args) == 2:
            return self.cast(self.value(node.args[1], frame), name)
        if name == "uninitialized":
            return None
        args = [self.value(a, frame) for a in node.args]
        named = {k.arg: self.value(k.value, frame) for k in node.keywords if k.arg}
        if name == "getattr" and len(args) > 1 and isinstance(args[0], Object):
            return args[0].attributes.get(str(args[1]))
        callee = self.callee(node.func, frame)
        if isinstance(callee, tuple):
            function, first, label = callee
            return self.call(function, [*first, *args], named, label)
        return self.operator(name, args, named, count)

    def callee(self, node: ast.expr, frame: dict[str, Any]) -> Any:
        """The function that is called and what comes before its arguments; None: an operator."""
        if isinstance(node, ast.Name) and isinstance(frame.get(node.id), _Function):
            name = frame[node.id].name
            function = self.library.function(name)
            return function and (function, [], name.rpartition(".")[2])
        if not isinstance(node, ast.Attribute):
            return None
        if ast.unparse(node).startswith("__torch__."):
            function = self.library.function(ast.unparse(node))
            return function and (function, [], node.attr)
        if isinstance(node.value, ast.Name) and node.value.id in ("torch", "ops"):
            return None
        if ast.unparse(node).startswith("ops."):
            return None
        owner = self.value(node.value, frame)
        if isinstance(owner, Object):
            method = self.library.method(owner.cls, node.attr)
            path = owner.path.rstrip(".").rpartition(".")[2]
            return method and (method, [owner], path or node.attr)
        return None

    def cast(self, value: Any, how: str) -> Any:
        """An empty list is one that steps are put into: it needs a name."""
        if how == "annotate" and value == []:
            return self.emit("prim.ListConstruct", [], {})
        return value

    def operator(self, name: str, args: list[Any], named: dict[str, Any], count: int) -> Any:
        op = name.removeprefix("ops.")
        if op.startswith("torch."):
            op = f"aten.{op.removeprefix('torch.')}"
        elif "." not in op:
            op = f"prim.{op}"
        if op.startswith("aten.") and not op.endswith("__") and op != "aten.copy_":
            op = op.removesuffix("_")
        if op in _FOLDED and not any(isinstance(a, Ref | list | Object) for a in args):
            return _FOLDED[op](*args)
        if op == "aten.device" and args and isinstance(args[0], str):
            return "device:" + ":".join(map(str, args))
        if op == "aten.append" and args and isinstance(args[0], Ref):
            node_list = args[0]
            self.emit(op, args, named)
            self.nodes[-1].outputs = (node_list,)
            return node_list
        return self.emit(op, args, named, count)

    # Control flow -------------------------------------------------------------------------

    def branch(self, statement: ast.If, frame: dict[str, Any]) -> None:
        condition = self.value(statement.test, frame)
        if condition is None or isinstance(condition, bool):
            self.block(statement.body if condition else statement.orelse, frame)
            return
        bodies, frames = [], []
        for part in (statement.body, statement.orelse):
            inner = dict(frame)
            bodies.append(self.inside(part, inner))
            frames.append(inner)
        raises = [any(n.op == "prim.RaiseException" for n in b.nodes) for b in bodies]
        node = Node("prim.If", "if", [condition], bodies=tuple(bodies))
        self.nodes.append(node)
        if raises[0] != raises[1]:
            frame.update(frames[raises[0]])
            return
        changed = [n for n in frames[0] if n in frames[1] and frames[0][n] is not frames[1][n]]
        changed = [n for n in changed if frames[0][n] != frames[1][n]]
        outputs = []
        for name in changed:
            pair = [f[name] for f in frames]
            if any(isinstance(v, Object | _Function) for v in pair):
                frame[name] = pair[0]
                continue
            frame[name] = self.fresh(name)
            outputs.append(frame[name])
            for body, value in zip(bodies, pair, strict=True):
                body.outputs += (value,)
        for name in frames[0].keys() | frames[1].keys():
            frame.setdefault(name, frames[0].get(name, frames[1].get(name)))
        node.outputs = tuple(outputs)

    def inside(self, statements: list[ast.stmt], frame: dict[str, Any]) -> Body:
        """Statements as a graph of their own."""
        outer, self.nodes = self.nodes, []
        self.block(statements, frame)
        body, self.nodes = Body(self.nodes), outer
        return body

    def loop(self, statement: ast.For | ast.While, frame: dict[str, Any]) -> None:
        names = {
            n.id
            for s in statement.body
            for n in ast.walk(s)
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and n.id in frame
        }
        names = {n for n in names if not isinstance(frame[n], Object | _Function)}
        source = statement.iter if isinstance(statement, ast.For) else statement.test
        trips = self.value(source, frame)
        inner = dict(frame)
        first = {name: frame[name] for name in sorted(names)}
        inside = {name: self.fresh(name) for name in first}
        inner.update(inside)
        index: tuple[str, ...] = ()
        if isinstance(statement, ast.For) and isinstance(statement.target, ast.Name):
            counter = self.fresh(statement.target.id)
            inner[statement.target.id] = counter
            index = (counter,)
        body = self.inside(statement.body, inner)
        last = {name: self.fresh(name) for name in first}
        body.inputs = (*index, *inside.values())
        body.outputs = tuple(inner[name] for name in first)
        place = " > ".join(self.calls[1:])
        node = Node("prim.Loop", f"{place}: loop" if place else "loop", [trips, *first.values()])
        node.outputs = tuple(last.values())
        node.bodies = (body,)
        node.carried = tuple(Carried(first[n], inside[n], inner[n], last[n]) for n in first)
        self.nodes.append(node)
        frame.update(last)

    def flat(self, values: list[Any]) -> list[Ref]:
        """The values of the graph in nested lists."""
        found: list[Any] = []
        for value in values:
            found += self.flat(value) if isinstance(value, list) else [value]
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
