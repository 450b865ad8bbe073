"""What an argument of `forward` may be, by its name, its default and the layers of the module.

forward(x, lengths, state=None)   ->   x: a float sequence, else ids, else rows of samples ...
                                       lengths: whole numbers, one for each row; or a list of them
                                       state: None, else what the layers keep, (h, c) for an LSTM
"""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.utils import _pytree

from rnnbench.models.declaration.forward import written_forward
from rnnbench.models.declaration.ports import (
    DEFAULT,
    Argument,
    Port,
    Sizes,
    as_ports,
    state_names,
)

_LENGTHS = re.compile(
    r"(.*_)?(i?lens?|x_?lens?|lengths?|seq_?lens?|n_?frames|sz|seq_?sizes?)", re.IGNORECASE
)


_STATE = re.compile(
    r"(.*_)?([hc]_?[0nxt]?|hc|hidden|cell|state|states|memory_state|hiddens|carry|mems?|memory|"
    r"rnn_hxs|rnn_states?|hidden_states?|cell_states?)(_in|_prev|_0|0)?",
    re.IGNORECASE,
)


_IDS = re.compile(
    r"(.*_)?(ids?|idx|tokens?|indices|words|chars|symbols|text|sentences?|src|trg|tgt|ys?(_in)?|"
    r"captions?|labels?|targets?|sents?|docs?|prev_\w+|phonemes?|sequences?)",
    re.IGNORECASE,
)


_SURELY_IDS = re.compile(
    r"(.*_)?(ids?|idx|tokens?|indices|words|chars|text|sentences?|captions?)", re.IGNORECASE
)


_MASK = re.compile(
    r"(.*_)?(masks?|dones?|resets?|valid|is_?first|episode_starts?)|m", re.IGNORECASE
)


_WAVES = re.compile(r"(.*_)?(wavs?|waves?|waveforms?|audio|signals?|mix|mixture|samples)", re.I)


_IMAGES = re.compile(r"(.*_)?(im|imgs?|images?|video|frames|clips?)", re.IGNORECASE)


_VECTOR = re.compile(
    r"(.*_)?(speakers?|spk|spkr?_emb\w*|cond(ition(ing)?)?|style|global_\w+|statics?|context|ctx|z|"
    r"speaker_\w+|goal|action|obs|observation)",
    re.IGNORECASE,
)


_DICT = re.compile(r"dict|mapping", re.IGNORECASE)


_RATIO = re.compile(r".*teacher.*|.*sampling_(prob|rate|ratio)|tf_ratio", re.IGNORECASE)


_PARTS = 6  # of a tuple that is taken apart, and what each may be


def arguments_of(module: nn.Module, sizes: Sizes) -> list[Argument]:
    """The parameters of a module's `forward`, with what each may be."""
    found: list[Argument] = []
    parts = _unpacked(module)
    for p in inspect.signature(_written(module)).parameters.values():
        if p.name == "self" or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        optional = p.default is not p.empty
        state = bool(_STATE.fullmatch(p.name))
        candidates = list(_candidates(p, module, sizes, first=not found))
        if isinstance(module, torch.jit.ScriptModule) and p.default is not None:
            # It would run: to TorchScript, None is a tensor that is not defined.
            candidates = [c for c in candidates if c is not None]
        found.append(
            Argument(
                p.name,
                tuple(candidates),
                by_name=p.kind is p.KEYWORD_ONLY,
                optional=optional,
                state=state,
                none=p.default is None,
                tuples=tuple(_tuples(parts.get(p.name, ()), module, sizes)),
            )
        )
    return found


def _written(module: nn.Module) -> Any:
    return written_forward(type(module)) or module.forward


