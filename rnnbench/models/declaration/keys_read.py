"""What a class reads out of a config that its constructor is given, found in its source.

config["hidden_size"], config.get("bias", True)   ->   a dict with hidden_size
args.hidden_size, getattr(args, "bias", True)     ->   a namespace with hidden_size
self.cfg = cfg ... self.cfg.model.depth           ->   a namespace in a namespace
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from rnnbench.models.declaration.values import Chosen, literal, named_values

_MOST = 10  # forms that are tried
_CONFIG = re.compile(
    r"(.*_)?(config|cfg|conf|args|opts?|options?|hparams?|hps?|params|parameters|hyper\w*|settings)",
    re.IGNORECASE,
)


@dataclass
class Read:
    """A part of a config.

    Attributes:
        parts: what is read out of it, by name.
        by_key: whether by `config["name"]`.
        by_attribute: whether by `config.name`.
    """

    parts: dict[str, Read] = field(default_factory=dict)
    by_key: bool = False
    by_attribute: bool = False


def configs_read(p: inspect.Parameter, cls: type) -> Iterator[Chosen]:
    """Configs with all that a class reads, the likeliest values first."""
    read = keys_read(cls, p.name)
    if not _is_config(read, p.name):
        return
    yield literal(_filled(read, {}))
    yield literal(_filled(read, {}, alike=True))
    names = [name for name in _names(read) if len(named_values(name)) > 1]
    for name in names[:_MOST]:
        for rank in range(1, len(named_values(name))):
            yield literal(_filled(read, {name: rank}))


def completed(given: Mapping[str, Any], p: inspect.Parameter, cls: type) -> Chosen | None:
    """A config that was given, with what else a class reads; None where that is nothing."""
    read = keys_read(cls, p.name)
    return literal(_over(_filled(read, {}), given)) if _is_config(read, p.name) else None


def _is_config(read: Read, name: str) -> bool:
    """Whether it is read as a dict, or as an object whose name says that it is a config."""
    named = read.by_attribute and _CONFIG.fullmatch(name) is not None
    return bool(read.parts) and read.by_key != named


def _over(made: Any, given: Mapping[str, Any]) -> Any:
    """A config with what was given in the place of what was chosen."""
    held = dict(vars(made)) if isinstance(made, SimpleNamespace) else dict(made)
    for key, value in given.items():
        inner = held.get(key, type(made)()) if isinstance(value, Mapping) else None
        held[key] = _over(inner, value) if isinstance(inner, dict | SimpleNamespace) else value
    return SimpleNamespace(**held) if isinstance(made, SimpleNamespace) else held


def keys_read(cls: type, name: str, depth: int = 3) -> Read:
    """What a class, and those to which it hands it on, read out of an argument of the constructor.

    Args:
        cls: the class.
        name: of the argument.
        depth: of classes that are given it.
    """
    found = Read()
    for base in cls.__mro__:
        tree = _tree_of(base)
        kept = _kept_as(tree, name)
        for method in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)):
            roots = kept | ({name} if name in {a.arg for a in method.args.args} else set())
            calls = [n for n in ast.walk(method) if isinstance(n, ast.Call)] if roots else []
            methods = {id(call.func) for call in calls}  # config.get, config.name.lower
            for node in ast.walk(method) if roots else ():
                if id(node) not in methods:
                    _note(node, found, roots)
                for other, parameter in _handed_on(node, roots, base) if depth else ():
                    if other is not cls:
                        _merge(found, keys_read(other, parameter, depth - 1))
    return found


@functools.cache
def _tree_of(cls: type) -> ast.AST:
    """A class's source; nothing of what PyTorch and Python have."""
    if cls.__module__.partition(".")[0] in ("torch", "builtins"):
        return ast.Module([], [])
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError, SyntaxError):  # there is no source
        return ast.Module([], [])


def _handed_on(node: ast.AST, roots: set[str], cls: type) -> Iterator[tuple[type, str]]:
    """The classes that a call gives the config to, and what they call it."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return
    other = vars(sys.modules.get(cls.__module__, object())).get(node.func.id)
    if not isinstance(other, type):
        return
    names = list(inspect.signature(other).parameters)
    for name, arg in zip(names, node.args, strict=False):
        if ast.unparse(arg) in roots:
            yield other, name
    yield from ((other, k.arg) for k in node.keywords if k.arg and ast.unparse(k.value) in roots)


def _merge(found: Read, more: Read) -> None:
    found.by_key |= more.by_key
    found.by_attribute |= more.by_attribute
    for name, part in more.parts.items():
        _merge(found.parts.setdefault(name, Read()), part)


def _kept_as(tree: ast.AST, name: str) -> set[str]:
    """The attributes that are the argument: `self.config` of `self.config = config`."""
    return {
        ast.unparse(target)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.value) == name
        for target in node.targets
        if isinstance(target, ast.Attribute)
    }


def _note(node: ast.AST, found: Read, roots: set[str]) -> None:
    """Notes one access, of parts of parts too."""
    path: list[tuple[str, bool]] = []  # the outermost last
    while True:
        if isinstance(node, ast.Attribute):
            path.append((node.attr, False))
            inner: ast.AST = node.value
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            if not isinstance(node.slice.value, str):
                return
            path.append((node.slice.value, True))
            inner = node.value
        else:
            return
        if isinstance(inner, ast.Name | ast.Attribute) and ast.unparse(inner) in roots:
            break
        node = inner
    here = found
    for part, by_key in reversed(path):
        here.by_key |= by_key
        here.by_attribute |= not by_key
        here = here.parts.setdefault(part, Read())


def _filled(read: Read, ranks: Mapping[str, int], *, alike: bool = False) -> Any:
    """A config, each value the likeliest of its name, or of a given rank; sizes all 16."""
    held: dict[str, Any] = {}
    for name, part in read.parts.items():
        if part.parts:
            held[name] = _filled(part, ranks, alike=alike)
            continue
        values = named_values(name) or (16,)
        value = values[min(ranks.get(name, 0), len(values) - 1)]
        value = {} if value == "<namespace>" else value
        held[name] = 16 if alike and type(value) is int and value in (5, 8) else value
    return held if read.by_key else SimpleNamespace(**held)


def _names(read: Read) -> list[str]:
    own = [name for name, part in read.parts.items() if not part.parts]
    return own + [name for part in read.parts.values() for name in _names(part)]
