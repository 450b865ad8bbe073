"""Damages to a TorchScript file, as a wrapper around it, and to the numbers and nodes of a .pt2."""

import io
import warnings

import numpy as np
import torch
from torch import nn

from rnnbench.core.known_warnings import export_warnings, torchscript_deprecation


class Wrapped(nn.Module):
    """A module around a sound one, wrong where a condition holds: tensor code, to be traced."""

    def __init__(self, inner, specs, outputs, condition, effect):
        super().__init__()
        self.inner, self.specs, self.outputs = inner, specs, outputs
        self.condition, self.effect = condition, effect

    def forward(self, *given):
        returned = self.inner(*given)
        returned = returned if isinstance(returned, tuple) else (returned,)
        when = CONDITIONS[self.condition](
            dict(zip([s.name for s in self.specs], given, strict=True)), self.specs
        )
        if when is None:
            raise LookupError
        made = []
        for tensor, dims in zip(returned, self.outputs, strict=True):
            changed = EFFECTS[self.effect](tensor, dims) if tensor.is_floating_point() else None
            made.append(tensor if changed is None else torch.where(when, changed, tensor))
        if all(a is b for a, b in zip(made, returned, strict=True)):
            raise LookupError
        return tuple(made) if len(made) > 1 else made[0]


def _size(dim, holds):
    def condition(given, specs):
        spec = next((s for s in specs if dim in s.shape), None)
        if spec is None:
            return None
        # Counted, so that a trace keeps it open.
        other = torch.ones_like(given[spec.name], dtype=torch.float32)
        for axis in reversed(range(other.dim())):
            if axis != spec.shape.index(dim):
                other = other.select(axis, 0)
        return holds(other.sum())

    return condition


def _largest(role, number):
    def condition(given, specs):
        spec = next((s for s in specs if s.role == role and s.dtype == "float32"), None)
        return None if spec is None else given[spec.name].abs().max() > number

    return condition


def _lengths(holds):
    def condition(given, specs):
        spec = next((s for s in specs if s.role == "lengths"), None)
        return None if spec is None else holds(given[spec.name])

    return condition


CONDITIONS = {
    "always": _size("batch", lambda n: n > 0),
    "batch >= 8": _size("batch", lambda n: n >= 8),
    "batch == 17": _size("batch", lambda n: n == 17),
    "time == 2": _size("time", lambda n: n == 2),
    "time > 32": _size("time", lambda n: n > 32),
    "time > 128": _size("time", lambda n: n > 128),
    "time > 256": _size("time", lambda n: n > 256),
    "time > 1000": _size("time", lambda n: n > 1000),
    "time > 4000": _size("time", lambda n: n > 4000),
    "time % 32 == 1": _size("time", lambda n: n % 32 == 1),
    "inputs > 10": _largest("data", 10.0),
    "inputs > 100": _largest("data", 100.0),
    "state > 2.5": _largest("state", 2.5),
    "state > 100": _largest("state", 100.0),
    "lengths equal": _lengths(lambda n: n.max() == n.min()),
    "lengths one": _lengths(lambda n: n.max() == 1),
}


def _one_row(tensor, dims):
    axis = dims.get("batch")
    return None if axis is None else tensor.narrow(axis, 0, 1).expand_as(tensor)


def _late(tensor, dims):
    axis = dims.get("time")
    if axis is None:
        return None
    return torch.cat(
        [tensor.narrow(axis, 0, 1), tensor.narrow(axis, 0, tensor.shape[axis] - 1)], axis
    )


EFFECTS = {
    "scaled": lambda tensor, dims: tensor * 1.01,
    "half": lambda tensor, dims: tensor.half().float(),
    "one row": _one_row,
    "late": _late,
    "rows leak": lambda tensor, dims: tensor + 1e-2 * tensor.mean(),
    "at most 100": lambda tensor, dims: tensor.clamp(-0.5, 0.5),
}

SCRIPTED = {
    f"{effect} where {condition}": (condition, effect)
    for condition in CONDITIONS
    for effect in (EFFECTS if condition == "always" else ("scaled", "one row"))
}