def _unpacked(module: nn.Module) -> dict[str, tuple[str, ...]]:
    """The arguments that `forward` takes apart, with the names of what is in them.

    states, mask = memory   ->   memory: states, mask
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(_written(module))))
    except (OSError, TypeError, SyntaxError):  # there is no source, or no Python
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Name):
            continue
        target = node.targets[0]
        if isinstance(target, ast.Tuple) and all(isinstance(e, ast.Name) for e in target.elts):
            names = tuple(e.id for e in target.elts if isinstance(e, ast.Name))
            found.setdefault(node.value.id, names)
    return found


def _tuples(names: Sequence[str], module: nn.Module, sizes: Sizes) -> Iterator[Any]:
    """Tuples of what has such names, the likeliest first, then with one other part."""
    if not 1 < len(names) <= _PARTS:
        return
    ways = [
        [c for c in itertools.islice(ports_named(name, module, sizes), _PARTS) if c is not None]
        for name in names
    ]
    start = tuple(way[0] for way in ways)
    yield start
    for i, way in enumerate(ways):
        for other in way[1:]:
            yield (*start[:i], other, *start[i + 1 :])


def _candidates(
    p: inspect.Parameter, module: nn.Module, sizes: Sizes, *, first: bool
) -> Iterator[Any]:
    """What one parameter may be, the likeliest first."""
    said = p.annotation if isinstance(p.annotation, str) else str(p.annotation)
    if p.default is not p.empty:
        yield 0.0 if _RATIO.fullmatch(p.name) and isinstance(p.default, float) else DEFAULT
        if p.default is not None:
            return
    elif p.annotation in (bool, int, float, str) or said in ("bool", "int", "float", "str"):
        kind = said.removeprefix("<class '").removesuffix("'>")
        plain: dict[str, list[Any]] = {"bool": [False, True], "int": [8, 1], "float": [0.0, 1.0]}
        yield from plain.get(kind, [""])
        return
    if _RATIO.fullmatch(p.name):
        yield 0.0
    if _DICT.search(said):
        yield {}
    if first and p.default is p.empty and _STATE.fullmatch(p.name):
        yield from ports_named("x", module, sizes, as_name=p.name)  # observed states, say
    yield from ports_named(p.name, module, sizes)


def ports_named(name: str, module: nn.Module, sizes: Sizes, *, as_name: str = "") -> Iterator[Any]:
    """What a value of this name may be, the likeliest first; it can be called otherwise."""
    for found in _by_name(name, module, sizes):
        yield replace(found, name=as_name) if as_name and isinstance(found, Port) else found


def _by_name(name: str, module: nn.Module, sizes: Sizes) -> Iterator[Any]:
    b, t, f, last = sizes.free
    if _LENGTHS.fullmatch(name):
        yield Port(name, (b,), "int64", "lengths", t)
        yield Port(name, (b,), "int64", "lengths", t, as_list=True)
        yield Port(name, (b,), "int64", "lengths", f)
    if _STATE.fullmatch(name):
        yield None
        if name == "c" and _states_of(module) < 2:  # no cell state without an h: conditions
            yield Port(name, (b, f), _float(module))
        yield from _states(name, module, sizes, alone=_states_of(module) < 2)
    if _MASK.fullmatch(name):
        yield from (Port(name, shape, "bool") for shape in ((b, t), (b, 1, t)))
        yield Port(name, (b, t, f))
        yield from (Port(name, shape, "bool") for shape in ((b,), (b, t, 1)))
        yield from (Port(name, shape) for shape in ((b, t), (b,), (b, 1), (b, t, 1)))
        yield from (Port(name, shape, "bool") for shape in ((b, 1), (b, t, f), (b, t, t)))
    high = min((p.num_embeddings for p in _embeddings(module)), default=2)
    ids = [Port(name, s, "int64", high=high) for s in ((b, t), (b,), (b, 1), (b, t, f))]
    shapes: list[tuple[int, ...]] = [(b, t, f), (b, t), (b, t, f, last), (b,), (b, 1, t)]
    if _WAVES.fullmatch(name):
        shapes = [(b, t), (b, 1, t), (b, t, f), (t,), (b, t, f, last)]
    elif _IMAGES.fullmatch(name) or issubclass(_first_layer(module), nn.Conv2d):
        shapes = [(b, t, f, last), (b, t, f, last, last), (b, t, f)]
    elif _VECTOR.fullmatch(name):
        shapes = [(b, f), (b, t, f), (b, t), (b,)]
    floats = [Port(name, shape, _float(module)) for shape in shapes]
    if (_embeddings(module) and _IDS.fullmatch(name)) or _SURELY_IDS.fullmatch(name):
        yield from ids
        yield from floats
    else:
        yield from floats
        yield from ids


def _first_layer(module: nn.Module) -> type:
    """The kind of the first layer that says what it takes."""
    kinds = (nn.Conv1d, nn.Conv2d, nn.Linear, nn.RNNBase, nn.RNNCellBase, nn.Embedding)
    return next((type(p) for p in module.modules() if isinstance(p, kinds)), nn.Module)


def _states_of(module: nn.Module) -> int:
    """How many arguments may be states, by their names."""
    return sum(
        bool(_STATE.fullmatch(name)) for name in inspect.signature(module.forward).parameters
    )


def _embeddings(module: nn.Module) -> list[Any]:
    return [p for p in module.modules() if isinstance(p, nn.Embedding | nn.EmbeddingBag)]


def _states(name: str, module: nn.Module, sizes: Sizes, *, alone: bool) -> Iterator[Any]:
    """What the layers of a module keep, in the forms in which it is handed on.

    Args:
        name: of the argument.
        module: whose layers are looked at.
        sizes: of the batch.
        alone: whether there is no other state, as `c` beside `h`.
    """
    found: list[Any] = []
    made = _made_by_module(name, module, sizes)
    found += [] if made is None else [made]
    cells = [p for p in module.modules() if isinstance(p, nn.RNNCellBase)]
    if len(cells) > 1:
        shapes = [(sizes.batch, cell.hidden_size) for cell in cells]
        pairs = [_pair(f"{name}_{i}", shape, shape) for i, shape in enumerate(shapes)]
        ones = [_port(f"{name}_{i}", shape) for i, shape in enumerate(shapes)]
        lists: list[Any] = [pairs, ones] if isinstance(cells[0], nn.LSTMCell) else [ones, pairs]
        found += [*lists, _port(name, (len(cells), *shapes[0]))]
    for part in module.modules():
        if isinstance(part, nn.RNNBase):
            found += _of_layer(name, part, sizes, alone=alone)
        elif isinstance(part, nn.RNNCellBase):
            shape = (sizes.batch, part.hidden_size)
            one, pair = _port(name, shape), _pair(name, shape, shape)
            paired = alone and isinstance(part, nn.LSTMCell)
            found += [pair, one] if paired else [one, pair]
            found.append(_port(name, (1, *shape)))
    if any(isinstance(part, nn.Conv2d) for part in module.modules()):
        found += [_pair(name, sizes.free, sizes.free), _port(name, sizes.free)]  # of a ConvLSTM
    known = [p for p in module.parameters() if not isinstance(p, UninitializedParameter)]
    for size in sorted({p.shape[-1] for p in known if p.ndim}):
        found.append(_port(name, (sizes.batch, size)))
        found.append(_pair(name, (sizes.batch, size), (sizes.batch, size)))
    yield from {repr(state): state for state in found}.values()


def _of_layer(name: str, part: nn.RNNBase, sizes: Sizes, *, alone: bool) -> list[Any]:
    """The states of one layer; an LSTM with projections has an h of its own size."""
    rows = part.num_layers * (2 if part.bidirectional else 1)
    size = part.proj_size or part.hidden_size
    h = (rows, sizes.batch, part.hidden_size if name.startswith("c") else size)
    one, pair = _port(name, h), _pair(name, h, (rows, sizes.batch, part.hidden_size))
    paired = alone and isinstance(part, nn.LSTM)
    both = _port(name, (2 * rows, sizes.batch, size))  # h and c in one
    return [*((pair, one) if paired else (one, pair)), _port(name, (sizes.batch, size)), both]


def _made_by_module(name: str, module: nn.Module, sizes: Sizes) -> Any:
    """What the module's own `init_hidden(batch)` gives, if it has such a method."""
    for method in ("init_hidden", "init_state", "initial_state", "get_initial_state", "init_states",
                   "zero_state", "initial_hidden", "init_hidden_state"):  # fmt: skip
        make = getattr(module, method, None)
        if make is None:
            continue
        for given in ((sizes.batch,), (), (sizes.batch, torch.device("cpu"))):
            try:
                made = make(*given)
            except Exception:  # a user's module may raise anything
                continue
            leaves, structure = _pytree.tree_flatten(made)
            if leaves and all(isinstance(v, torch.Tensor) for v in leaves):
                return as_ports(name, leaves, structure)
    return None


def _port(name: str, shape: tuple[int, ...]) -> Port:
    return Port(name, shape, role="state")


def _pair(name: str, h: tuple[int, ...], c: tuple[int, ...]) -> tuple[Port, Port]:
    first, second = state_names(name, 2)
    return _port(first, h), _port(second, c)


def _float(module: nn.Module) -> str:
    parameter = next(module.parameters(), None)
    name = "float32" if parameter is None else str(parameter.dtype).removeprefix("torch.")
    return name if name in ("float16", "float32", "float64") else "float32"
