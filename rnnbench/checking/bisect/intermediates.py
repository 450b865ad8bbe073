"""The values that a bundle's captured program computes on the way, by the names of its nodes.

The captured program is had by capturing the module again, where its code is here, or from the
bundle's model.pt2, which is loaded in a process of its own, with limits, since it is a program.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnbench.core.bundle import Bundle
from rnnbench.core.collector import ending_at_once
from rnnbench.core.errors import RnnbenchError, Unavailable, lacks_memory, one_line
from rnnbench.core.model import Arrays
from rnnbench.core.processes import end_with_parent, limit_memory, run_limited
from rnnbench.core.temporary import temporary_folder
from rnnbench.runtimes.pool import Isolation

if TYPE_CHECKING:
    from torch import fx
    from torch.export import ExportedProgram

    from rnnbench.core.model import Model

LIMITS = Isolation(seconds=300.0)  # of the process that loads and evaluates model.pt2


@dataclass(frozen=True)
class Values:
    """What a program computes.

    Attributes:
        exact: in float64, by node; the outputs have their declared names.
        own: in its own precision: its distance to `exact` is the noise floor.
    """

    exact: Arrays
    own: Arrays


@dataclass(frozen=True)
class Reference:
    """A program whose values on the way can be had for any inputs.

    Attributes:
        origin: where it is from, in words.
        precise: its names are those of the ONNX graph's values (of a .pt2, most of them are).
        places: node -> the submodule's path, and `file:line` of the model's code.
        run: inputs by name -> its values.
        model: the module that it was captured from, where its code is here.
    """

    origin: str
    precise: bool
    run: Callable[[Arrays], Values] = field(repr=False)
    places: dict[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    model: Model | None = field(default=None, repr=False)


def find_reference(bundle: Bundle) -> Reference:
    """The captured program of a bundle.

    Raises:
        Unavailable: neither the model's code nor a model.pt2 is here.
        RnnbenchError: the code or the file is there, and is not what the bundle was made of.
    """
    from rnnbench.models.calls import read_weights
    from rnnbench.models.rebuild import rebuild

    try:
        model = rebuild(bundle)
    except Unavailable as error:
        if "pt2" in bundle.artifacts:
            return Reference(
                "model.pt2 in float64", False, lambda inputs: _in_a_process(bundle, inputs)
            )
        raise Unavailable(f"{one_line(error)}; or export the format pt2 as well") from None
    try:
        model.module.load_state_dict(read_weights(bundle.path))
    except RuntimeError as error:
        raise RnnbenchError(
            f"the weights of {bundle.path} do not fit the module that its source builds "
            f"({one_line(error)}): the code has changed, export it again"
        ) from None
    return recapture(bundle, model)


def recapture(bundle: Bundle, model: Model) -> Reference:
    """The program that `export` captured, captured again from the module with its weights."""
    from rnnbench.capture.again import captured_again
    from rnnbench.formats.onnx import translate

    program = translate(captured_again(bundle, model)).exported_program
    assert program is not None

    def run(inputs: Arrays) -> Values:
        own = evaluate(program, bundle, inputs)
        return Values(_exact(program, bundle, inputs, own), own)

    origin = "the module in float64, captured again"
    return Reference(origin, True, run, _places(program, bundle), model)


def evaluate(
    program: ExportedProgram, bundle: Bundle, inputs: Arrays, *, double: bool = False
) -> Arrays:
    """Every tensor that the program computes for the inputs, by node; outputs as declared.

    Args:
        program: parameters and buffers are its first inputs.
        bundle: names the inputs and outputs.
        inputs: the arrays by name.
        double: in float64.
    """
    import torch

    def wide(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.double() if double and tensor.is_floating_point() else tensor

    graph = _widened(program.graph_module) if double else program.graph_module
    given = iter(torch.from_numpy(np.array(inputs[spec.name])) for spec in bundle.inputs)
    tensors = []
    for spec in program.graph_signature.input_specs:
        name = spec.target
        if spec.kind.name == "USER_INPUT":
            tensors.append(wide(next(given)))
        else:
            held = program.state_dict if name in program.state_dict else program.constants
            tensors.append(wide(held[str(name)].detach()))
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64 if double else default)
    try:
        with torch.no_grad():
            values = _record(graph, tensors)
    finally:
        torch.set_default_dtype(default)
    produced = program.graph_signature.user_outputs
    return values | {
        name: values[str(node)]
        for name, node in zip(bundle.outputs, produced, strict=True)
        if str(node) in values
    }


def _record(graph: fx.GraphModule, tensors: Sequence[Any]) -> Arrays:
    import torch
    from torch import fx

    values: Arrays = {}

    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            result = super().run_node(n)
            unset = "empty" in str(n.target)  # memory that nobody has written to yet
            if isinstance(result, torch.Tensor) and not unset:
                values[n.name] = np.array(result.detach().numpy())
            return result

    Recorder(graph).run(*tensors)
    return values


def _widened(graph: fx.GraphModule) -> fx.GraphModule:
    """A copy that has float64 where nodes name float32, in the bodies of scans as well."""
    import torch
    from torch import fx

    from rnnbench.core.known_warnings import export_warnings

    def widened(value: Any) -> Any:
        return torch.float64 if value is torch.float32 else value

    with export_warnings():
        graph = copy.deepcopy(graph)
    for part in graph.modules():
        if isinstance(part, fx.GraphModule):
            for node in part.graph.nodes:
                node.args = fx.node.map_aggregate(node.args, widened)
                node.kwargs = fx.node.map_aggregate(node.kwargs, widened)
            part.recompile()
    return graph


def _exact(program: ExportedProgram, bundle: Bundle, inputs: Arrays, own: Arrays) -> Arrays:
    try:
        return evaluate(program, bundle, inputs, double=True)
    except Exception:  # a program that insists on float32: its own values are the best there is
        return {n: a.astype(np.float64) if a.dtype.kind == "f" else a for n, a in own.items()}


def _places(program: ExportedProgram, bundle: Bundle) -> dict[str, tuple[str, str]]:
    from rnnbench.capture.source_lines import source_line

    found = {}
    for node in program.graph.nodes:
        stack = [str(path) for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
        module = stack[-1] if stack and "metadata_hook" not in stack[-1] else ""
        found[node.name] = (module, source_line(node))
    produced = program.graph_signature.user_outputs
    return found | {n: found[str(p)] for n, p in zip(bundle.outputs, produced, strict=True)}


# -- model.pt2, in a process of its own ----------------------------------------------------------


def _in_a_process(bundle: Bundle, inputs: Arrays) -> Values:
    from pathlib import Path

    with temporary_folder() as folder:
        given, made = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(given, **inputs)  # type: ignore[arg-type]
        try:
            words = (str(LIMITS.memory), str(bundle.path), str(given), str(made))
            run_limited(__spec__.name, *words, seconds=LIMITS.seconds)
        except RnnbenchError as error:
            raise RnnbenchError(f"{bundle.path}/model.pt2 cannot be evaluated ({error})") from None
        with np.load(made, allow_pickle=False) as stored:
            parts: dict[str, Arrays] = {"exact": {}, "own": {}}
            for key in stored.files:
                part, _, name = key.partition("/")
                parts[part][name] = stored[key]
    return Values(parts["exact"], parts["own"])


def _main(memory: str, folder: str, given: str, made: str) -> None:
    import torch

    import rnnbench.capture.operators.recurrence  # noqa: F401  (an older bundle's program may hold our operator)
    from rnnbench.core.known_warnings import export_warnings

    bundle = Bundle.open(folder)
    limit_memory(int(memory))
    with np.load(given, allow_pickle=False) as stored:
        inputs = {name: stored[name] for name in stored.files}
    with export_warnings():
        program = torch.export.load(str(bundle.artifacts["pt2"].path))
    own = evaluate(program, bundle, inputs)
    exact = _exact(program, bundle, inputs, own)
    parts = {f"{part}/{n}": a for part, v in (("exact", exact), ("own", own)) for n, a in v.items()}
    np.savez(made, **parts)  # type: ignore[arg-type]


if __name__ == "__main__":
    end_with_parent()
    ending_at_once()
    try:
        _main(*sys.argv[1:])
    except Exception as error:  # anybody's program: the parent reads the last line
        limit = f"out of memory (limit {int(sys.argv[1]) / 2**30:.1f} GB)"
        sys.exit(limit if lacks_memory(error) else one_line(error))
