"""What a module's inputs and outputs may be: from its signature and layers, tried out by a run."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Model, Role, TensorSpec
from rnnbench.models.declaration.ragged_dims import untie

if TYPE_CHECKING:
    import torch
    from torch import nn

_LENGTHS = re.compile(r"(.*_)?(len|lens|length|lengths|seq_?lens?)", re.IGNORECASE)
_STATE = re.compile(
    r"(.*_)?([hc]_?[0nx]?|hidden|cell|state|states|memory_state|hiddens)(_in|_prev)?", re.IGNORECASE
)
_IDS = re.compile(r"(.*_)?(ids?|idx|tokens?|indices|words|chars|symbols|text)", re.IGNORECASE)
_BATCH_FIRST = re.compile(r"unbind\(1\)|unbind\(dim=1\)|size\(1\)|shape\[1\]|\[:, *\w+(\]|, )")
_TRIES = 200


@dataclass(frozen=True)
class Guess:
    """A declaration, and how sure one can be of it.

    Attributes:
        inputs: one for each argument of `forward` that is taken.
        outputs: their names.
        states: input -> output.
        ran: whether the module ran with these inputs.
        left_out: arguments of `forward` that keep their defaults.
        why: why it did not run.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...] = ("y",)
    states: Mapping[str, str] = field(default_factory=dict)
    ran: bool = False
    left_out: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class _Argument:
    name: str
    role: Role
    ids: bool
    optional: bool


def guess(cls: type[nn.Module], module: nn.Module | None) -> Guess:
    """Guesses the declaration of a module.

    Args:
        cls: its class.
        module: an object of it, to look at the layers of and to run; None where it is not to be
            had: then the inputs have no sizes but their names.
    """
    arguments, left_out = _arguments(cls)
    if module is None:
        specs = tuple(_specs(a, None, batch_first=_batch_first(cls, None))[0] for a in arguments)
        return Guess(specs, left_out=left_out)
    while True:
        found = _try(cls, module, arguments)
        if found.ran or not arguments[-1].optional or len(arguments) == 1:
            return replace(found, left_out=left_out)
        left_out = (arguments[-1].name, *left_out)  # an LSTM's tuple of states, say
        arguments = arguments[:-1]


def _arguments(cls: type[nn.Module]) -> tuple[list[_Argument], tuple[str, ...]]:
    """The arguments of `forward` that are tensors, up to the first that keeps its default."""
    parameters = list(inspect.signature(cls.forward).parameters.values())[1:]
    taken: list[_Argument] = []
    for i, p in enumerate(parameters):
        by_place = p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        optional = p.default is not p.empty
        role: Role = "data"
        if _LENGTHS.fullmatch(p.name):
            role = "lengths"
        elif _STATE.fullmatch(p.name):
            role = "state"
        unknown = p.default is not None or role == "data"
        if not by_place or (optional and unknown):
            return taken, tuple(rest.name for rest in parameters[i:])
        taken.append(_Argument(p.name, role, bool(_IDS.fullmatch(p.name)), optional))
    return taken, ()


def _try(cls: type[nn.Module], module: nn.Module, arguments: Sequence[_Argument]) -> Guess:
    """The first combination of candidates that the module runs with; else the first of all."""
    batch_first = _batch_first(cls, module)
    candidates = [_specs(a, module, batch_first=batch_first) for a in arguments]
    why = ""
    for specs in itertools.islice(itertools.product(*candidates), _TRIES):
        try:
            returned = _run(module, specs)
        except Exception as error:  # a user's module may raise anything
            why = why or one_line(error)
            continue
        if returned is not None:
            outputs, states = _outputs(returned, specs)
            specs = untie(specs, lambda tried, dims: _shapes(module, tried, dims))
            return Guess(specs, outputs, states, ran=True)
    return Guess(tuple(c[0] for c in candidates), why=why)


def _run(module: nn.Module, specs: tuple[TensorSpec, ...]) -> Any:
    """What it returns at two sizes of batch and time; None where that is no tensor."""
    import torch

    returned = None
    for dims in ({"batch": 2, "time": 9}, {"batch": 3, "time": 12}):
        returned = _call(module, specs, dims)
    leaves = _leaves(returned)
    return returned if leaves and all(isinstance(v, torch.Tensor) for v in leaves) else None


def _call(module: nn.Module, specs: tuple[TensorSpec, ...], dims: Mapping[str, int]) -> Any:
    """What it returns at some sizes, 16 where none is given."""
    import torch

    from rnnbench.core.model import sample_inputs
    from rnnbench.models.calls import undisturbed

    model = Model(module, specs, ("_",), name="draft")
    arrays = sample_inputs(model, {d: dims.get(d, 16) for d in model.dims}, 0)
    with undisturbed(module), torch.no_grad():
        return module(*(torch.from_numpy(arrays[s.name]) for s in specs))


def _shapes(
    module: nn.Module, specs: tuple[TensorSpec, ...], dims: Mapping[str, int]
) -> list[tuple[int, ...]]:
    return [tuple(leaf.shape) for leaf in _leaves(_call(module, specs, dims))]


def _leaves(returned: Any) -> list[Any]:
    from torch.utils import _pytree

    return [leaf for leaf in _pytree.tree_leaves(returned) if leaf is not None]


