"""A call of a module with ports: what it returns, or how far it came and what it said."""

from __future__ import annotations

import copy
import traceback
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils.rnn import pack_padded_sequence

from rnnbench.core.errors import one_line
from rnnbench.models.calls import undisturbed
from rnnbench.models.declaration.ports import DEFAULT, Argument, Made, Packed, Port, mapped, walk

Values = tuple[Any, ...]


@dataclass(frozen=True)
class Outcome:
    """What came of a call.

    Attributes:
        returned: what the module returned.
        error: what it raised; None where it did not.
        reached: the lines at which it stood then, the outermost first: a later one is further.
    """

    returned: Any = None
    error: BaseException | None = None
    reached: tuple[int, ...] = ()

    @property
    def why(self) -> str:
        """What the error says."""
        return "" if self.error is None else one_line(self.error)


def attempt(module: nn.Module, arguments: Sequence[Argument], values: Values) -> Outcome:
    """Calls a module, which stays as it was, but for lazy layers: these have sizes then."""

    def filled(leaf: Any) -> Any:
        if not isinstance(leaf, Port):
            return leaf
        # The same numbers whichever others are given.
        made = leaf.tensor(np.random.default_rng(zlib.crc32(leaf.name.encode())))
        return made.tolist() if leaf.as_list else made

    try:
        args, kwargs = placed(arguments, packed([mapped(value, filled) for value in values]))
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            if is_lazy(module):
                copy.deepcopy(module).eval()(*args, **kwargs)  # a call that fails gives no sizes
                module.eval()(*args, **kwargs)
            with undisturbed(module):
                return Outcome(module(*args, **kwargs))
    except Exception as error:  # a user's module may raise anything
        return Outcome(error=error, reached=_reached(error))


def is_lazy(module: nn.Module) -> bool:
    """Whether layers of a module take their sizes from the first call."""
    parts = (part for part in module.modules() if isinstance(part, LazyModuleMixin))
    return any(part.has_uninitialized_params() for part in parts)


def placed(
    arguments: Sequence[Argument], values: Sequence[Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments; after one that is not given, all go by their names."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    skipped = False
    for argument, value in zip(arguments, values, strict=True):
        if isinstance(value, str) and value == DEFAULT:
            skipped = True
        elif skipped or argument.by_name:
            kwargs[argument.name] = value
        else:
            args.append(value)
    return tuple(args), kwargs


def packed(values: Sequence[Any]) -> list[Any]:
    """The values with packed sequences, and objects, in the places where these are to be."""
    lengths: list[Any] = []

    def made(value: Any) -> Any:
        if isinstance(value, Made):
            return value.of(**value.fields)
        if isinstance(value, Packed):
            if value.lengths is not None:
                lengths.append(value.lengths)
            return pack_padded_sequence(
                value.steps, lengths[-1].cpu(), batch_first=True, enforce_sorted=False
            )
        if isinstance(value, list | tuple) and any(isinstance(v, Packed) for v in value):
            return type(value)(made(v) for v in value)
        return value

    return [made(value) for value in values]


def ports_in(values: Values) -> list[Port]:
    """The ports of a call, in reading order."""
    return [leaf for value in values for _, leaf in walk(value) if isinstance(leaf, Port)]


def _reached(error: BaseException) -> tuple[int, ...]:
    """The lines of the user's own code in the traceback, from the first `forward` on."""
    frames = traceback.extract_tb(error.__traceback__)
    library = torch.__file__.rpartition("/")[0]
    own = [f for f in frames if not f.filename.startswith(library)]
    return tuple(f.lineno or 0 for f in own[1:])
