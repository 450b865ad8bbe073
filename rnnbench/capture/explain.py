"""Why a model could not be exported: the line of its code, the submodule, the reason, a remedy."""

from __future__ import annotations

import inspect
import linecache
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rnnbench.capture.remedies import find_remedy
from rnnbench.core.errors import RnnbenchError, one_line

if TYPE_CHECKING:
    from torch import nn

    from rnnbench.core.model import Model

_AT = re.compile(r" at ((?:[A-Za-z]:)?[^:\n]+\.py):(\d+)(?: in (\w+))?")
_STATE = re.compile(r"keeps its state in self\.([\w.]+)")
_ADVICE = re.compile(r": (make|take|write|correct|pack|use tensor|--lift-state) [^:]*(: .*)?$")
_WRITES = r"self\.{}(\.\w+_\(|\[.*\] *[-+*/]?=[^=]| *[-+*/]?=[^=])"


@dataclass(frozen=True)
class Obstacle:
    """What stands in the way.

    Attributes:
        file: of the model's own code; empty where no line is to blame.
        line: its number.
        code: the source line.
        function: the function that holds it.
        submodule: the path of the submodule in the model, and its class.
        reason: why it cannot be exported.
        remedy: what to change.
    """

    file: str = ""
    line: int = 0
    code: str = ""
    function: str = ""
    submodule: str = ""
    reason: str = ""
    remedy: str = ""


def explain(error: BaseException, model: Model | None = None) -> str:
    """A short text on why `export` or `capture` raised `error`.

    Args:
        error: what was raised.
        model: what was exported, where it can be had: then it can be run again to find the line.
    """
    found = find_obstacle(error, model)
    reason = _ADVICE.sub("", found.reason) or found.reason
    lines = [_headline(error)]
    if found.file:
        within = f" in {found.function}" if found.function else ""
        where = f"{found.file}:{found.line}{within}"
        lines += [f"  where   {where}", *([f"          {found.code}"] if found.code else [])]
    if found.submodule:
        lines.append(f"  module  {found.submodule}")
    lines.append(f"  why     {reason}")
    lines.append(f"  change  {found.remedy}")
    return "\n".join(lines)


def find_obstacle(error: BaseException, model: Model | None = None) -> Obstacle:
    """The same, as a record."""
    message = one_line(error)
    frames = _frames(error)
    # Where neither the error nor its message has a line of the model, running it may have one.
    if not any(f.own for f in frames) and model is not None and not _AT.search(message):
        again = _run_again(model)
        frames = [] if again is None else _frames(again)
    root = None if model is None else model.module
    found = _from_message(message, root)
    own = [f for f in frames if f.own]
    if not found.file and own:
        last = own[-1]
        found = Obstacle(last.file, last.line, function=last.function)
    submodule = found.submodule or _submodule(frames, root) or _holder(root, found)
    code = linecache.getline(found.file, found.line).strip() if found.file else ""
    reason = _reason(message)
    remedy = find_remedy(reason, code)
    return Obstacle(found.file, found.line, code, found.function, submodule, reason, remedy)


@dataclass(frozen=True)
class _Frame:
    file: str
    line: int
    function: str
    module: nn.Module | None
    own: bool


def _frames(error: BaseException) -> list[_Frame]:
    """The calls that led to the first cause of an error, outermost first."""
    from torch import nn

    from rnnbench.models.own_files import is_library

    # What was raised first is the cause; what was raised of it says less.
    first: BaseException | None = error
    chain = []
    while first is not None and first not in chain:
        chain.append(first)
        first = first.__cause__
    found: list[_Frame] = []
    for link in chain:
        traceback = link.__traceback__
        while traceback is not None:
            code, names = traceback.tb_frame.f_code, traceback.tb_frame.f_locals
            named = (names.get("self"), names.get("mod"))
            known = next((value for value in named if isinstance(value, nn.Module)), None)
            own = not is_library(code.co_filename)
            # Code that holds no module and is called by none is whoever asked for the export.
            inside = known is not None or any(f.module is not None for f in found)
            inside = inside and (known is not None or "site-packages" not in code.co_filename)
            found.append(
                _Frame(code.co_filename, traceback.tb_lineno, code.co_name, known, own and inside)
            )
            traceback = traceback.tb_next
    return found


