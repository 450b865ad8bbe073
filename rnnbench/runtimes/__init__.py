"""The ways to run an artifact: a file for each in `adapters/`, with its `RUNTIME`."""

from __future__ import annotations

from rnnbench.core import plugins
from rnnbench.core.errors import RnnbenchError, choices, one_line
from rnnbench.core.model import Run
from rnnbench.runtimes.runtime import Runtime


def names() -> tuple[str, ...]:
    """Every runtime, sorted."""
    return plugins.names("runtimes")


def get(name: str) -> Runtime:
    """A runtime by its name; one from outside that cannot be imported is not here, and says why.

    Raises:
        RnnbenchError: there is none; the message lists those that there are.
    """
    name = plugins.canonical("runtimes", name)
    if not plugins.known("runtimes", name):
        raise choices("runtime", name, names())
    try:
        found: Runtime = plugins.load("runtimes", name).RUNTIME
    except RnnbenchError as error:
        return _broken(name, one_line(error))
    return found


def every() -> dict[str, Runtime]:
    """Name -> runtime, sorted, installed or not."""
    return {name: get(name) for name in names()}


def running(format: str) -> tuple[str, ...]:
    """The runtimes that run a format, installed or not; the usual ones come first."""
    able = {name: runtime for name, runtime in every().items() if format in runtime.formats}
    order = ("usual", "extra", "slow")
    return tuple(sorted(able, key=lambda name: order.index(able[name].cost)))


def engines() -> tuple[str, ...]:
    """The runtimes whose files other tools read too, installed or not, sorted."""
    return tuple(name for name, runtime in every().items() if runtime.engine)


def timeable() -> dict[str, Runtime]:
    """Name -> runtime, of those that `bench` times, installed or not, sorted."""
    return {name: runtime for name, runtime in every().items() if runtime.timing is not None}


def _broken(name: str, why: str) -> Runtime:
    def load(*_: object, **__: object) -> Run:
        raise RnnbenchError(why)

    return Runtime(name, (), {}, load, lacks=lambda: why)
