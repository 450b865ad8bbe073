"""`rnnbench init`: the first draft of a declaration, from a class, its weights, and trial runs."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import TensorSpec
from rnnbench.models.sources import import_module, importing_from

if TYPE_CHECKING:
    from torch import nn

    from rnnbench.models.declaration.checkpoint import Checkpoint
    from rnnbench.models.declaration.construct import Built
    from rnnbench.models.declaration.guesses import Guess

_SECONDS = 60.0
_TRIALS = 46.0  # seconds after which no other draft is exported


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


def draft(
    spec: str,
    folder: Path | None = None,
    *,
    arguments: Mapping[str, Any] | None = None,
    weights: str | Path | None = None,
    on_run: Callable[[int, float], None] = lambda runs, seconds: None,
    on_trial: Callable[[str, float], str | None] | None = None,
) -> Draft:
    """Drafts the declaration of `package.module:Class`.

    Args:
        spec: where the class is.
        folder: where the file will be; its neighbours can be imported.
        arguments: of the constructor, by name.
        weights: a checkpoint: the draft loads it, and its shapes say other arguments.
        on_run: called before each trial run, with their number and the seconds since the start.
        on_trial: exports the text of a draft in so many seconds, and says why it is refused (None
            where it is not), or raises `TimeoutError`; drafts are not exported without it.

    Raises:
        RnnbenchError: there is no such class, or it is no `torch.nn.Module`; the constructor has no
            such argument; the checkpoint cannot be read.
    """
    import torch

    from rnnbench.models.declaration.text import file_of

    folder = folder or Path()
    with importing_from(folder, Path()), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the same draft each time
        cls = _find_class(spec)
        _require_forward(cls, spec)
        trial = _Trial(spec, cls, folder, on_trial)
        built, found, checkpoint = _tried(cls, arguments or {}, weights, on_run, trial)
        text = file_of(spec, built, found, checkpoint, folder, _is_local(cls, folder))
    return Draft(text, tuple(_notes(cls, built, found, checkpoint)), found.ran)


@dataclass(frozen=True)
class _Trial:
    """How drafts are exported before one is written.

    Attributes:
        spec: where the class is.
        cls: it.
        folder: where the file will be.
        on_trial: what exports a text; None: nothing does.
    """

    spec: str
    cls: type[nn.Module]
    folder: Path
    on_trial: Callable[[str, float], str | None] | None

    def __call__(
        self, built: Built, checkpoint: Checkpoint | None, found: Guess, seconds: float
    ) -> str | None:
        """Why a draft is refused; None where it is not."""
        from rnnbench.models.declaration.text import file_of

        assert self.on_trial is not None
        # It is tried in another folder, in which a checkpoint is not found by a relative path.
        text = file_of(self.spec, built, found, checkpoint, Path(os.devnull), local=False)
        return self.on_trial(text, seconds)


def _tried(
    cls: type[nn.Module],
    given: Mapping[str, Any],
    weights: str | Path | None,
    on_run: Callable[[int, float], None],
    trial: _Trial,
) -> tuple[Built, Guess, Checkpoint | None]:
    """An object and a call of it that runs; the last that were tried where there is none."""
    from rnnbench.models.declaration.checkpoint import build_for, read
    from rnnbench.models.declaration.construct import builds, numbers_of, set_unset
    from rnnbench.models.declaration.guesses import Guess
    from rnnbench.models.declaration.inference import Inference
    from rnnbench.models.declaration.proving import proved

    start, count = time.monotonic(), 0

    def counted() -> None:
        nonlocal count
        count += 1
        on_run(count, time.monotonic() - start)

    checkpoint: Checkpoint | None = None
    if weights is not None:
        built, checkpoint = build_for(
            cls, given, read(weights), lambda: time.monotonic() - start > _SECONDS / 2
        )
        ways: Iterator[Built] = iter([built])
        if built.module is not None and checkpoint.strict:
            built.module.load_state_dict(checkpoint.weights())
    else:
        ways = builds(cls, given)
    tried: list[tuple[Built, Guess]] = []
    for n, made in enumerate(ways):
        way = made
        module = way.module
        if module is None:
            found = Guess((TensorSpec("x", ("batch", "time", "features")),))
        else:
            way = replace(way, unset=set_unset(module))
            until = start + _SECONDS * (1 if n else 2 / 3)
            inference = Inference(module, until, numbers_of(cls, way), counted)
            found = inference.best()
            if found.ran and trial.on_trial is not None:
                attempt = partial(trial, way, checkpoint)
                found = proved(found, inference, attempt, start + _TRIALS)
        tried.append((way, found))
        if found.ran:
            return way, found, checkpoint
    built, found = next(((b, f) for b, f in tried if b.module is not None), tried[0])
    blank = {name: "unknown" for name, origin in built.origin.items() if origin == "chosen"}
    return replace(built, origin={**built.origin, **blank}), found, checkpoint


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
    if isinstance(found, nn.Module):
        raise RnnbenchError(
            f"{spec} is an object, and its class is needed: give {where}:{type(found).__name__}"
        )
    what = "has no" if found is None else f"has a {type(found).__name__}, not a module class,"
    raise RnnbenchError(
        f"{where} {what} {name!r}: choose from {', '.join(offered) or 'another module'}"
    )


def _require_forward(cls: type[nn.Module], where: str) -> None:
    """Raises where a class has no `forward` with an argument, or hides what every module has."""
    import inspect

    import torch
    from torch import nn

    from rnnbench.models.declaration.forward import written_forward

    own = written_forward(cls)
    if own is None:
        raise RnnbenchError(f"{where} has no forward method: give the class of the whole network")
    for name in ("parameters", "modules"):
        method = getattr(cls, name)
        if method is not getattr(nn.Module, name) and not issubclass(cls, torch.jit.ScriptModule):
            raise RnnbenchError(
                f"{where} has a method {name}() of its own, where that of torch.nn.Module is "
                "needed: give a module that holds it, and calls it in its forward"
            )
    parameters = list(inspect.signature(own).parameters.values())[1:]
    if not [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]:
        raise RnnbenchError(
            f"{where}.forward takes no tensor by its place: wrap it in a module that does"
        )


def _notes(
    cls: type[nn.Module], built: Built, found: Guess, checkpoint: Checkpoint | None
) -> Iterator[str]:
    blanks = [name for name, origin in built.origin.items() if origin == "unknown"]
    chosen = [
        f"{name}={built.arguments[name].text}"
        for name, origin in built.origin.items()
        if origin == "chosen"
    ]
    if blanks:
        yield f"fill in {', '.join(blanks)}: the constructor has no defaults for them (--arg)"
    if built.why:
        yield f"fill in the constructor's arguments: {built.why}"
    if chosen:
        said = ", ".join(chosen)
        yield f"chosen, as the constructor has no defaults: {said} (--arg gives others)"
    if checkpoint is not None and not checkpoint.strict:
        file = checkpoint.file
        yield f"the shapes of {file} differ from the module's: give its arguments (--arg)"
    if built.unset:
        yield "its constructor gives no values to some weights: the draft makes random ones"
    if found.why:
        yield f"correct the inputs: {cls.__name__} did not run with them ({found.why})"
    elif not found.ran:
        yield "check the inputs' sizes and name the outputs: the module could not be run"
    yield from found.doubts
    yield from filter(None, (" ".join(found.remarks),))
    if found.left_out:
        yield f"these arguments of forward keep their defaults: {', '.join(found.left_out)}"
    if found.lift_state:
        yield "the module keeps a state between calls: the draft has lift_state=True"


def _is_local(cls: type[nn.Module], folder: Path) -> bool:
    """Whether the class is code of the folder, which import sorters put last."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if file is None:
        return False
    top = Path(file).resolve().parents[cls.__module__.count(".")]
    return top in (folder.resolve(), Path.cwd())
