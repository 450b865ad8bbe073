"""Control flow in TorchScript source: a scan is a `for`, a while_loop a `while`, a cond an `if`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import fx

from rnnbench.capture.operators.scan import COND, SCAN, WHILE_LOOP


class Writing(Protocol):
    """What the functions here need of `scripting.Writer`."""

    names: dict[fx.Node, str]

    def fresh(self, stem: str) -> str:
        """A name that nothing else has."""

    def line(self, text: str, indent: str) -> None:
        """Adds a line."""

    def value(self, a: Any, schema_type: str = "") -> str:
        """An argument as source."""

    def write_body(self, graph: fx.Graph, indent: str, module: Any = None) -> None:
        """The lines of a graph's calls."""


def resolve(module: torch.nn.Module, path: str) -> Any:
    """What a `get_attr` node stands for."""
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part)
    return value


def write_scan(writer: Writing, node: fx.Node, indent: str, module: Any) -> None:
    """`scan(body, init, xs, extras)`: its results are a list, carried values first."""
    body_node, init, xs, extras = node.args
    body = resolve(module, str(body_node.target))  # type: ignore[union-attr]
    carries = _carried(writer, init, indent)
    results = _results(body)
    values = [writer.fresh("steps") for _ in results[len(carries) :]]
    for name in values:
        writer.line(f"{name} = torch.jit.annotate(List[Tensor], [])", indent)
    step = writer.fresh("step")
    writer.line(f"for {step} in range({writer.value(xs[0])}.size(0)):", indent)  # type: ignore[index]
    inner = indent + "    "
    taken = [f"torch.select({writer.value(x)}, 0, {step})" for x in xs]  # type: ignore[union-attr]
    per_step = [writer.fresh("x") for _ in taken]
    for name, text in zip(per_step, taken, strict=True):
        writer.line(f"{name} = {text}", inner)
    given = [*carries, *per_step, *map(writer.value, extras)]  # type: ignore[arg-type]
    after = _call(writer, body, given, inner)
    for name, value in zip(values, after[len(carries) :], strict=True):
        writer.line(f"{name}.append({value})", inner)
    _assign(writer, carries, after[: len(carries)], inner)
    stacked = [f"torch.stack({name}, 0)" for name in values]
    writer.names[node] = writer.fresh("scan")
    writer.line(f"{writer.names[node]} = [{', '.join([*carries, *stacked])}]", indent)


def write_while(writer: Writing, node: fx.Node, indent: str, module: Any) -> None:
    """`while_loop(condition, body, carried, extras)`."""
    condition_node, body_node, init, extras = node.args
    condition, body = (
        resolve(module, str(n.target))  # type: ignore[union-attr]
        for n in (condition_node, body_node)
    )
    carries = _carried(writer, init, indent)
    given = [*carries, *map(writer.value, extras)]  # type: ignore[arg-type]
    going, inner = writer.fresh("going"), indent + "    "
    (first,) = _call(writer, condition, given, indent)
    writer.line(f"{going} = {_truth(condition, first)}", indent)
    writer.line(f"while {going}:", indent)
    _assign(writer, carries, _call(writer, body, given, inner), inner)
    (again,) = _call(writer, condition, given, inner)
    writer.line(f"{going} = {_truth(condition, again)}", inner)
    writer.names[node] = writer.fresh("loop")
    writer.line(f"{writer.names[node]} = [{', '.join(carries)}]", indent)


def write_cond(writer: Writing, node: fx.Node, indent: str, module: Any) -> None:
    """`cond(predicate, true, false, operands)`."""
    predicate, *branches, operands = node.args
    given = [writer.value(o) for o in operands]  # type: ignore[union-attr]
    writer.names[node] = writer.fresh("cond")
    symbolic = isinstance(getattr(predicate, "meta", {}).get("val"), torch.SymBool)
    text = writer.value(predicate)
    starts = (f"if {text}:" if symbolic else f"if bool({text}):", "else:")
    for start, branch in zip(starts, branches, strict=True):
        writer.line(start, indent)
        body = resolve(module, str(branch.target))  # type: ignore[union-attr]
        results = _call(writer, body, given, indent + "    ")
        writer.line(f"{writer.names[node]} = [{', '.join(results)}]", indent + "    ")


BLOCKS: dict[Any, Callable[[Any, fx.Node, str, Any], None]] = {
    SCAN: write_scan,
    WHILE_LOOP: write_while,
    COND: write_cond,
}


def _carried(writer: Writing, init: Any, indent: str) -> list[str]:
    """A variable for each carried value, which has its first value."""
    names = [writer.fresh("carry") for _ in init]
    for name, value in zip(names, init, strict=True):
        writer.line(f"{name} = {writer.value(value)}", indent)
    return names


def _assign(writer: Writing, names: Sequence[str], values: Sequence[str], indent: str) -> None:
    if names:
        writer.line(f"{', '.join(names)} = {', '.join(values)}", indent)


def _results(body: fx.GraphModule) -> list[Any]:
    returned = body.graph.output_node().args[0]
    return list(returned) if isinstance(returned, list | tuple) else [returned]


def _call(writer: Writing, body: fx.GraphModule, given: Sequence[str], indent: str) -> list[str]:
    """Writes a body out; returns its results as source."""
    for holder, text in zip(body.graph.find_nodes(op="placeholder"), given, strict=True):
        writer.names[holder] = text
    writer.write_body(body.graph, indent, body)
    return [writer.value(r) for r in _results(body)]


def _truth(condition: fx.GraphModule, text: str) -> str:
    """A condition's result as a bool: it is a tensor, or already one."""
    (result,) = _results(condition)
    value = result.meta.get("val") if isinstance(result, fx.Node) else result
    return f"bool({text})" if isinstance(value, torch.Tensor) else text
