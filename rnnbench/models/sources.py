"""A user's own code: `FILE.py[:function]` or `package.module:function` becomes a Model."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from rnnbench.core.bundle import is_bundle
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Model
from rnnbench.core.recorded import importing_recorded, loader_of
from rnnbench.core.trust import Code

_DEFAULT_FUNCTION = "build"
_MODULE = "torch.nn.modules.module.Module"


def load(spec: str, *, lift_state: bool = False, code: Code | None = None) -> Model:
    """Imports the code and calls the function that makes the model.

    The folder of the file and the current one are on the path meanwhile.

    Args:
        spec: `FILE.py`, `FILE.py:function` (`build` unless given) or `package.module:function`.
        lift_state: as if the declaration had it.
        code: what the record has of it, where nothing else may run: its folders are on the path
            meanwhile, instead.

    Returns:
        The model; where it has `lift_state`, with the states as inputs and outputs.

    Raises:
        RnnbenchError: the file, module or function is not there, raises, or returns no Model.
    """
    where, function = _split(spec)
    is_file = where.endswith(".py")
    folders = [*([Path(where).parent] if is_file else []), Path()]
    with ExitStack() as importing:
        importing.enter_context(importing_from(*(code.folders if code else folders)))
        if code is not None:
            importing.enter_context(importing_recorded(code))
        module = _import_file(Path(where), code) if is_file else import_module(where)
        model = _make(where, function, module)
        if not (lift_state or model.lift_state):
            return model
        from rnnbench.models.lifting import lifted

        return lifted(replace(model, lift_state=True))


@contextmanager
def importing_from(*folders: Path) -> Iterator[None]:
    """The folders first on the path, as `python -m` has the current one and the console script not.

    They stay there while what is imported runs, since functions import as well.
    """
    added = [str(folder.resolve()) for folder in folders]
    sys.path[:0] = added
    try:
        yield
    finally:
        for path in added:
            if path in sys.path:
                sys.path.remove(path)


def import_module(name: str) -> ModuleType:
    """Imports a module by its name.

    Raises:
        RnnbenchError: it is not there, raises, or came with a bundle.
    """
    try:
        _refuse_code_of_a_bundle(name)
        return importlib.import_module(name)
    except RnnbenchError:
        raise
    except Exception as error:  # somebody's module may raise anything
        raise RnnbenchError(
            f"module {name!r} cannot be imported ({one_line(error)}): install it, or run from "
            "the folder that holds it"
        ) from error


def _make(where: str, function: str, module: ModuleType) -> Model:
    factory = getattr(module, function, None)
    kind = _module_kind(factory)
    if kind:
        raise RnnbenchError(
            f"{where}:{function} is {kind}, and a function that returns a rnnbench.Model is "
            f"needed: {_draft(where, factory)}"
        )
    if not callable(factory):
        offered = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        own = [n for n in offered if _module_kind(getattr(module, n)) == _CLASS]
        if own and function == _DEFAULT_FUNCTION:
            raise RnnbenchError(
                f"{where} has no function {function!r} that returns a rnnbench.Model, and it has "
                f"{', '.join(own)}: {_draft(where, getattr(module, own[0]))}"
            )
        raise RnnbenchError(
            f"{where} has no function {function!r}: it has {', '.join(offered) or 'none'}; "
            f"give {where}:FUNCTION, one that returns a rnnbench.Model"
        )
    try:
        model = factory()
    except RnnbenchError:
        raise
    except Exception as error:
        raise RnnbenchError(
            f"{where}:{function} raises {type(error).__name__}: {one_line(error)}"
        ) from error
    if _module_kind(model):
        raise RnnbenchError(
            f"{where}:{function} returned {_a(model)}, which says nothing of its inputs: return a "
            f"rnnbench.Model with a TensorSpec for each; {_draft(where, model)}"
        )
    if not isinstance(model, Model):
        raise RnnbenchError(
            f"{where}:{function} returned {_a(model)}: return a rnnbench.Model "
            "(its module, and a TensorSpec for each input)"
        )
    return model


_CLASS = "a module class"


def _module_kind(value: Any) -> str:
    """`a module class` or `a module`; empty where it is neither. torch is not imported for it."""
    cls = value if isinstance(value, type) else type(value)
    is_module = any(f"{c.__module__}.{c.__name__}" == _MODULE for c in cls.__mro__)
    return (_CLASS if cls is value else "a module") if is_module else ""


def _draft(where: str, value: Any) -> str:
    """The command that drafts a declaration of a module or its class."""
    cls = value if isinstance(value, type) else type(value)
    inside = where if where.endswith(".py") else cls.__module__
    return f"`rnnbench init my_model.py --from {inside}:{cls.__name__}` drafts one"


def _split(spec: str) -> tuple[str, str]:
    where, _, function = spec.rpartition(":")
    if not where or function.endswith(".py"):
        where, function = spec, _DEFAULT_FUNCTION
    if not where.endswith(".py") and not all(p.isidentifier() for p in where.split(".")):
        raise RnnbenchError(
            f"{spec!r} names no code: give FILE.py, FILE.py:function or package.module:function"
        )
    return where, function


def _import_file(path: Path, code: Code | None) -> ModuleType:
    if not path.is_file():
        raise RnnbenchError(f"there is no file {path}: give FILE.py[:function]")
    path = path.resolve()
    name = f"_rnnbench_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    loader = loader_of(code, name, path) if code is not None else None
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickling look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise RnnbenchError(f"{path} raises {type(error).__name__}: {one_line(error)}") from error
    return module


def _refuse_code_of_a_bundle(name: str) -> None:
    """Bundles come from anywhere: to stand in one does not run Python that came with it."""
    found = importlib.util.find_spec(name.partition(".")[0])
    for place in (found.origin, *(found.submodule_search_locations or ())) if found else ():
        for folder in Path(place or "").resolve().parents:
            if is_bundle(folder):
                raise RnnbenchError(
                    f"module {name!r} is inside of the bundle {folder}, and code that came with a "
                    "bundle is not run: move it out, if you trust it"
                )


def _a(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def file_holding(spec: str) -> Path | None:
    """The file of code that has been loaded; None where there is no such file."""
    where, _ = _split(spec)
    if where.endswith(".py"):
        return Path(where) if Path(where).is_file() else None
    file = getattr(sys.modules.get(where), "__file__", None)
    return Path(file) if file else None


def is_source(target: str) -> bool:
    """Whether a target names somebody's own code, not a variant."""
    return ":" in target or file_of(target).endswith(".py")


def file_of(target: str) -> str:
    """The part before the function; the colon of a Windows drive belongs to the file."""
    file, _, function = target.rpartition(":")
    return file if file and not function.endswith(".py") else target
