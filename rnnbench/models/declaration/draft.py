"""`rnnbench init`: the first draft of a declaration, from a module's signature."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import TensorSpec
from rnnbench.models.declaration.ragged_dims import TIME
from rnnbench.models.sources import import_module, importing_from

if TYPE_CHECKING:
    from torch import nn

    from rnnbench.models.declaration.infer import Guess

_WIDTH = 88


@dataclass(frozen=True)
class Draft:
    """A declaration to be looked over.

    Attributes:
        text: the Python file.
        notes: what its author has to fill in or to check, a line each.
        complete: whether nothing is left to fill in and the module ran with what is declared.
    """

    text: str
    notes: tuple[str, ...]
    complete: bool


def draft(spec: str, folder: Path | None = None) -> Draft:
    """Drafts the declaration of `package.module:Class`.

    Args:
        spec: where the class is.
        folder: where the file will be; its neighbours can be imported.

    Raises:
        RnnbenchError: there is no such class, or it is no `torch.nn.Module`.
    """
    import torch

    from rnnbench.models.declaration.infer import guess, require_forward

    with importing_from(folder or Path(), Path()):
        cls = _find_class(spec)
        require_forward(cls, spec)
        blanks = _required(cls)
        module: nn.Module | None = None
        why = ""
        if not blanks:
            with torch.random.fork_rng(devices=[]):
                try:
                    module = cls()
                except Exception as error:  # somebody's constructor may raise anything
                    why = f"{cls.__name__}() raises {type(error).__name__}: {one_line(error)}"
        found = guess(cls, module)
    notes = tuple(_notes(cls, blanks, why, found))
    text = _text(spec, cls, blanks, why, found, _is_local(cls, folder or Path()))
    return Draft(text, notes, found.ran)


def write(drafted: Draft, path: str | Path, *, force: bool = False) -> Path:
    """Writes the file; one that is there stays, unless `force`.

    Raises:
        RnnbenchError: the file exists, is not named `.py`, or cannot be written.
    """
    path = Path(path)
    if path.suffix != ".py":
        raise RnnbenchError(f"{path}: give the name of a Python file, such as my_model.py")
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(drafted.text)
    except FileExistsError:
        raise RnnbenchError(f"{path} exists: choose another name, or --force") from None
    except OSError as error:
        raise RnnbenchError(f"{path} cannot be written: {error.strerror}") from None
    return path


def _find_class(spec: str) -> type[nn.Module]:
    from torch import nn

    where, _, name = spec.rpartition(":")
    if not where or not name.isidentifier() or not all(p.isidentifier() for p in where.split(".")):
        raise RnnbenchError(f"{spec!r} names no class: give package.module:Class")
    module = import_module(where)
    found = getattr(module, name, None)
    if isinstance(found, type) and issubclass(found, nn.Module):
        return found
    offered = [
        n for n, v in vars(module).items() if isinstance(v, type) and issubclass(v, nn.Module)
    ]
    what = "has no" if found is None else f"has a {type(found).__name__}, not a module class,"
    raise RnnbenchError(
        f"{where} {what} {name!r}: choose from {', '.join(offered) or 'another module'}"
    )


def _required(cls: type[nn.Module]) -> tuple[str, ...]:
    """The constructor's arguments without default."""
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return tuple(p.name for p in parameters if p.default is p.empty and p.kind in named)


def _notes(cls: type[nn.Module], blanks: tuple[str, ...], why: str, found: Guess) -> Iterator[str]:
    if blanks:
        yield f"fill in {', '.join(blanks)}: the constructor has no defaults for them"
    if why:
        yield f"fill in the constructor's arguments: {why}"
    if found.why:
        yield f"correct the inputs: {cls.__name__} did not run with them ({found.why})"
    elif not found.ran:
        yield "check the inputs' sizes and name the outputs: the module could not be run"
    if len(lengths := _lengths(found)) > 1:
        yield f"it ran with unequal {' and '.join(lengths)}: give them one name where they agree"
    if found.left_out:
        yield f"these arguments of forward keep their defaults: {', '.join(found.left_out)}"


