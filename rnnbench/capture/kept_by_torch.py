"""What torch keeps of each trace for good, for who exports many models in one process.

`torch.fx` keeps the source of each graph that it has ever compiled, for traces of errors. The
environment of a trace's symbols, with all that was computed of them, is in a cycle through C++,
which no collector sees. Half a megabyte in each export of a small model. Tried on torch 2.11 to
2.14.
"""

from __future__ import annotations

import linecache
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import graph_module
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from rnnbench.core.one_thread import exchanged


@contextmanager
def caches_as_they_were() -> Iterator[None]:
    """Forgets what was kept meanwhile: nothing that outlives the block may have a symbol of it.

    After an error, which may be explained by its symbols, those stay.
    """
    sources = graph_module._loader.eval_cache
    before = set(sources)
    made: list[weakref.ref[ShapeEnv]] = []
    begin = ShapeEnv.__init__

    def noted(environment: ShapeEnv, *args: Any, **named: Any) -> None:
        begin(environment, *args, **named)
        made.append(weakref.ref(environment))

    try:
        with exchanged(ShapeEnv, "__init__", noted):
            yield
        for each in made:
            environment = each()
            if environment is not None:
                vars(environment).clear()
    finally:
        for name in set(sources) - before:
            sources.pop(name, None)
            linecache.cache.pop(name, None)
        FakeTensorMode.cache_clear()
        for method in vars(ShapeEnv).values():  # of which the keys hold environments
            clear = getattr(method, "cache_clear", None)
            if clear is not None:
                clear()
