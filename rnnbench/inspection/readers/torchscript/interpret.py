"""Reads TorchScript's code as a graph: methods are written out where they are called.

The language is https://docs.pytorch.org/docs/stable/jit_language_reference.html, as the archive's
writer prints it. Nothing is executed: expressions become nodes, and only literals are followed.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from rnnbench.core.errors import RnnbenchError
from rnnbench.inspection.program import Body, Carried, Node, Program, Ref
from rnnbench.inspection.readers.torchscript.code import CONSTANTS, Function, Library, Object
from rnnbench.inspection.readers.torchscript.graph import Notes, flat

_DEEPEST = 100

Read = Callable[[Any, Any, dict[str, Any]], Any]
"""What an expression stands for: from the reader, the expression and the names of its frame."""


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
    notes = Notes(program)
    notes.taken.update(name for name, _ in names)
    reader = _Reader(library, notes)
    result = reader.call(forward, [root, *(Ref(n) for n, _ in names)], {}, "forward")
    outputs = result if isinstance(result, list) else [result]
    values = tuple(Ref(v) for v in flat(outputs))
    return Body(notes.nodes, tuple(n for n, _ in names), values), names


class _Reader:
    """Walks through code, and notes the operations."""

    def __init__(self, library: Library, notes: Notes) -> None:
        self.library = library
        self.notes = notes

    # Calls --------------------------------------------------------------------------------

    def call(
        self, function: ast.FunctionDef, given: list[Any], named: dict[str, Any], label: str
    ) -> Any:
        """Writes a function out; returns its result."""
        if len(self.notes.calls) > _DEEPEST:
            raise RnnbenchError("its code calls itself")
        parameters = [a.arg for a in function.args.args]
        frame = dict(zip(parameters, given, strict=False)) | named
        defaults = function.args.defaults
        for name, default in zip(
            parameters[len(parameters) - len(defaults) :], defaults, strict=True
        ):
            if name not in frame:
                frame[name] = self.value(default, frame)
        self.notes.calls.append(label)
        result = self.block(function.body, frame)
        self.notes.calls.pop()
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
                value = self.notes.emit("prim.TupleUnpack", [value], {}, count)
                value = value if isinstance(value, list) else [value]
            for item, part in zip(target.elts, value, strict=True):
                self.bind(item, part, frame)
        elif isinstance(target, ast.Attribute):
            owner = self.value(target.value, frame)
            if isinstance(owner, Object):
                self.notes.emit("prim.SetAttr", [owner.path + target.attr, value], {})
                owner.attributes[target.attr] = value

    # Expressions --------------------------------------------------------------------------

    def value(self, node: ast.expr, frame: dict[str, Any], count: int = 1) -> Any:
        """What an expression stands for; a call may have `count` results."""
        if isinstance(node, ast.Call):
            return self.invoke(node, frame, count)
        read: Read = _EXPRESSIONS.get(type(node), _Reader.other)
        return read(self, node, frame)

    def constant(self, node: ast.Constant, frame: dict[str, Any]) -> Any:
        return node.value

    def name(self, node: ast.Name, frame: dict[str, Any]) -> Any:
        special = {"inf": float("inf"), "nan": float("nan")}
        return frame[node.id] if node.id in frame else special.get(node.id)

    def items(self, node: ast.Tuple | ast.List, frame: dict[str, Any]) -> Any:
        return [self.value(item, frame) for item in node.elts]

    def mapping(self, node: ast.Dict, frame: dict[str, Any]) -> Any:
        values = [self.value(v, frame) for v in node.values]
        return self.notes.emit("prim.DictConstruct", values, {})

    def subscript(self, node: ast.Subscript, frame: dict[str, Any]) -> Any:
        return self.item(self.value(node.value, frame), self.value(node.slice, frame))

    def unary(self, node: ast.UnaryOp, frame: dict[str, Any]) -> Any:
        if not isinstance(node.op, ast.USub):
            return self.other(node, frame)
        inner = self.value(node.operand, frame)
        is_number = isinstance(inner, int | float)
        return -inner if is_number else self.notes.emit("aten.neg", [inner], {})

    def other(self, node: ast.expr, frame: dict[str, Any]) -> Any:
        """An operation of the language itself (`a and b`, `not a`), by its name in `ast`."""
        parts = [
            self.value(n, frame) for n in ast.iter_child_nodes(node) if isinstance(n, ast.expr)
        ]
        return self.notes.emit(f"prim.{type(node).__name__}", parts, {})

    def attribute(self, node: ast.Attribute, frame: dict[str, Any]) -> Any:
        name = ast.unparse(node)
        if name.startswith(f"{CONSTANTS}."):
            return Ref(name)
        if name.startswith("__torch__."):
            return Function(name)
        owner = self.value(node.value, frame)
        if isinstance(owner, Object):
            return owner.attributes.get(node.attr)
        return self.notes.emit("prim.GetAttr", [owner, node.attr], {})

    def item(self, whole: Any, index: Any) -> Any:
        if isinstance(whole, list) and isinstance(index, int) and -len(whole) <= index < len(whole):
            return whole[index]
        return self.notes.emit("aten.__getitem__", [whole, index], {})

    def invoke(self, node: ast.Call, frame: dict[str, Any], count: int) -> Any:
        name = ast.unparse(node.func)
        if name in ("annotate", "unchecked_cast") and len(node.args) == 2:
            return self.notes.cast(self.value(node.args[1], frame), name)
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
        return self.notes.operator(name, args, named, count)

    def callee(self, node: ast.expr, frame: dict[str, Any]) -> Any:
        """The function that is called and what comes before its arguments; None: an operator."""
        name = _function_name(node, frame)
        if name:
            function = self.library.function(name)
            return function and (function, [], name.rpartition(".")[2])
        if not isinstance(node, ast.Attribute) or _is_operator(node):
            return None
        owner = self.value(node.value, frame)
        if not isinstance(owner, Object):
            return None
        method = self.library.method(owner.cls, node.attr)
        path = owner.path.rstrip(".").rpartition(".")[2]
        return method and (method, [owner], path or node.attr)

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
        self.notes.nodes.append(node)
        if raises[0] != raises[1]:
            frame.update(frames[raises[0]])
            return
        changed = [n for n in frames[0] if n in frames[1] and frames[0][n] is not frames[1][n]]
        changed = [n for n in changed if frames[0][n] != frames[1][n]]
        outputs = []
        for name in changed:
            pair = [f[name] for f in frames]
            if any(isinstance(v, Object | Function) for v in pair):
                frame[name] = pair[0]
                continue
            frame[name] = self.notes.fresh(name)
            outputs.append(frame[name])
            if all(self.notes.is_something(v) for v in pair):
                self.notes.something.add(frame[name])
            for body, value in zip(bodies, pair, strict=True):
                body.outputs += (value,)
        for name in frames[0].keys() | frames[1].keys():
            frame.setdefault(name, frames[0].get(name, frames[1].get(name)))
        node.outputs = tuple(outputs)

    def inside(self, statements: list[ast.stmt], frame: dict[str, Any]) -> Body:
        """Statements as a graph of their own."""
        outer, self.notes.nodes = self.notes.nodes, []
        self.block(statements, frame)
        body, self.notes.nodes = Body(self.notes.nodes), outer
        return body

    def loop(self, statement: ast.For | ast.While, frame: dict[str, Any]) -> None:
        names = {
            n.id
            for s in statement.body
            for n in ast.walk(s)
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and n.id in frame
        }
        names = {n for n in names if not isinstance(frame[n], Object | Function)}
        source = statement.iter if isinstance(statement, ast.For) else statement.test
        trips = self.value(source, frame)
        inner = dict(frame)
        first = {name: frame[name] for name in sorted(names)}
        inside = {name: self.notes.fresh(name) for name in first}
        inner.update(inside)
        index: tuple[str, ...] = ()
        if isinstance(statement, ast.For) and isinstance(statement.target, ast.Name):
            counter = self.notes.fresh(statement.target.id)
            inner[statement.target.id] = counter
            index = (counter,)
        body = self.inside(statement.body, inner)
        last = {name: self.notes.fresh(name) for name in first}
        body.inputs = (*index, *inside.values())
        body.outputs = tuple(inner[name] for name in first)
        place = " > ".join(self.notes.calls[1:])
        node = Node("prim.Loop", f"{place}: loop" if place else "loop", [trips, *first.values()])
        node.outputs = tuple(last.values())
        node.bodies = (body,)
        node.carried = tuple(Carried(first[n], inside[n], inner[n], last[n]) for n in first)
        self.notes.nodes.append(node)
        frame.update(last)


_EXPRESSIONS: dict[type[ast.expr], Read] = {
    ast.Constant: _Reader.constant,
    ast.Name: _Reader.name,
    ast.Tuple: _Reader.items,
    ast.List: _Reader.items,
    ast.Dict: _Reader.mapping,
    ast.Attribute: _Reader.attribute,
    ast.Subscript: _Reader.subscript,
    ast.UnaryOp: _Reader.unary,
}


def _function_name(node: ast.expr, frame: dict[str, Any]) -> str:
    """The full name of a function of the archive that is called by it; else empty."""
    if isinstance(node, ast.Name):
        named = frame.get(node.id)
        return named.name if isinstance(named, Function) else ""
    full = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
    return full if full.startswith("__torch__.") else ""


def _is_operator(node: ast.Attribute) -> bool:
    """Whether it is one of PyTorch's: `torch.tanh`, `ops.prim.NumToTensor`."""
    named = isinstance(node.value, ast.Name) and node.value.id in ("torch", "ops")
    return named or ast.unparse(node).startswith("ops.")
