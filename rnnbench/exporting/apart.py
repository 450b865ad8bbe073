"""A bundle of a TorchScript file, made in a process of its own, with limits: it is a program.

It is asked to by `rnnbench.exporting.lone_file`, for the verbs that are handed such a file.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from rnnbench.core.collector import ending_at_once
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.processes import end_with_parent, limit_memory, run_limited
from rnnbench.models.files.inputs import FileInputs

SECONDS, MEMORY = 600.0, 8 * 2**30  # of CPU, and bytes


def export_apart(path: Path, given: FileInputs, out: Path) -> Path:
    """The folder of the bundle.

    Args:
        path: the file.
        given: what is said of its inputs.
        out: where the folder goes.

    Raises:
        RnnbenchError: it cannot be made, or the program ends its process.
    """
    said = json.dumps(asdict(given))
    try:
        answer = json.loads(
            run_limited(__spec__.name, str(path.absolute()), said, str(out), seconds=SECONDS)
        )
    except RnnbenchError as error:
        raise RnnbenchError(f"{path}: no bundle can be made of it: {one_line(error)}") from None
    if "error" in answer:
        raise RnnbenchError(answer["error"].replace(str(path.absolute()), str(path)))
    return Path(answer["path"])


def _main(path: str, said: str, out: str) -> dict[str, str]:
    from rnnbench.exporting import export
    from rnnbench.models.files.declare import declared

    given = json.loads(said)
    given["shapes"] = {name: tuple(sizes) for name, sizes in given["shapes"].items()}
    limit_memory(MEMORY)
    try:
        return {"path": str(export(declared(path, FileInputs(**given)), out=out).path)}
    except RnnbenchError as error:
        return {"error": str(error)}


if __name__ == "__main__":
    end_with_parent()
    ending_at_once()
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever the program prints is no answer
    print(json.dumps(_main(*sys.argv[1:])), file=answers)
