"""A call of a module as an example: its tensors by name, and what stays as it was.

net(x, (h, c), None, scale=2.0)   ->   x, state_0, state_1, beside the constants None and 2.0
"""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import DTYPES, unwrapped
from rnnbench.models.binding import exchanged_forward, own_forward
from rnnbench.models.calls import on_cpu, undisturbed

_CONSTANTS = (type(None), bool, int, float, str, torch.dtype, torch.device)


@dataclass(frozen=True)
class ExampleCall:
    """A module, and the arguments of one call.

    Attributes:
        module: what is exported.
        own: the user's own module: that, or what it holds.
        leaves: all that the arguments hold, in the order of the pytree `(args, kwargs)`.
        structure: of the arguments.
        names: of the tensors among the leaves, as Python names, in order.
        returned: the structure of what the module returns.
        kept: of what it returns, in order, whether each is a tensor (else it is None).
        parameters: which parameter each argument is given to, in the order of the arguments.
    """

    module: nn.Module
    own: nn.Module
    leaves: tuple[Any, ...]
    structure: _pytree.TreeSpec
    names: tuple[str, ...]
    returned: _pytree.TreeSpec
    kept: tuple[bool, ...]
    parameters: tuple[str, ...] = ()

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """The tensors among the arguments, in order."""
        return tuple(leaf for leaf in self.leaves if isinstance(leaf, torch.Tensor))

    def arguments(self, tensors: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments like the example's, with other tensors."""
        rest = iter(tensors)
        leaves = [next(rest) if isinstance(v, torch.Tensor) else v for v in self.leaves]
        args, kwargs = _pytree.tree_unflatten(leaves, self.structure)
        return args, kwargs


class Holder(nn.Module):
    """A module as the child of a plain one, whose call can be taken the place of."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module returns."""
        return self.inner(*args, **kwargs)


def take_call(module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> ExampleCall:
    """Runs a module once, in evaluation mode and as it was afterwards.

    Raises:
        RnnbenchError: it is no module, takes or returns something else than tensors and constants,
            or fails on these arguments.
    """
    module = unwrapped(module)
    _refuse_programs(module)
    held = isinstance(module, torch.jit.ScriptModule)
    if held and kwargs:
        raise RnnbenchError(
            f"kwargs of a scripted module ({', '.join(kwargs)}): give them in args, by their place"
        )
    paths, structure = _pytree.tree_flatten_with_path((tuple(args), dict(kwargs)))
    parameters = _parameters(module)
    leaves = tuple(_leaf(_name(path, parameters), value) for path, value in paths)
    names = _unique(
        _name(path, parameters) for path, value in paths if isinstance(value, torch.Tensor)
    )
    if not names:
        raise RnnbenchError(
            "args hold no tensor: give example inputs, as args=(torch.randn(2, 9, 40),)"
        )
    given = _pytree.tree_unflatten(list(leaves), structure)
    returned = _returned(module, *given)
    out_structure = _pytree.tree_structure(returned)
    kept = tuple(_is_tensor(value) for value in spread(returned))
    if not any(kept):
        raise RnnbenchError(f"{type(module).__name__} returns no tensor: return one at least")
    hooked = bool(module._forward_pre_hooks or module._forward_hooks)  # they see the arguments
    holder = Holder(module) if held or hooked else module
    return ExampleCall(
        holder,
        module,
        leaves,
        structure,
        names,
        out_structure,
        kept,
        _given(parameters, args, kwargs),
    )


@contextmanager
def called_flat(call: ExampleCall) -> Iterator[None]:
    """While it lasts, the module takes the tensors one by one, and returns a flat tuple."""
    module = call.module
    before, own = module.forward, vars(module).get("forward")

    def forward(*tensors: Any) -> tuple[Any, ...]:
        args, kwargs = call.arguments(tensors)
        with own_forward(module, own):
            returned = before(*args, **kwargs)
        return tuple(value for value in spread(returned) if value is not None)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind) for name in call.names]
    forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with exchanged_forward(module, forward):
        yield


