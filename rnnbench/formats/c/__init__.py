"""C99 that needs no runtime: `model.c`, `model.h` and `model_weights.c`, without malloc."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError
from rnnbench.core.trust import digest
from rnnbench.formats._format import Format, WriteOptions
from rnnbench.models.precision import LEVELS

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from rnnbench.capture.program import Captured

CODE, HEADER, WEIGHTS = "model.c", "model.h", "model_weights.c"
_WHOLE = "int8-dynamic"
_SUM = "/* sha256 of "


def is_whole(path: Path) -> bool:
    """Whether the files beside `model.c` are those that it was written with."""
    with path.open(encoding="utf-8") as file:
        said = [next(file, "") for _ in (HEADER, WEIGHTS)]
    files = [path.with_name(name) for name in (HEADER, WEIGHTS)]
    return all(file.is_file() for file in files) and said == [
        f"{_SUM}{file.name} {digest(file)} */\n" for file in files
    ]


def write(captured: Captured, path: Path, options: WriteOptions) -> dict[str, Any]:
    """Writes the program as C; its header and its constants stand beside it.

    Returns:
        What the manifest says of the artifact.

    Raises:
        RnnbenchError: something in the program has no form in C.
    """
    from rnnbench import __version__
    from rnnbench.core.text import harmless
    from rnnbench.core.trust import remember_machine_code
    from rnnbench.formats.c.program import files_of
    from rnnbench.formats.c.sizes import NoForm

    facts = f"{harmless(captured.model.name)}, written by rnnbench {__version__}"
    facts += f", weights sha256 {options.metadata.get('weights_sha256', '')[:16]}"
    try:
        files = files_of(captured, facts.replace("*/", "* /"), options.precision)
    except NoForm as error:  # which is of no line: of an input or an output
        raise RnnbenchError(
            f"model {captured.model.name!r}: {error}: export to onnx, torchscript or pt2"
        ) from error
    lines = []
    for name, parts in ((HEADER, [files.header]), (WEIGHTS, files.weights)):
        with (path.parent / name).open("w", encoding="utf-8") as file:
            file.writelines(parts)
        lines.append(f"{_SUM}{name} {digest(path.parent / name)} */\n")
    path.write_text("".join(lines) + files.code, encoding="utf-8")
    remember_machine_code(path)
    said: dict[str, Any] = {"precision": options.precision} if options.precision else {}
    if options.precision == _WHOLE:
        said["whole"] = files.whole
    return said | {
        "weight_bytes": files.weight_bytes,
        "beside": [HEADER, WEIGHTS],
        "inputs": list(files.inputs),
        "outputs": [[name, dtype, rank] for name, (_, dtype, rank) in files.outputs.items()],
    }


def evaluated(path: Path, captured: Callable[[], Captured]) -> torch.nn.Module:
    """What a file of int8-dynamic computes: its program, rounded where the C rounds."""
    from rnnbench.formats.c.program import rounding_of
    from rnnbench.formats.c.rounding import RoundingProgram

    return RoundingProgram(*rounding_of(captured(), _WHOLE))


FORMAT = Format(
    suffix=".c",
    requires={"torch": "torch"},
    write=write,
    precisions=("float16", "bfloat16", "int8-weights", _WHOLE),
    levels={_WHOLE: LEVELS},
    evaluated=evaluated,
)
