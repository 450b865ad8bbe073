"""What TorchScript's code consists of: modules with their attributes, classes and functions."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rnnbench.core.errors import RnnbenchError

CONSTANTS = "CONSTANTS"


@dataclass(eq=False)
class Object:
    """A module of the file.

    Attributes:
        cls: its class's full name.
        path: of its attributes' names, `encoder.rnn.`.
        attributes: literals, lists, objects, and `Ref` for tensors.
    """

    cls: str
    path: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Function:
    """A free function of the file, as a value."""

    name: str


class Library:
    """The classes and functions of the code, by their full names."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._classes: dict[str, dict[str, ast.FunctionDef]] = {}
        self._functions: dict[str, ast.FunctionDef] = {}
        for module, text in sources.items():
            try:
                tree = ast.parse(text)
            except (SyntaxError, ValueError, MemoryError):
                raise RnnbenchError(f"the code of {module} is damaged") from None
            for item in tree.body:
                if isinstance(item, ast.FunctionDef):
                    self._functions[f"{module}.{item.name}"] = item
                elif isinstance(item, ast.ClassDef):
                    self._classes[f"{module}.{item.name}"] = {
                        f.name: f for f in item.body if isinstance(f, ast.FunctionDef)
                    }

    def method(self, cls: str, name: str) -> ast.FunctionDef | None:
        """A method of a class."""
        return self._classes.get(cls, {}).get(name)

    def function(self, name: str) -> ast.FunctionDef | None:
        """A free function."""
        return self._functions.get(name)
