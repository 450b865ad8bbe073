"""Writes a captured graph as TorchScript source."""

from __future__ import annotations

import keyword
import math
import operator
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from rnnbench.core.errors import RnnbenchError
from rnnbench.formats.torchscript.control_flow import BLOCKS, resolve

aten = torch.ops.aten

_INFIX = {
    operator.add: "+",
    operator.sub: "-",
    operator.mul: "*",
    operator.floordiv: "//",
    operator.mod: "%",
    operator.truediv: "/",
    operator.pow: "**",
    operator.eq: "==",
    operator.ne: "!=",
    operator.lt: "<",
    operator.le: "<=",
    operator.gt: ">",
    operator.ge: ">=",
    operator.and_: "and",
    operator.or_: "or",
}
_FUNCTIONS: dict[Any, str] = {
    torch.sym_max: "max",
    torch.sym_min: "min",
    torch.sym_float: "float",
    torch.sym_int: "int",
    math.trunc: "int",
    operator.neg: "-",
    torch.sym_not: "not ",
    operator.not_: "not ",
}
_CHECKS = ("_assert", "sym_constrain_range")  # what they check, the export has checked


def source_of(module: fx.GraphModule, inputs: Sequence[str]) -> str:
    """The graph as the source of a TorchScript method `forward`.

    Args:
        module: a functional graph of ATen calls and scans, with flat outputs.
        inputs: the arguments' names, in the order of the placeholders.
    """
    writer = Writer(module)
    placeholders = list(module.graph.find_nodes(op="placeholder"))
    for node, name in zip(placeholders, inputs, strict=True):
        writer.names[node] = _safe(name)
    writer.device = f"{writer.names[placeholders[0]]}.device"
    writer.write_body(module.graph, "")
    outputs = writer.value(module.graph.output_node().args[0])
    returns = len(module.graph.output_node().args[0])  # type: ignore[arg-type]
    if returns == 1:
        outputs = f"{outputs.strip('[](),')}"
    types = "Tensor" if returns == 1 else f"Tuple[{', '.join(['Tensor'] * returns)}]"
    arguments = ", ".join(f"{writer.names[p]}: Tensor" for p in placeholders)
    lines = [f"def forward(self, {arguments}) -> {types}:", *writer.lines]
    outputs = outputs if returns == 1 else f"({outputs.strip('[]()')})"
    return "\n".join([*lines, f"    return {outputs}", ""])


def tensors_of(module: fx.GraphModule) -> dict[str, torch.Tensor]:
    """The parameters and buffers that the source names, by the names that it gives them."""
    found = {}
    for path, tensor in [*module.named_parameters(), *module.named_buffers()]:
        found[_attribute(path)] = tensor
    for node in module.graph.find_nodes(op="get_attr"):
        value = resolve(module, str(node.target))
        if isinstance(value, torch.Tensor):
            found[_attribute(str(node.target))] = value
    return found


def _attribute(path: str) -> str:
    return "t_" + re.sub(r"\W", "_", path)


def _safe(name: str) -> str:
    return f"{name}_" if keyword.iskeyword(name) or name in ("self", "torch", "math") else name


_TEMPLATES: dict[Any, str] = {
    operator.getitem: "{0}[{1}]",
    aten.sym_size.int: "{0}.size({1})",
    aten.sym_numel.default: "{0}.numel()",
    torch.sym_ite: "({1} if {0} else {2})",
}


class Writer:
    """The lines of one method."""

    def __init__(self, module: fx.GraphModule) -> None:
        self.module = module
        self.lines: list[str] = []
        self.names: dict[fx.Node, str] = {}
        self.device = ""
        self.count = 0

    def fresh(self, stem: str) -> str:
        """A name that nothing else has."""
        self.count += 1
        return f"v{self.count}_{re.sub(r'[^A-Za-z0-9]', '_', stem)}"

    def line(self, text: str, indent: str) -> None:
        """Adds a line."""
        self.lines.append(f"    {indent}{text}")

    def write_body(self, graph: fx.Graph, indent: str, module: Any = None) -> None:
        """The lines of a graph's calls."""
        module = module or self.module
        for node in graph.nodes:
            if node.op == "get_attr":
                value = resolve(module, str(node.target))
                if isinstance(value, torch.Tensor):
                    self.names[node] = f"self.{_attribute(str(node.target))}"
            elif node.op == "call_function":
                self._write_call(node, indent, module)

    def _write_call(self, node: fx.Node, indent: str, module: Any) -> None:
        target: Any = node.target
        label = str(target)
        if any(check in label for check in _CHECKS):
            return
        if target in BLOCKS:
            BLOCKS[target](self, node, indent, module)
            return
        text = self._expression(node, target)
        if text is None:
            raise RnnbenchError(f"{label} has no TorchScript form: export to onnx or pt2 instead")
        self.names[node] = self.fresh(node.name)
        self.line(f"{self.names[node]} = {text}", indent)

    def _expression(self, node: fx.Node, target: Any) -> str | None:
        """What a node computes, as source; None where TorchScript has no form for it."""
        values = [self.value(a) for a in node.args]
        text = _spelled(node, target, values)
        if text is not None or not isinstance(target, torch._ops.OpOverload):
            return text
        arguments = target._schema.arguments
        texts = [self.value(a, str(s.type)) for a, s in zip(node.args, arguments, strict=False)]
        types = {s.name: str(s.type) for s in arguments}
        texts += [f"{k}={self.value(v, types.get(k, ''))}" for k, v in node.kwargs.items()]
        return (
            f"torch.ops.{target.namespace}.{target._schema.name.split('::')[1]}({', '.join(texts)})"
        )

    def value(self, a: Any, schema_type: str = "") -> str:
        """An argument as source."""
        if isinstance(a, fx.Node):
            return self.names[a]
        if isinstance(a, list | tuple):
            return self._list(a, schema_type)
        if isinstance(a, torch.device):
            # The device of the trace is not that of whoever runs the file (pytorch#34256).
            return self.device
        if isinstance(a, float) and not math.isfinite(a):
            return f"float('{a}')"
        if isinstance(a, torch.dtype | torch.layout | torch.memory_format):
            return str(a)
        return repr(a)

    def _list(self, a: Sequence[Any], schema_type: str) -> str:
        items = ", ".join(self.value(i) for i in a)
        if not a and "int" in schema_type.lower():
            return "torch.jit.annotate(List[int], [])"
        if any(i is None for i in a):
            return f"torch.jit.annotate(List[Optional[Tensor]], [{items}])"
        return f"[{items}]"


def _spelled(node: fx.Node, target: Any, values: Sequence[str]) -> str | None:
    """What has a spelling of its own in TorchScript; None for what is called by its name.

    sym_size.int(x, 1)  ->  x.size(1)        mul(s0, 2)  ->  (s0 * 2)
    """
    if target in _INFIX:
        return f"({values[0]} {_INFIX[target]} {values[1]})"
    if target in _FUNCTIONS:
        return f"{_FUNCTIONS[target]}({', '.join(values)})"
    if target in (aten.item.default, aten._local_scalar_dense.default):
        kind = {torch.SymInt: "int", torch.SymBool: "bool"}.get(type(node.meta["val"]), "float")
        return f"{kind}({values[0]}.item())"
    template = _TEMPLATES.get(target)
    return template.format(*values) if template is not None else None
