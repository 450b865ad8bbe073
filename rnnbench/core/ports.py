"""Which inputs of a file are numbers or states, as far as its names and shapes say so.

A state is an input that an output of the same shape belongs to, by its name (h0 and hn, state and
stateN, state_in and state_out), or by its position where the format has no names for outputs.
"""

from __future__ import annotations

import re

from rnnbench.core.signature import Port, Shape, Signature

_AFFIX = re.compile(r"^(new|next|prev|in|out)_|(_?(in|out|new|next|prev|init|final)|_?[n0])$")
_STATE = re.compile(r"state|hidden|cache|cell|memory|^[hc][x0]?$|(^|_)[hc](_|$)", re.I)
_NUMBERS = ("int", "float", "bool")


def find_states(signature: Signature) -> dict[str, str]:
    """State input -> its output, as far as the file itself says so."""
    found: dict[str, str] = {}
    for port in signature.inputs:
        if port.dtype in _NUMBERS or port.shape == ():
            continue
        for output in signature.outputs:
            fits = output.name not in found.values() and compatible(port.shape, output.shape)
            if fits and _base(port.name) == _base(output.name):
                found[port.name] = output.name
                break
    unnamed = all(output.name.startswith("output_") for output in signature.outputs)
    rest = [p.name for p in signature.inputs if is_called_state(p.name) and p.name not in found]
    if unnamed and rest and len(rest) < len(signature.outputs):
        last = signature.outputs[-len(rest) :]
        found |= {name: output.name for name, output in zip(rest, last, strict=True)}
    return found


def is_called_state(name: str) -> bool:
    """Whether a name is one that states have."""
    return bool(_STATE.search(name))


def is_number(port: Port) -> bool:
    """Whether an input is a number of no dimension, not data."""
    return port.dtype in _NUMBERS or port.shape == ()


def compatible(a: Shape | None, b: Shape | None) -> bool:
    """Whether two shapes may be one: unknown sizes fit any."""
    if a is None or b is None:
        return True
    pairs = zip(a, b, strict=False)
    return len(a) == len(b) and all(
        m == n or not (isinstance(m, int) and isinstance(n, int)) for m, n in pairs
    )


def _base(name: str) -> str:
    """`h0` and `hn` are `h`, `state` and `stateN` are `state`."""
    return _AFFIX.sub("", name.lower())
