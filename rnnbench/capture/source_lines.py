"""Where in the model's own code a node came from."""

from __future__ import annotations

import re

from torch import fx

from rnnbench.models.own_files import is_library

_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\w+)')


def frames(text: str) -> list[tuple[str, int, str]]:
    """The (file, line, function) entries of the model's own code in a printed trace."""
    found = [(f, int(n), name) for f, n, name in _FRAME.findall(text)]
    return [f for f in found if not is_library(f[0])]


def source_line(node: fx.Node) -> str:
    """`file:line` of the innermost frame of the model's own code, or nothing."""
    own = frames(node.meta.get("stack_trace") or "")
    return f"{own[-1][0]}:{own[-1][1]}" if own else ""