def _text(
    spec: str, cls: type[nn.Module], blanks: tuple[str, ...], why: str, found: Guess, local: bool
) -> str:
    where, name = spec.rsplit(":", 1)
    imports = [f"from {where} import {name}", "from rnnbench import Model, TensorSpec"]
    between = "\n\n" if local else "\n"
    head = between.join(reversed(imports) if local else sorted(imports))
    doubtful = "" if found.ran else "  # FILL IN: the module was not run; name each of its tensors"
    body = [
        *_construction(name, blanks, why),
        "    return Model(",
        "        module=module,",
        *_inputs(found),
        f"        outputs={_tuple(found.outputs)},{doubtful}",
    ]
    if found.states:
        pairs = ", ".join(f'"{k}": "{v}"' for k, v in found.states.items())
        body.append(f"        states={{{pairs}}},")
    return "\n".join(
        [
            f'"""The declaration of {name}, drafted by rnnbench: look every line over.',
            "",
            "A size that is a str is dynamic, an int is fixed.",
            '"""',
            "",
            head,
            "",
            "",
            "def build() -> Model:",
            f'    """{name}, its inputs and its outputs."""',
            *body,
            "    )",
            "",
        ]
    )


def _construction(name: str, blanks: tuple[str, ...], why: str) -> list[str]:
    weights = "    # Load your weights here: module.load_state_dict(...)"
    if blanks:
        given = [f"        {b}=...,  # FILL IN: it has no default" for b in blanks]
        return [f"    module = {name}(", *given, "    )", weights]
    doubt = ["    # FILL IN the arguments: the constructor fails without."] if why else []
    return [*doubt, f"    module = {name}()", weights]


def _inputs(found: Guess) -> list[str]:
    doubt = [] if found.ran else ["            # FILL IN: sizes and dtypes were not tried out."]
    if len(lengths := _lengths(found)) > 1:
        doubt = [f"            # Give {' and '.join(lengths)} one name where they always agree."]
    specs = [_spec(spec) for spec in found.inputs]
    one = f"        inputs=({specs[0]},),"
    if len(specs) == 1 and not doubt and len(one) <= _WIDTH:
        return [one]
    return [
        "        inputs=(",
        *doubt,
        *(line for text in specs for line in _wrapped(text)),
        "        ),",
    ]


def _lengths(found: Guess) -> list[str]:
    """The dimensions along which sequences have lengths of their own."""
    dims = dict.fromkeys(d for spec in found.inputs for d in spec.shape if isinstance(d, str))
    return [d for d in dims if d == TIME or d.endswith(f"_{TIME}")]


def _wrapped(text: str) -> list[str]:
    """A spec as an element of a tuple, split as `ruff format` splits it."""
    line = f"            {text},"
    if len(line) <= _WIDTH:
        return [line]
    inner = text.removeprefix("TensorSpec(").removesuffix(")")
    return ["            TensorSpec(", f"                {inner}", "            ),"]


def _spec(spec: TensorSpec) -> str:
    arguments = [f'"{spec.name}"', _tuple(spec.shape)]
    if spec.dtype != "float32":
        arguments.append(f'dtype="{spec.dtype}"')
    if spec.role != "data":
        arguments.append(f'role="{spec.role}"')
    if spec.high is not None:
        arguments.append(f"high={spec.high}")
    return f"TensorSpec({', '.join(arguments)})"


def _tuple(values: tuple[Any, ...]) -> str:
    inner = ", ".join(f'"{v}"' if isinstance(v, str) else str(v) for v in values)
    return f"({inner},)" if len(values) == 1 else f"({inner})"


def _is_local(cls: type[nn.Module], folder: Path) -> bool:
    """Whether the class is code of the folder, which import sorters put last."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if file is None:
        return False
    top = Path(file).resolve().parents[cls.__module__.count(".")]
    return top in (folder.resolve(), Path.cwd())