def _outputs(returned: Any, specs: Sequence[TensorSpec]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Names of the outputs; one that has the shape of a state is what the state becomes."""
    leaves = _leaves(returned)
    taken = {spec.name for spec in specs}
    if isinstance(returned, dict) and len(returned) == len(leaves):
        keys = tuple(map(str, returned))
        if all(k.isidentifier() and k not in taken for k in keys):
            return keys, {}
    waiting = [s for s in specs if s.role == "state"]
    names: list[str] = []
    states: dict[str, str] = {}
    for i, leaf in enumerate(leaves):
        left = len(leaves) - i
        if waiting and left <= len(waiting) and _fits(leaf, waiting[0]):
            state = waiting.pop(0).name
            name = re.sub(r"_?0$|(?<=^[hc])x$", "", state) + "n"
            states[state] = name = _fresh(name, taken)
        else:
            name = _fresh("y" if not names else f"y{len(names) + 1}", taken)
        names.append(name)
        taken.add(name)
    return tuple(names), states


def _fits(leaf: torch.Tensor, spec: TensorSpec) -> bool:
    return len(leaf.shape) == len(spec.shape) and all(
        isinstance(declared, str) or declared == size
        for size, declared in zip(leaf.shape, spec.shape, strict=True)
    )


def _fresh(name: str, taken: set[str]) -> str:
    return name if name not in taken else _fresh(f"{name}_out", taken)


def _batch_first(cls: type[nn.Module], module: nn.Module | None) -> bool:
    """As the first recurrent layer says, else as the code looks."""
    if module is not None:
        for part in module.modules():
            if isinstance(getattr(part, "batch_first", None), bool):
                return bool(part.batch_first)
    try:
        source = inspect.getsource(cls.forward)
    except (OSError, TypeError):
        return False
    return bool(_BATCH_FIRST.search(source)) or "batch_first=True" in source


def _specs(argument: _Argument, module: nn.Module | None, *, batch_first: bool) -> list[TensorSpec]:
    """What an argument may be, the likeliest first; without a module its features are unknown."""
    name, rows = argument.name, ("batch", "time") if batch_first else ("time", "batch")
    if argument.role == "lengths":
        return [TensorSpec(name, ("batch",), dtype="int64", role="lengths")]
    parts = [] if module is None else list(module.modules())
    dtype = _dtype(module)
    if argument.role == "state":
        shapes = dict.fromkeys(s for part in parts for s in _state_shapes(part, name))
        shapes = shapes or {(1, "batch", "hidden"): None}
        return [TensorSpec(name, s, dtype, "state") for s in shapes]
    floats = dict.fromkeys(s for part in parts for s in _data_shapes(part, rows))
    floats[(*rows, "features")] = None
    data = [TensorSpec(name, shape, dtype) for shape in floats]
    highs = dict.fromkeys(h for part in parts if (h := getattr(part, "num_embeddings", None)))
    ids = [TensorSpec(name, rows, "int64", high=high) for high in highs]
    if argument.ids:
        return [*(ids or [TensorSpec(name, rows, "int64", high=2)]), *data]
    return [*data, *ids]


def _state_shapes(part: nn.Module, name: str) -> Iterator[tuple[int | str, ...]]:
    """The states of one layer; an LSTM with projections has an h of its own size."""
    from torch import nn

    if isinstance(part, nn.RNNBase):
        directions = 2 if part.bidirectional else 1
        size = part.hidden_size if name.startswith("c") else part.proj_size or part.hidden_size
        yield (part.num_layers * directions, "batch", size)
    elif isinstance(part, nn.RNNCellBase):
        yield ("batch", part.hidden_size)
        yield (1, "batch", part.hidden_size)


def _data_shapes(part: nn.Module, rows: tuple[str, str]) -> Iterator[tuple[int | str, ...]]:
    """What one layer takes."""
    from torch import nn

    if isinstance(part, nn.RNNBase | nn.RNNCellBase):
        yield (*rows, part.input_size)
    elif isinstance(part, nn.Linear):
        yield (*rows, part.in_features)
    elif isinstance(part, nn.LayerNorm) and len(part.normalized_shape) == 1:
        yield (*rows, part.normalized_shape[0])
    elif isinstance(part, nn.Conv1d):
        yield ("batch", part.in_channels, "time")
        yield ("batch", "time", part.in_channels)
    elif isinstance(part, nn.Conv2d):
        for height in (80, 64, 40, 32, 28, 16):
            yield ("batch", part.in_channels, height, "time")
            yield ("batch", part.in_channels, "time", height)


def _dtype(module: nn.Module | None) -> str:
    parameter = None if module is None else next(module.parameters(), None)
    name = "float32" if parameter is None else str(parameter.dtype).removeprefix("torch.")
    return name if name in ("float16", "float32", "float64") else "float32"


def require_forward(cls: type[nn.Module], where: str) -> None:
    """Raises where a class has no `forward` with an argument."""
    from torch import nn

    own = getattr(cls, "forward", None)
    if own is None or own is nn.Module.forward:
        raise RnnbenchError(f"{where} has no forward method: give the class of the whole network")
    if not _arguments(cls)[0]:
        raise RnnbenchError(
            f"{where}.forward takes no tensor by its place: wrap it in a module that does"
        )