def _run_again(model: Model) -> Exception | None:
    """What the module itself raises at the traced sizes."""
    import torch

    from rnnbench.capture.tracing.sizes import traced_sizes
    from rnnbench.capture.tracing.trace import evaluating
    from rnnbench.core.model import sample_inputs
    from rnnbench.models.calls import device_of, invoke

    device = device_of(model.module)
    try:
        arrays = sample_inputs(model, traced_sizes(model), 0)
        with evaluating(model.module):
            tensors = [torch.from_numpy(arrays[s.name]).to(device) for s in model.inputs]
            invoke(model.module, model.inputs, model.outputs, tensors)
    except Exception as error:  # a user's module may raise anything
        return error
    return None


def _from_message(message: str, root: nn.Module | None) -> Obstacle:
    """The place that the message names, or where the attribute that it names is written to."""
    at = _AT.search(message)
    if at:
        return Obstacle(at[1], int(at[2]), function=at[3] or "")
    state = _STATE.search(message)
    if not state or root is None:
        return Obstacle()
    path, _, name = state[1].rpartition(".")
    owner = root.get_submodule(path)
    file, line = _line_that_writes(type(owner), name)
    return Obstacle(file, line, submodule=_name(path, owner))


def _line_that_writes(cls: type, name: str) -> tuple[str, int]:
    """Where a class's methods, but for the constructor, assign an attribute."""
    for function in (v for k, v in vars(cls).items() if callable(v) and k != "__init__"):
        try:
            lines, first = inspect.getsourcelines(function)
            file = inspect.getsourcefile(function) or ""
        except (OSError, TypeError):
            continue
        for i, line in enumerate(lines):
            if re.search(_WRITES.format(re.escape(name)), line):
                return file, first + i
    return "", 0


def _submodule(frames: list[_Frame], root: nn.Module | None) -> str:
    """The innermost module of the model that was being called."""
    modules = [f.module for f in frames if f.module is not None]
    # Whoever wraps the model may have been called instead of it.
    if root is None or all(m is not root for m in modules):
        root = next((m for m in modules if not _is_torch(m)), None)
    if root is None:
        return ""
    paths: dict[int, str] = {id(m): path for path, m in root.named_modules()}
    inside = [m for m in modules if id(m) in paths]
    return _name(paths[id(inside[-1])], inside[-1]) if inside else ""


def _holder(root: nn.Module | None, place: Obstacle) -> str:
    """The first submodule whose class has the line in it."""
    for path, module in root.named_modules() if root is not None else ():
        try:
            lines, first = inspect.getsourcelines(type(module))
            file = inspect.getsourcefile(type(module))
        except (OSError, TypeError):
            continue
        if file == place.file and first <= place.line < first + len(lines):
            return _name(path, module)
    return ""


def _is_torch(module: Any) -> bool:
    return str(type(module).__module__).split(".")[0] == "torch"


def _name(path: str, module: nn.Module) -> str:
    return f"{path or '(the model itself)'}: {type(module).__name__}"


def _headline(error: BaseException) -> str:
    name = re.match(r"model ('[^']+')", one_line(error))
    return f"model {name[1]} cannot be exported" if name else "the model cannot be exported"


def _reason(message: str) -> str:
    """The message without its place, which is shown apart, and without the advice at its end."""
    text = re.sub(r"^model '[^']+'( cannot be captured)?:? ?", "", _AT.sub("", message))
    return text.removeprefix(": ").removeprefix("cannot be captured: ").strip(" :")


def explain_target(error: BaseException, target: str) -> str:
    """`explain` for code that the command line names; it is loaded again, to be run again."""
    from rnnbench.models import sources

    model = None
    with suppress(RnnbenchError):
        model = sources.load(target)
    return explain(error, model)
