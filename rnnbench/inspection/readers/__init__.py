"""The kinds of file that can be inspected: one file each, with the same two names.

* `recognises(path)`: whether the first bytes, or the names inside of an archive, are of this kind;
* `read(path) -> Program`: what it holds. Nothing in the file is run or unpickled.
"""

from __future__ import annotations

from pathlib import Path

from rnnbench.core import plugins
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.files import recognise
from rnnbench.inspection.program import Program


def read(path: Path) -> Program:
    """Reads a file of any kind, which its content decides, not its name.

    Raises:
        RnnbenchError: there is no such file, it is of none of the kinds, or it is damaged.
    """
    if path.is_dir():
        raise RnnbenchError(f"{path} is a folder: give a file in it, .onnx, TorchScript or .pt2")
    if not path.is_file():
        raise RnnbenchError(f"{path} is not there: give an .onnx, TorchScript or .pt2 file")
    if not path.stat().st_size:
        raise RnnbenchError(f"{path} is empty: copy it again")
    for name in plugins.names("readers"):
        reader = plugins.load("readers", name)
        if reader.recognises(path):
            try:
                program: Program = reader.read(path)
            except RecursionError:
                raise RnnbenchError(f"{path} is nested too deeply to be read") from None
            return program
    given = recognise(path)
    raise RnnbenchError(
        str(given)
        if given is not None and given.kind not in ("onnx", "torchscript", "pt2")
        else f"{path} is neither ONNX, TorchScript nor .pt2: give one of these"
    )