def identifier(text: str) -> str:
    """A name with nothing but letters, digits and _ in it, as near to `text` as can be."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", text) or "_"
    return f"_{name}" if name[0].isdigit() or keyword.iskeyword(name) else name


def unique(name: str, taken: set[str]) -> str:
    """The name, with a number where it is taken; it is taken afterwards."""
    found, count = name, 1
    while found in taken:
        found, count = f"{name}_{count}", count + 1
    taken.add(found)
    return found


def _refuse_programs(module: Any) -> None:
    if isinstance(module, torch.export.ExportedProgram | torch.jit.ScriptFunction):
        raise RnnbenchError(
            f"the model is a {type(module).__name__}, in which loops over time are unrolled or "
            "cannot be followed: give the torch.nn.Module that it was made of"
        )
    if not isinstance(module, nn.Module):
        raise RnnbenchError(
            f"the model is a {type(module).__name__}: give a torch.nn.Module (a function goes "
            "into the forward of one)"
        )


def _returned(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        with on_cpu(module), undisturbed(module), torch.no_grad():
            return module(*args, **kwargs)
    except RnnbenchError:
        raise
    except Exception as error:  # a user's module may raise anything
        raise RnnbenchError(
            f"{type(module).__name__} fails on the example arguments ({one_line(error)}): give "
            "args and kwargs with which it runs"
        ) from error


def spread(returned: Any) -> Iterator[Any]:
    """What a module returned, one by one; also the fields of a dataclass that PyTorch knows not."""
    for value in _pytree.tree_leaves(returned):
        fields = getattr(type(value), "__dataclass_fields__", None)
        if fields is None:
            yield value
        else:
            yield from spread([getattr(value, name) for name in fields])


def _is_tensor(value: Any) -> bool:
    if value is None or isinstance(value, torch.Tensor):
        return value is not None
    raise RnnbenchError(
        f"the model returned a {type(value).__name__}: return tensors, alone or nested in tuples, "
        "lists and dicts"
    )


def _leaf(name: str, value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        if str(value.dtype).removeprefix("torch.") not in DTYPES:
            raise RnnbenchError(
                f"argument {name!r} is {value.dtype}: choose from {', '.join(DTYPES)}, and let "
                "the module convert it"
            )
        return value.detach().cpu()
    if isinstance(value, _CONSTANTS):
        return value
    raise RnnbenchError(
        f"argument {name!r} holds a {type(value).__name__}: give tensors, None, bool, int, float "
        "or str, alone or nested in tuples, lists and dicts"
    )


def _parameters(module: nn.Module) -> list[str]:
    """The names of what `forward` takes by its place; that of `*args` comes last, as `*args`."""
    if isinstance(module, torch.jit.ScriptModule):
        return scripted_parameters(module)
    found = []
    for parameter in inspect.signature(module.forward).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            found.append(f"*{parameter.name}")
        elif parameter.kind not in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD):
            found.append(parameter.name)
    return found


def scripted_parameters(module: torch.jit.ScriptModule) -> list[str]:
    """The names of what a scripted module takes."""
    schema: Any = module._c._get_method("forward").schema
    return [argument.name for argument in schema.arguments[1:]]


def _placed(place: int, parameters: Sequence[str]) -> list[str]:
    """The parameter of a positional argument, and its number within `*args`."""
    if place < len(parameters) and not parameters[place].startswith("*"):
        return [parameters[place]]
    if parameters and parameters[-1].startswith("*"):
        return [parameters[-1][1:], str(place - len(parameters) + 1)]
    return ["args", str(place)]


def _given(
    parameters: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[str, ...]:
    """The parameter of each argument; those of `*args` are numbered."""
    return (*("_".join(_placed(i, parameters)) for i in range(len(args))), *kwargs)


def _name(path: Sequence[Any], parameters: Sequence[str]) -> str:
    """`state_0` for the first tensor in the argument `state`, `extra_mask` for `extra["mask"]`."""
    top, *rest = [_key(key) for key in path]
    if top == "0":
        rest[:1] = _placed(int(rest[0]), parameters)
    return identifier("_".join(rest))


def _key(key: Any) -> str:
    for attribute in ("idx", "key", "name"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def _unique(names: Iterator[str]) -> tuple[str, ...]:
    taken: set[str] = set()
    return tuple(unique(name, taken) for name in names)
