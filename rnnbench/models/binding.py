"""How a module takes its declared inputs and gives its declared outputs: flat, by name, nested.

forward(x, h0)              inputs x, h0            module(x, h0)
forward(x, state)           inputs x, h0, c0        module(x, (h0, c0))     (states)
forward(batch)              inputs mels, speaker    module({"mels": mels, "speaker": speaker})
forward(x, *, mask)         inputs x, mask          module(x, mask=mask)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rnnbench.core.model import TensorSpec

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def bind(
    module: Callable[..., Any], specs: Sequence[TensorSpec], values: Sequence[Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call, from a value for each declared input.

    Args:
        module: a module, or what was made of one; its signature decides.
        specs: the declared inputs.
        values: one for each, in order.

    Returns:
        Positional arguments, and those by name. Where the signature has fewer parameters than there
        are inputs, states go as one tuple to a parameter of their own, and others as a dict.
    """
    parameters = _parameters(module)
    if parameters is None or _fits(parameters, len(values)):
        return tuple(values), {}
    named = dict(zip((spec.name for spec in specs), values, strict=True))
    states = {spec.name for spec in specs if spec.role == "state"}
    positional = [p for p in parameters if p.kind in _POSITIONAL]
    keywords = {
        p.name: named.pop(p.name)
        for p in parameters
        if p.kind is p.KEYWORD_ONLY and p.name in named
    }
    own = {p.name for p in positional}
    # What no parameter is named after goes to the parameters that no input is named after.
    groups = {
        "states": tuple(v for k, v in named.items() if k not in own and k in states),
        "others": {k: v for k, v in named.items() if k not in own and k not in states},
    }
    waiting: list[Any] = [group for group in (groups["others"], groups["states"]) if group]
    args: list[Any] = []
    for parameter in positional:
        if parameter.name in named:
            args.append(named[parameter.name])
        elif waiting:
            args.append(waiting.pop(0))
        else:
            break
    if waiting or len(args) < sum(p.name in named for p in positional):
        return tuple(values), {}  # no way is known: the call says what is wrong
    return tuple(args), keywords


def ordered(returned: Any, outputs: Sequence[str]) -> Any:
    """What a module returned, in the order of the declared outputs.

    A dict, dataclass or object with a name for each of them gives those; all else is as it is.
    """
    items = returned
    if not isinstance(returned, Mapping) and hasattr(type(returned), "__dataclass_fields__"):
        items = {name: getattr(returned, name) for name in type(returned).__dataclass_fields__}
    if isinstance(items, Mapping) and set(outputs) <= items.keys():
        return tuple(items[name] for name in outputs)
    return items


@contextmanager
def exchanged_forward(module: Any, forward: Callable[..., Any]) -> Iterator[None]:
    """A module whose object has another `forward` meanwhile."""
    own = vars(module).get("forward")
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        if own is not None:
            module.forward = own


@contextmanager
def own_forward(module: Any, own: Callable[..., Any] | None) -> Iterator[None]:
    """A module whose `forward` was exchanged has its own again, which may call `self.forward`.

    Args:
        module: the module.
        own: what its object had as `forward` before; None: that of its class.
    """
    exchanged = vars(module).pop("forward", None)
    if own is not None:
        vars(module)["forward"] = own
    try:
        yield
    finally:
        vars(module).pop("forward", None)
        if exchanged is not None:
            vars(module)["forward"] = exchanged


def _parameters(module: Callable[..., Any]) -> list[inspect.Parameter] | None:
    forward = getattr(module, "forward", module)
    try:
        return list(inspect.signature(forward).parameters.values())
    except (TypeError, ValueError):  # a scripted method
        return None


def _fits(parameters: Sequence[inspect.Parameter], count: int) -> bool:
    """Whether so many positional arguments can be given, and nothing else is needed."""
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return True
    if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        return False
    return sum(p.kind in _POSITIONAL for p in parameters) >= count
