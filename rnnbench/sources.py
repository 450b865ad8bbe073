"""A user's own code: `FILE.py[:function]` or `package.module:function` becomes a Model."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from rnnbench.errors import RnnbenchError, one_line
from rnnbench.model import Model

_DEFAULT_FUNCTION = "build"


def load(spec: str) -> Model:
    """Imports the code and calls the function that makes the model.

    Args:
        spec: `FILE.py`, `FILE.py:function` (`build` unless given) or `package.module:function`.

    Raises:
        RnnbenchError: the file, module or function is not there, raises, or returns no Model.
    """
    where, function = _split(spec)
    module = _import_file(Path(where)) if where.endswith(".py") else _import_module(where)
    factory = getattr(module, function, None)
    if not callable(factory):
        offered = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
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
    if not isinstance(model, Model):
        raise RnnbenchError(
            f"{where}:{function} returned {_a(model)}: return a rnnbench.Model "
            "(its module, and a TensorSpec for each input)"
        )
    return model


def _split(spec: str) -> tuple[str, str]:
    where, _, function = spec.rpartition(":")
    if not where or function.endswith(".py"):
        where, function = spec, _DEFAULT_FUNCTION
    if not where.endswith(".py") and not all(p.isidentifier() for p in where.split(".")):
        raise RnnbenchError(
            f"{spec!r} names no code: give FILE.py, FILE.py:function or package.module:function"
        )
    return where, function


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise RnnbenchError(f"there is no file {path}: give FILE.py[:function]")
    path = path.resolve()
    name = f"_rnnbench_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickling look their module up there
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise RnnbenchError(f"{path} raises {type(error).__name__}: {one_line(error)}") from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise RnnbenchError(
            f"module {name!r} cannot be imported ({one_line(error)}): install it, or run from "
            "the folder that holds it with PYTHONPATH=."
        ) from error


def _a(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
