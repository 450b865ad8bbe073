"""An object of a class: its constructor called with what was given, chosen and found in weights."""

from __future__ import annotations

import inspect
import itertools
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.models.declaration.choices import candidates
from rnnbench.models.declaration.configs import given_forms
from rnnbench.models.declaration.values import Chosen, literal, named_values

_TRIES = 60
_SIZES = 6  # all sizes alike, where the likeliest do not go together
_MISSING = re.compile(r"(?P<what>'?[\w.]+'?) object has no attribute '(?P<name>\w+)'")
_KERNELS = re.compile(r"kernel|stride|padding|dilation|shape", re.IGNORECASE)
_NOT_A_LIST = re.compile(r"not iterable|not subscriptable|has no len|unpack|must be an iterable")


@dataclass(frozen=True)
class Built:
    """An object, and how it was made.

    Attributes:
        module: it; None where the constructor raises whatever was tried.
        arguments: name -> the value that was given.
        origin: name -> `given`, `chosen`, `weights` or `unknown`.
        why: what the constructor raised.
        unset: its parameters that the constructor leaves without values.
    """

    module: nn.Module | None
    arguments: Mapping[str, Chosen] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    why: str = ""
    unset: tuple[str, ...] = ()


def parameters_of(cls: type[nn.Module]) -> list[inspect.Parameter]:
    """What the constructor takes by name."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p for p in list(inspect.signature(cls.__init__).parameters.values())[1:]
            if p.kind in kinds]  # fmt: skip


def builds(cls: type[nn.Module], given: Mapping[str, Any]) -> Iterator[Built]:
    """Objects of a class: with the likeliest arguments, then with others that go together.

    Raises:
        RnnbenchError: an argument was given that the constructor does not have.
    """
    parameters = parameters_of(cls)
    names = [p.name for p in parameters]
    takes_all = any(
        p.kind is p.VAR_KEYWORD for p in inspect.signature(cls.__init__).parameters.values()
    )
    for name in given:
        if name not in names and not takes_all:
            raise RnnbenchError(
                f"--arg {name}: {cls.__name__} takes {', '.join(names) or 'no arguments'}"
            )
    blanks = [p for p in parameters if p.default is p.empty and p.name not in given]
    by_name = {p.name: p for p in parameters}
    forms = {k: list(given_forms(by_name.get(k), v, cls)) for k, v in given.items()}
    own = {name: ways[0] for name, ways in forms.items()}
    origin = dict.fromkeys(given, "given") | {p.name: "chosen" for p in blanks}
    if not blanks:
        yield _with_given(cls, forms, origin)
        return
    ways = {p.name: list(itertools.islice(candidates(p, cls), 12)) for p in blanks}
    first = _mended(cls, own, ways, origin)
    if first.module is None and any(len(found) > 1 for found in forms.values()):
        own = {name: found[-1] for name, found in forms.items()}
        first = _mended(cls, own, ways, origin)
    yield first
    alike = {name: [_alike(way[0]), *way] for name, way in ways.items()}
    if any(way[0].text != ways[name][0].text for name, way in alike.items()):
        yield _mended(cls, own, alike, origin)


def _with_given(
    cls: type[nn.Module], forms: Mapping[str, Sequence[Chosen]], origin: Mapping[str, str]
) -> Built:
    """An object of what was given alone, in each form; then with what is None by default."""
    own = {name: ways[0] for name, ways in forms.items()}
    module, error = _made(cls, own)
    if error is None:
        return Built(module, own, origin)
    for other in itertools.islice(itertools.product(*forms.values()), 1, _TRIES):
        found = dict(zip(forms, other, strict=True))
        module, _ = _made(cls, found)
        if module is not None:
            return Built(module, found, origin)
    last = {
        name: ways[-1] if isinstance(ways[-1].value, SimpleNamespace) else ways[0]
        for name, ways in forms.items()
    }
    for given, (name, kind) in itertools.product((own, last), _kinds(cls, own, error)):
        found = {**given, name: Chosen(kind, f"torch.nn.{kind.__name__}", ("import torch",))}
        module, _ = _made(cls, found)
        if module is not None:
            return Built(module, _in_order(cls, found), {**origin, name: "chosen"})
    empty = [p for p in parameters_of(cls) if p.default is None and p.name not in own]
    for given, p in itertools.product((own, last), empty):
        ways = [literal({}), *itertools.islice(candidates(p, cls), 6)]
        built = _mended(cls, given, {p.name: ways}, {**origin, p.name: "chosen"})
        if built.module is not None:
            return built
    return Built(None, own, origin, _why(cls, error))


def _kinds(
    cls: type[nn.Module], own: Mapping[str, Chosen], error: BaseException
) -> Iterator[tuple[str, type]]:
    """Classes of layers for arguments that are a name by default, and are called all the same."""
    if "'str' object is not callable" not in str(error):
        return
    for p in parameters_of(cls):
        if isinstance(p.default, str) and p.name not in own:
            for name in (p.default.upper(), "LSTM", "GRU"):
                kind = getattr(nn, name, None)
                if isinstance(kind, type):
                    yield p.name, kind


def _alike(chosen: Chosen) -> Chosen:
    """A size as all others; numbers that are no sizes stay."""
    sizes = type(chosen.value) is int and chosen.value in (5, 8)
    return literal(16) if sizes else chosen


def _mended(
    cls: type[nn.Module],
    own: Mapping[str, Chosen],
    ways: Mapping[str, Sequence[Chosen]],
    origin: Mapping[str, str],
) -> Built:
    """With the first value for each argument, and what errors say put right."""
    chosen = {name: way[0] if way else literal(16) for name, way in ways.items()}
    first = dict(chosen)
    waiting = [chosen]
    seen: set[str] = set()
    why = ""
    for _ in range(_TRIES):
        while waiting and _key(waiting[0]) in seen:
            waiting.pop(0)
        if not waiting:
            break
        chosen = waiting.pop(0)
        seen.add(_key(chosen))
        module, error = _made(cls, dict(own) | chosen)
        if error is None:
            return Built(module, _in_order(cls, dict(own) | chosen), origin)
        why = why or _why(cls, error)
        said = list(_said(chosen, error))
        others = [
            chosen | {name: other}
            for rank in range(1, 12)
            for name, way in ways.items()
            for other in way[rank : rank + 1]
        ]
        waiting = [*said, *waiting, *others] if said else [*waiting, *others]
    return Built(None, _in_order(cls, dict(own) | first), origin, why)


def _key(chosen: Mapping[str, Chosen]) -> str:
    return repr([(name, c.text) for name, c in chosen.items()])


def _in_order(cls: type[nn.Module], given: Mapping[str, Chosen]) -> dict[str, Chosen]:
    names = [p.name for p in parameters_of(cls)]
    return dict(sorted(given.items(), key=lambda kv: names.index(kv[0]) if kv[0] in names else 99))


def _said(chosen: Mapping[str, Chosen], error: BaseException) -> Iterator[dict[str, Chosen]]:
    """Other values, as an error asks for them."""
    text = str(error)
    if isinstance(error, KeyError) and error.args and isinstance(error.args[0], str):
        for name, old in chosen.items():
            if isinstance(old.value, dict):
                yield {**chosen, name: literal({**old.value, error.args[0]: _value(error.args[0])})}
    found = _MISSING.search(text)
    if isinstance(error, AttributeError) and found:
        for name, old in chosen.items():
            if isinstance(old.value, SimpleNamespace):
                more = {**vars(old.value), found["name"]: _value(found["name"])}
                yield {**chosen, name: literal(SimpleNamespace(**more))}
            elif type(old.value).__name__ == found["what"].strip("'"):
                yield {**chosen, name: literal(
                    SimpleNamespace(**{found["name"]: _value(found["name"])}))}  # fmt: skip
    yield from _sequences(chosen, text)


def _sequences(chosen: Mapping[str, Chosen], text: str) -> Iterator[dict[str, Chosen]]:
    """A list or a tuple in the place of a number, where an error asks for one."""
    for name, old in chosen.items():
        if type(old.value) is int and (_NOT_A_LIST.search(text) or "tuple" in text):
            two = (old.value, old.value)
            tuples = bool(_KERNELS.search(name)) or "tuple" in text
            yield {**chosen, name: literal(two if tuples else list(two))}
        elif isinstance(old.value, list) and "tuple" in text:
            yield {**chosen, name: literal(tuple(old.value))}


def _value(name: str) -> Any:
    """The likeliest value of this name, 16 where the name says nothing."""
    found = named_values(name)
    value = found[0] if found else 16
    return SimpleNamespace() if value == "<namespace>" else value


def _made(
    cls: type[nn.Module], given: Mapping[str, Chosen]
) -> tuple[nn.Module | None, BaseException | None]:
    try:
        with warnings.catch_warnings(), _unset_is_nan():
            warnings.simplefilter("ignore")
            return cls(**{name: chosen.value for name, chosen in given.items()}), None
    except Exception as error:  # somebody's constructor may raise anything
        return None, error


@contextmanager
def _unset_is_nan() -> Iterator[None]:
    """Fills memory that a constructor leaves as it was with NaN, so that it is seen."""
    memory: Any = torch.utils.deterministic  # its attribute is made by a property of the module
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        memory.fill_uninitialized_memory,
    )
    try:
        torch.use_deterministic_algorithms(True, warn_only=True)
        memory.fill_uninitialized_memory = True
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        memory.fill_uninitialized_memory = before[2]


def set_unset(module: nn.Module) -> tuple[str, ...]:
    """Gives small random values to the parameters that a constructor left without any.

    Returns:
        Their names.
    """
    found = []
    for name, parameter in module.named_parameters():
        known = not isinstance(parameter, nn.parameter.UninitializedParameter)
        if known and parameter.is_floating_point() and bool(parameter.isnan().any()):
            nn.init.uniform_(parameter, -0.1, 0.1)
            found.append(name)
    return tuple(found)


def _why(cls: type[nn.Module], error: BaseException | None) -> str:
    if error is None:
        return ""
    return f"{cls.__name__}() raises {type(error).__name__}: {one_line(error)}"


def numbers_of(cls: type[nn.Module], built: Built) -> list[int]:
    """The whole numbers that the constructor was given, in its order; then what are defaults."""
    values = [chosen.value for chosen in _in_order(cls, built.arguments).values()]
    values += [p.default for p in parameters_of(cls)]
    found: list[int] = []
    while values:
        value = values.pop(0)
        if type(value) is int and value > 0:
            found.append(value)
        elif isinstance(value, list | tuple):
            values.extend(value)
        elif isinstance(value, dict):
            values.extend(value.values())
        elif isinstance(value, SimpleNamespace) or hasattr(value, "__dataclass_fields__"):
            values.extend(vars(value).values())
    return list(dict.fromkeys(found))


def shapes_of(cls: type[nn.Module], given: Mapping[str, Chosen]) -> dict[str, tuple[int, ...]]:
    """The shapes of the state dict of an object; empty where the constructor raises."""
    try:
        with torch.device("meta"):
            module, _ = _made(cls, given)
    except Exception:  # not every constructor can do without numbers
        module = None
    if module is None:
        module, _ = _made(cls, given)
    if module is None:
        return {}
    return {k: tuple(v.shape) for k, v in module.state_dict().items() if hasattr(v, "shape")}
