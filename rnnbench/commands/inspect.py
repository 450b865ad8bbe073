"""`inspect`: what is in a file, and what may go wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rnnbench.commands._console import note, print_json, print_table, say
from rnnbench.commands._imports import large_imports
from rnnbench.commands._options import DIFFERS, FINE, as_json, option, verb
from rnnbench.core.documents import document
from rnnbench.core.errors import RnnbenchError, one_line

if TYPE_CHECKING:
    from rnnbench.inspection.inspect import Inspection


@verb(
    "Find how a file holds its recurrences.",
    "rnnbench inspect model.onnx",
    "rnnbench inspect exports/Net                 # every artifact in a folder",
    "rnnbench inspect old.onnx new.onnx --diff",
)
@click.argument("files", metavar="FILE|FOLDER...", nargs=-1, required=True)
@option(
    "--diff",
    is_flag=True,
    help="What differs between two files; of ONNX, the weights too.",
    group="Output",
)
@as_json
def command(files: tuple[str, ...], diff: bool, as_json: bool) -> int:
    """Say how FILEs (.onnx, TorchScript, .pt2) represent each recurrence, and their hazards.

    Of a folder, a bundle or any other, each such file in it is inspected.
    """
    with large_imports():
        from rnnbench.inspection.inspect import differences, format_inspection

    if diff and (len(files) != 2 or any(Path(file).is_dir() for file in files)):
        given = f"{len(files)} are" if len(files) != 2 else "a folder is"
        raise RnnbenchError(f"--diff compares two files, and {given} given: give two")
    reports = [report for given in files for report in _reports(given)]
    if diff:
        rows = differences(*reports)
        if any(report.format != "onnx" for report in reports):
            note("the weights are not compared: that is done where both files are ONNX")
        if as_json:
            found = [dict(zip(("what", "a", "b"), row, strict=True)) for row in rows]
            print_json(
                document("inspect-diff", {"files": list(files), "differences": found}, ok=not found)
            )
        else:
            print_table(["differs", *files], rows)
        return DIFFERS if rows else FINE
    fine = all(report.ok for report in reports)
    if as_json:
        entries = [report.to_json() for report in reports]
        print_json(document("inspect", {"files": entries}, ok=fine))
    else:
        say("\n\n".join(map(format_inspection, reports)))
    return FINE if fine else DIFFERS


_SUFFIXES = (".onnx", ".ts", ".jit", ".pt", ".pth", ".pt2")


def _reports(given: str) -> list[Inspection]:
    """What is in a file, or in each file of a folder that can be inspected.

    Raises:
        RnnbenchError: it cannot be read, or no file of the folder can.
    """
    from rnnbench.core.files import recognise
    from rnnbench.inspection.inspect import inspect

    folder = Path(given)
    if not folder.is_dir():
        return [inspect(given)]
    found: list[Inspection] = []
    files = [p for p in sorted(folder.iterdir()) if p.suffix in _SUFFIXES and p.is_file()]
    for path in files:
        kind = recognise(path)
        if kind is not None and kind.kind in ("onnx", "torchscript", "pt2"):
            try:
                found.append(inspect(path))
            except RnnbenchError as error:
                note(f"not inspected: {one_line(error)}")
        else:
            what = "of no kind that is known" if kind is None else kind.what
            note(f"not inspected: {path} is {what}")
    if files and not found:
        raise RnnbenchError(
            f"none of the {len(files)} files of {folder} can be inspected: copy them again, or "
            "give another folder"
        )
    if not found:
        raise RnnbenchError(
            f"{folder} holds no .onnx, TorchScript or .pt2 file that can be inspected: give "
            "the folder that does"
        )
    return found
