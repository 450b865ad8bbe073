"""What a module or `torch.export` raises, as one line with the place in the model's own code."""

from __future__ import annotations

import dis
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rnnbench.capture.source_lines import frames
from rnnbench.capture.tracing.data_branches import NoWay
from rnnbench.capture.tracing.foreign import said_of_foreign
from rnnbench.capture.tracing.rewriting import Rewritten
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Model
from rnnbench.core.one_thread import ignoring, printing_to, quiet_loggers
from rnnbench.models.own_files import is_library


@contextmanager
def one_line_errors(model: Model) -> Iterator[None]:
    """Turns whatever the module or `torch.export` raises into one line with the model's place."""
    with ignoring(("", Warning)), _without_dumps():
        try:
            yield
        except (KeyboardInterrupt, RnnbenchError, NoWay):
            raise
        except Exception as error:
            kind = DependsOnData if on_data(error) else RnnbenchError
            raise kind(in_one_line(model, error)) from error


@contextmanager
def _without_dumps() -> Iterator[None]:
    """On a refusal torch prints its whole graph to stderr; what the module prints is kept."""
    names = ("torch.fx.experimental.symbolic_shapes", "torch.export", "torch._dynamo")
    with quiet_loggers(names, logging.CRITICAL), printing_to("stderr") as printed:
        yield
    sys.stderr.write(printed.getvalue())


def in_one_line(model: Model, error: Exception) -> str:
    """The line that is said of an error: the model, the place, the reason."""
    place = where(error)
    text = said_of_foreign(error) or one_line(error)
    if on_data(error):
        text = (
            "what the module does next depends on the values of a tensor "
            f"(an `if` or a loop on data): {_ENDS if model.max_steps is None else _ASKS}"
        )
    elif "the requested shape has too few dimensions" in text and "copy_" in str(error):
        text = (
            "a buffer is given a tensor of another shape: make it a plain attribute (self.x = None)"
        )
    elif raised_by_the_model(error):
        text = f"the module raises {type(error).__name__}: {text}"
    return f"model {model.name!r} cannot be captured{place}: {text}"


_ENDS = (
    "make that step a tensor operation such as torch.where; where a loop ends there, declare "
    "max_steps=..., the steps that it has at most"
)
_ASKS = (
    "a loop with max_steps may ask once in each step, at its beginning or its end; make all else "
    "a tensor operation such as torch.where"
)


class DependsOnData(RnnbenchError):  # noqa: N818  (what a module does)
    """What the module does next depends on the values of a tensor.

    Attributes:
        those: the functions of the model that ran both ways of an `if` on data before.
    """

    those: Rewritten = Rewritten()


def on_data(error: BaseException) -> bool:
    """Whether torch could not go on without the values of a tensor."""
    return "data-dependent" in str(error) or "Could not guard" in str(error)


def where(error: BaseException) -> str:
    """` at file:line in function` of the model's own code, from an error's trace; or nothing."""
    calls: list[tuple[str, int, str]] = []
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        calls.append((code.co_filename, traceback.tb_lineno, code.co_name))
        traceback = traceback.tb_next
    own = [c for c in calls if not is_library(c[0])] or frames(str(error))
    return f" at {own[-1][0]}:{own[-1][1]} in {own[-1][2]}" if own else ""


def raised_by_the_model(error: BaseException) -> bool:
    """Whether it is a `raise` or `assert` of the model's own code.

    What Python raises on one of its lines may be a matter of the trace: a size that is a symbol.
    """
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return False
    code = traceback.tb_frame.f_code
    statement = dis.opname[code.co_code[traceback.tb_lasti]]
    return statement == "RAISE_VARARGS" and not is_library(code.co_filename)
