"""ONNX in tract, which panics on some files (pitfall 30d): give it a process of its own."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Arrays

if TYPE_CHECKING:
    from rnnbench.core.bundle import Bundle

FORMATS: tuple[str, ...] = ("onnx", "portable")
ENGINE = True
PACKAGES: tuple[str, ...] = ("tract",)
MODES: tuple[str, ...] = ("pinned",)
"""`pinned`: the file is loaded again for each shape of the inputs, with that shape fixed."""
EXTRA = True
ACCURACY = 4e-6
"""Its tanh and sigmoid are rational approximations: up to 2.6e-6 was seen."""


def available() -> str | None:
    """Why tract is not here; None where it is."""
    return None if find_spec("tract") else "tract is not installed: pip install tract"


def devices() -> tuple[str, ...]:
    """Where it runs."""
    return ("cpu",)


def load(
    bundle: Bundle | None,
    path: Path | None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    mode: str = "",
) -> Callable[[Arrays], Arrays]:
    """The optimised graph; tract computes in the thread that calls it, so `threads` is 1.

    Raises:
        RnnbenchError: the file is damaged, or tract cannot run it.
    """
    if device != "cpu":
        raise RnnbenchError(f"device {device!r}: tract is run on cpu here")
    assert path is not None
    if mode != "pinned":
        return Loaded(path)
    known: dict[Any, Loaded] = {}

    def run(arrays: Arrays) -> Arrays:
        key = tuple(sorted((name, array.shape) for name, array in arrays.items()))
        if key not in known:
            known[key] = _pinned(path, {name: array.shape for name, array in arrays.items()})
        return known[key](arrays)

    return run


def _pinned(path: Path, shapes: dict[str, tuple[int, ...]]) -> Loaded:
    import onnx

    from rnnbench.formats.onnx.profiles import pinned

    with tempfile.TemporaryDirectory(prefix="rnnbench-") as folder:
        file = Path(folder) / path.name
        onnx.save(pinned(path, shapes), file)
        return Loaded(file)


class Loaded:
    """A graph that is ready to run.

    Attributes:
        inputs: the names of those that it takes, in order.
        outputs: the names.
        run: tract's, from a list to a list.
    """

    def __init__(self, path: Path) -> None:
        import tract

        try:
            model = tract.onnx().load(path)
            self.inputs = [model.input_name(i) for i in range(model.input_count())]
            self.outputs = _output_names(path)
            self.run = model.into_model().into_runnable()
        except Exception as error:
            raise RnnbenchError(
                f"{path} is not ONNX that tract {tract.version()} runs ({_cause(error)}): "
                "export with --for tract"
            ) from None

    def __call__(self, arrays: Arrays) -> Arrays:
        """Computes once."""
        try:
            results = self.run.run([arrays[name] for name in self.inputs])
        except Exception as error:
            raise RnnbenchError(_cause(error)) from None
        return {n: r.to_numpy() for n, r in zip(self.outputs, results, strict=True)}


def _output_names(path: Path) -> list[str]:
    """As the file says: tract names an output after the node behind it."""
    import onnx

    return [o.name for o in onnx.load(str(path), load_external_data=False).graph.output]


def _cause(error: BaseException) -> str:
    """The last of tract's causes, which is the first thing that went wrong; no backtrace."""
    said = str(error).split("Stack backtrace")[0]
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    causes = [line.split(": ", 1)[1] for line in lines if re.match(r"\d+: ", line)]
    return causes[-1] if causes else one_line(error)
