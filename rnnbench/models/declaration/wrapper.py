"""The text of the module that a draft puts around one of a class, to call it as it wants to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rnnbench.models.declaration.caller import Caller
from rnnbench.models.declaration.calling import ports_in
from rnnbench.models.declaration.guesses import Guess
from rnnbench.models.declaration.ports import Made, Packed
from rnnbench.models.declaration.values import quoted

WIDTH = 88


class _Name:
    """What stands for a tensor in a printed call."""

    def __init__(self, text: str) -> None:
        self.text = text


def wrapper(name: str, found: Guess, caller: Caller) -> str:
    """A module that calls the one of the class, where the declaration alone cannot say how."""
    ports = ports_in(caller.values)
    names = [port.name for port in ports]
    texts = [f"{p.name}.tolist()" if p.as_list else p.name for p in ports]
    args, kwargs = caller.given([_Name(text) for text in texts], lists=False)
    first = next((a.lengths for a in (*args, *kwargs.values()) if isinstance(a, Packed)), None)
    args = tuple(_with_lengths(a, first) for a in args)
    kwargs = {key: _with_lengths(a, first) for key, a in kwargs.items()}
    given = [*(_expression(a) for a in args), *(f"{k}={_expression(v)}" for k, v in kwargs.items())]
    lines = [
        "class Call(torch.nn.Module):",
        f'    """Takes the inputs one by one, and calls {name} as it wants to be called."""',
        "",
        "    def __init__(self, net):",
        "        super().__init__()",
        "        self.net = net",
        *_without_checks(found),
        "",
        *_call("    def forward(", ["self", *names], "):", indent="    "),
        '        """Returns what the network returns."""',
    ]
    if not found.returns:
        return "\n".join(
            [*lines, *_call("        return self.net(", given, ")", indent="        ")]
        )
    lines += _call("        returned = self.net(", given, ")", indent="        ")
    parts = list(found.returns)
    if len(parts) == 1:
        return "\n".join([*lines, f"        return {parts[0]}"])
    return "\n".join([*lines, *_returned(parts)])


def first_call(found: Guess) -> list[str]:
    """Lines that call a module once, where its layers take their sizes from that."""
    caller = found.called
    if not found.lazy or caller is None:
        return []
    texts = []
    for port in ports_in(caller.values):
        dtype = "" if port.dtype == "float32" else f", dtype=torch.{port.dtype}"
        value = f"torch.full({port.shape}, {port.high}" if port.role == "lengths" else (
            f"torch.zeros({port.shape}"
        )  # fmt: skip
        texts.append(f"{value}{dtype}).tolist()" if port.as_list else f"{value}{dtype})")
    args, kwargs = caller.given([_Name(text) for text in texts], lists=False)
    given = [*(_expression(a) for a in args), *(f"{k}={_expression(v)}" for k, v in kwargs.items())]
    return [
        "    # Layers of it take their sizes from a first call.",
        *_call("    module.eval()(", given, ")", indent="    "),
    ]


def _with_lengths(value: Any, lengths: Any) -> Any:
    """A packed sequence with the numbers of steps of the first one, where it has none."""
    alone = isinstance(value, Packed) and value.lengths is None
    return Packed(value.steps, lengths) if alone else value


def _without_checks(found: Guess) -> list[str]:
    """What is given out of a distribution is traced without its checks, which look at the data."""
    if not any(path.endswith((".logits", ".mean", ".stddev")) for path in found.returns):
        return []
    return ["        torch.distributions.Distribution.set_default_validate_args(False)"]


def _returned(parts: Sequence[str]) -> list[str]:
    one = f"        return {', '.join(parts)}"
    if len(one) <= WIDTH:
        return [one]
    return ["        return (", *(f"            {part}," for part in parts), "        )"]


def _call(head: str, given: Sequence[str], tail: str, *, indent: str) -> list[str]:
    """A call on one line, else with its arguments on the next, else on one each."""
    one = f"{head}{', '.join(given)}{tail}"
    if len(one) <= WIDTH:
        return [one]
    inner = f"{indent}    {', '.join(given)}"
    if len(inner) <= WIDTH:
        return [head, inner, f"{indent}{tail}"]
    return [head, *(f"{indent}    {part}," for part in given), f"{indent}{tail}"]


def _expression(value: Any) -> str:
    if isinstance(value, _Name):
        return value.text
    if isinstance(value, Made):
        given = (f"{key}={_expression(part)}" for key, part in value.fields.items())
        return f"{value.of.__name__}({', '.join(given)})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{quoted(k)}: {_expression(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return _sequence(value)
    return quoted(value)


def _sequence(value: Sequence[Any]) -> str:
    inner = ", ".join(map(_expression, value))
    if isinstance(value, Packed):
        of = f"{_expression(value.steps)}, {_expression(value.lengths)}.cpu()"
        return f"pack_padded_sequence({of}, batch_first=True, enforce_sorted=False)"
    if hasattr(value, "_fields"):
        return f"{type(value).__name__}({inner})"
    if isinstance(value, list):
        return f"[{inner}]"
    return f"({inner},)" if len(value) == 1 else f"({inner})"


def imports_of_call(found: Guess) -> list[str]:
    """Imports of the named tuples that a call is made of."""
    if found.caller is None:
        return []
    waiting, lines = list(found.caller.values), []
    if any("pad_packed_sequence(" in path for path in found.returns):
        lines.append("from torch.nn.utils.rnn import pad_packed_sequence")
    while waiting:
        value = waiting.pop()
        if isinstance(value, Made):
            lines.append(f"from {value.of.__module__} import {value.of.__name__}")
        elif isinstance(value, list | tuple):
            waiting.extend(value)
            if isinstance(value, Packed):
                lines.append("from torch.nn.utils.rnn import pack_padded_sequence")
            elif hasattr(value, "_fields"):
                lines.append(f"from {type(value).__module__} import {type(value).__name__}")
        elif isinstance(value, dict):
            waiting.extend(value.values())
    return lines
