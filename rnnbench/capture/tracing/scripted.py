"""Runs a `torch.jit.ScriptModule` node by node in Python, so that `torch.export` can follow it.

Its own interpreter would turn every size into a number, and `torch.export` cannot call it at all
(it hands a scripted method its module twice). What is run is the graph of the method, with the
methods that it calls already in place. Tried on torch 2.11 to 2.14.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from rnnbench.core.errors import RnnbenchError

Call = Callable[..., Any]

# aten operators on Python values: where no tensor takes part, and sizes may be symbolic
_SCALAR: dict[str, Call] = {
    "add": operator.add,
    "add_": operator.iadd,  # of a list, `outputs += [y]`
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "floordiv": operator.floordiv,
    "remainder": operator.mod,
    "pow": operator.pow,
    "neg": operator.neg,
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "floor": math.floor,
    "ceil": math.ceil,
    "sqrt": math.sqrt,
    "log": math.log,
    "exp": math.exp,
    "__and__": operator.and_,
    "__or__": operator.or_,
}
_LAYERS = (
    "rnn_tanh",
    "rnn_relu",
    "gru",
    "lstm",
    "_pack_padded_sequence",
    "_pad_packed_sequence",
)
# operators of the language itself, on whatever they are given
_PYTHON: dict[str, Call] = {
    "__not__": operator.not_,
    "__is__": operator.is_,
    "__isnot__": operator.is_not,
    "__contains__": operator.contains,
    "__getitem__": operator.getitem,
    "append": lambda values, value: values.append(value),
    "extend": lambda values, more: values.extend(more),
    "insert": lambda values, at, value: values.insert(at, value),
    "pop": lambda values, *at: values.pop(*at),
    "reverse": lambda values: values.reverse(),
    "list": list,
    "keys": lambda values: list(values.keys()),
    "values": lambda values: list(values.values()),
    "items": lambda values: list(values.items()),
    "len": len,
    "dim": lambda x: x.dim(),
    "size": lambda x, *dim: x.shape[dim[0]] if dim else list(x.shape),
    "warn": lambda *_: None,
    "format": lambda text, *values: text.format(*values),
}
_PRIMITIVE: dict[str, Call] = {
    "unchecked_cast": lambda x: x,
    "unchecked_unwrap_optional": lambda x: x,
    "Uninitialized": lambda: None,
    "dtype": lambda x: x.dtype,
    "device": lambda x: x.device,
    "layout": lambda x: x.layout,
    "is_cuda": lambda x: x.is_cuda,
    "data": lambda x: x.detach(),
    "TupleConstruct": lambda *values: values,
    "ListConstruct": lambda *values: list(values),
    "DictConstruct": lambda *values: dict(zip(values[::2], values[1::2], strict=True)),
    "TupleIndex": operator.getitem,
    "NumToTensor": torch.tensor,
    "min": min,
    "max": max,
    "abs": abs,
}
_UNPACK = ("prim::TupleUnpack", "prim::ListUnpack")
_CONVERT = {"aten::Int": int, "aten::Float": float, "aten::Bool": bool}
_IMPLICIT = {"IntImplicit": "aten::Int", "FloatImplicit": "aten::Float"}


class Wrapped(torch.nn.Module):
    """A scripted module as the child of a plain one, since `torch.export` takes no other."""

    def __init__(self, script: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.script = script
        for tensor in script.parameters():
            # Those of a file that was loaded are plain tensors, which torch.export refuses; by this
            # mark `isinstance(tensor, Parameter)` is true (torch 2.11 to 2.13).
            tensor._is_param = True

    def forward(self, *inputs: Any) -> Any:
        """What the scripted module returns."""
        return self.script(*inputs)


@contextmanager
def scripts_standing_in(root: torch.nn.Module) -> Iterator[None]:
    """While it lasts, the methods of scripted modules below `root` are run here.

    Args:
        root: a module; one that is scripted itself has to be in a `Wrapped`.
    """
    scripted = [m for m in root.modules() if isinstance(m, torch.jit.ScriptModule)]
    before = [(module, dict(vars(module))) for module in scripted]
    try:
        for module in scripted:
            for name in module._c._method_names():
                method = module._c._get_method(name)
                vars(module)[name] = partial(run_scripted, module, method)
        yield
    finally:
        for module, names in before:
            vars(module).clear()
            vars(module).update(names)


def run_scripted(module: torch.nn.Module, method: Any, *inputs: Any) -> Any:
    """Runs a method of a scripted module.

    Args:
        module: the scripted module.
        method: its method.
        inputs: the arguments, without the module.

    Raises:
        RnnbenchError: the method keeps a state in an attribute, or does what is not known here.
    """
    graph = method.inlined_graph
    _, *parameters = method.schema.arguments
    if len(inputs) > len(parameters):
        raise TypeError(f"{method.name}() takes {len(parameters)} arguments, not {len(inputs)}")
    given = [module, *inputs, *(p.default_value for p in parameters[len(inputs) :])]
    env = {i.debugName(): value for i, value in zip(graph.inputs(), given, strict=True)}
    (result,) = _Interpreter().run(graph, env)
    return result


class _Interpreter:
    """The values of one call, by name; blocks see those around them."""

    def __init__(self) -> None:
        self._env: dict[str, Any] = {}

    def run(self, block: Any, given: dict[str, Any]) -> list[Any]:
        """Runs a graph or a block; returns what it returns."""
        self._env.update(given)
        for node in block.nodes():
            self._step(node)
        return [self._env[o.debugName()] for o in block.outputs()]

    def _step(self, node: Any) -> None:
        kind = node.kind()
        if kind == "prim::If":
            values = self._branch(node)
        elif kind == "prim::Loop":
            values = self._loop(node)
        elif kind == "prim::Constant":
            values = [node.output().toIValue()]
        else:
            arguments = [self._env[i.debugName()] for i in node.inputs()]
            value = arguments[0] if kind in _UNPACK else self._value(node, kind, arguments)
            several = kind in _UNPACK or node.outputsSize() > 1
            values = list(value) if several else [value]
        outputs = list(node.outputs())
        for output, value in zip(outputs, values[: len(outputs)], strict=True):
            self._env[output.debugName()] = value

    def _branch(self, node: Any) -> list[Any]:
        condition = self._env[node.inputsAt(0).debugName()]
        chosen = list(node.blocks())[0 if condition else 1]
        return self.run(chosen, {})

    def _loop(self, node: Any) -> list[Any]:
        # prim::Loop(most trips, first condition, carried...); its body gets the number of the step.
        trips, going, *carried = (self._env[i.debugName()] for i in node.inputs())
        (body,) = node.blocks()
        names = [i.debugName() for i in body.inputs()]
        step = 0
        while going and step < trips:
            given = dict(zip(names, [step, *carried], strict=True))
            going, *carried = self.run(body, given)
            step += 1
        return carried

    def _value(self, node: Any, kind: str, arguments: list[Any]) -> Any:
        if kind == "prim::GetAttr":
            return getattr(arguments[0], node.s("name"))
        if kind == "prim::SetAttr":
            raise RnnbenchError(
                f"a scripted module keeps its state in self.{node.s('name')}: take it as an input "
                "and return it"
            )
        if kind == "prim::RaiseException":
            raise RuntimeError(str(arguments[0]))
        space, _, name = kind.partition("::")
        if kind in _CONVERT or name in _IMPLICIT:
            return self._number(_IMPLICIT.get(name, kind), arguments[0])
        tensors = any(isinstance(a, torch.Tensor) for a in arguments)
        if space == "prim" and name in _PRIMITIVE:
            return _PRIMITIVE[name](*arguments)
        if space == "aten":
            # A list's or a number's operators have the names of tensors' ones.
            if name in _PYTHON:
                return _PYTHON[name](*arguments)
            if name in _SCALAR and not tensors:
                return _SCALAR[name](*arguments)
            return self._operator(node, name, arguments)
        raise RnnbenchError(
            f"a scripted module uses {kind}, which cannot be captured: give the module as it was "
            "before it was scripted"
        )

    def _number(self, kind: str, value: Any) -> Any:
        """A number from a tensor, or from a number (a symbolic size stays one)."""
        if isinstance(value, torch.Tensor):
            value = value.item()
        return value if isinstance(value, torch.SymInt) else _CONVERT[kind](value)

    def _operator(self, node: Any, name: str, arguments: list[Any]) -> Any:
        if name in _LAYERS:
            return getattr(torch, name)(*arguments)
        # The overload that TorchScript chose, by its schema: no other may be taken for it.
        schema = torch._C.parse_schema(node.schema())
        function = getattr(getattr(torch.ops.aten, name), schema.overload_name or "default")
        named = [a.name if a.kwarg_only else None for a in schema.arguments]
        positional = [v for v, key in zip(arguments, named, strict=True) if key is None]
        keywords = {k: v for v, k in zip(arguments, named, strict=True) if k and v is not None}
        return function(*positional, **keywords)