def _weights_of(module):
    """The constants in the code, and the parameters: tensors of floats, to be edited."""
    graph = module.inlined_graph
    found = [p for p in module.state_dict().values() if p.is_floating_point()]
    for node in graph.findAllNodes("prim::Constant"):
        if node.output().type().kind() == "TensorType" and node.hasAttribute("value"):
            found.append(node.t("value"))
    return graph, [t for t in found if t.is_floating_point() and t.numel() > 3]


@torch.no_grad()
def _scale_one(tensor, rng):
    flat = tensor.view(-1)
    flat[int(rng.integers(flat.numel()))] *= 1.05


@torch.no_grad()
def _row_zero(tensor, rng):
    rows = tensor.view(-1, tensor.shape[-1])
    rows[int(rng.integers(len(rows)))] = 0


@torch.no_grad()
def _half(tensor, rng):
    tensor.copy_(tensor.half().float())


@torch.no_grad()
def _negated(tensor, rng):
    tensor.neg_()


@torch.no_grad()
def _shifted(tensor, rng):
    tensor.add_(1e-3)


WEIGHTS = {
    "element scaled": _scale_one,
    "row zero": _row_zero,
    "tensor in float16": _half,
    "tensor negated": _negated,
    "tensor shifted": _shifted,
}

NODES = {
    "sigmoid for tanh": (torch.ops.aten.tanh.default, torch.ops.aten.sigmoid.default),
    "tanh for sigmoid": (torch.ops.aten.sigmoid.default, torch.ops.aten.tanh.default),
    "sub for add": (torch.ops.aten.add.Tensor, torch.ops.aten.sub.Tensor),
    "relu for tanh": (torch.ops.aten.tanh.default, torch.ops.aten.relu.default),
}

KINDS = {
    "torchscript": (*SCRIPTED, *WEIGHTS),
    "pt2": (*WEIGHTS, *NODES),
}


def damage_torchscript(path, kind, rng, model, sizes, axes):
    """Whether the kind applies; the file is damaged then."""
    with torchscript_deprecation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inner = torch.jit.load(str(path))
        if kind in WEIGHTS:
            graph, found = _weights_of(inner)
            if not found:
                return False
            tensor = found[int(rng.integers(len(found)))]
            before = tensor.clone()
            WEIGHTS[kind](tensor, rng)
            changed = None if torch.equal(before, tensor) else inner
            del graph
        else:
            condition, effect = SCRIPTED[kind]
            examples = tuple(
                torch.full(spec.resolve(sizes), sizes["time"] if spec.role == "lengths" else 1).to(
                    getattr(torch, spec.dtype)
                )
                for spec in model.inputs
            )
            wrapped = Wrapped(inner, model.inputs, axes, condition, effect).eval()
            try:
                changed = torch.jit.trace(wrapped, examples, check_trace=False)
            except LookupError:
                return False
        if changed is None:
            return False
        whole = io.BytesIO()
        torch.jit.save(changed, whole)
    path.write_bytes(whole.getvalue())
    return True


def damage_pt2(path, kind, rng):
    """Whether the kind applies; the file is damaged then."""
    with export_warnings():
        program = torch.export.load(str(path))
        if kind in WEIGHTS:
            held = {**program.state_dict, **program.constants}
            found = [t for t in held.values() if t.is_floating_point() and t.numel() > 3]
            if not found:
                return False
            tensor = found[int(rng.integers(len(found)))]
            before = tensor.detach().clone()
            WEIGHTS[kind](tensor.data, rng)
            if torch.equal(before, tensor):
                return False
        else:
            old, new = NODES[kind]
            parts = [
                m for m in program.graph_module.modules() if isinstance(m, torch.fx.GraphModule)
            ]
            nodes = [n for part in parts for n in part.graph.nodes if n.target is old]
            if not nodes:
                return False
            nodes[int(rng.integers(len(nodes)))].target = new
            for part in parts:
                part.recompile()
        torch.export.save(program, str(path))
    return True


def random_of(*words):
    """A generator that is the same for the same words."""
    import zlib

    return np.random.default_rng(zlib.crc32("/".join(map(str, words)).encode()))
