"""The Python file of a draft."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnnbench.core.dims import Dim
from rnnbench.core.model import TensorSpec
from rnnbench.models.declaration.checkpoint import Checkpoint
from rnnbench.models.declaration.construct import Built
from rnnbench.models.declaration.guesses import Guess
from rnnbench.models.declaration.sampling import sample_text
from rnnbench.models.declaration.values import quoted
from rnnbench.models.declaration.wrapper import WIDTH, first_call, imports_of_call, wrapper

_ORIGIN = {
    "given": "",
    "chosen": "  # CHOSEN: it has no default",
    "weights": "  # from the shapes of the weights",
    "unknown": "  # FILL IN: it has no default",
}

_NAMES = ("Model", "TensorSpec", "Dim", "Path", "SimpleNamespace", "Call", "build", "sample")


def file_of(
    spec: str, built: Built, found: Guess, checkpoint: Checkpoint | None, folder: Path, local: bool
) -> str:
    """The whole file.

    Args:
        spec: `package.module:Class`.
        built: how the object is made.
        found: how it is called.
        checkpoint: its weights.
        folder: where the file will be.
        local: whether the class is code of that folder, which import sorters put last.
    """
    name = spec.rsplit(":", 1)[1]
    body = [
        *_construction(_as_imported(name, spec, built), built),
        *first_call(found),
        *_set(built),
        *_loading(checkpoint, folder),
        *_model(name, found),
    ]
    head = [f'"""The declaration of {name}, drafted by rnnbench: look every line over.', ""]
    head += ["A size that is a str is dynamic, an int is fixed.", '"""', ""]
    blocks = [
        *([wrapper(name, found, found.caller)] if found.caller else []),
        *([text] if (text := sample_text(found)) else []),
        "\n".join([
            "def build() -> Model:",
            f'    """{name}, its inputs and its outputs."""',
            *body,
            "    )",
        ]),
    ]  # fmt: skip
    imports = _imports(spec, built, found, checkpoint, folder, local)
    return "\n".join([*head, imports, "", "", "\n\n\n".join(blocks), ""])


def _imports(
    spec: str, built: Built, found: Guess, checkpoint: Checkpoint | None, folder: Path, local: bool
) -> str:
    where, name = spec.rsplit(":", 1)
    lines = [line for chosen in built.arguments.values() for line in chosen.imports]
    here = _as_imported(name, spec, built)
    itself = f"from {where} import {name}{f' as {here}' if here != name else ''}"
    if checkpoint is not None and _is_below(checkpoint.file, folder):
        lines.append("from pathlib import Path")
    if sample_text(found):
        lines.append("import numpy as np")
    if found.caller is not None or found.lazy or checkpoint is not None or built.unset:
        lines.append("import torch")
    lines += imports_of_call(found)
    standard = ("from pathlib", "from types")
    first = sorted({line for line in lines if line.startswith(standard)})
    own = {itself} if local else set()
    own |= {line for line in lines if local and line.startswith(f"from {where} ")}
    rest = {line for line in lines if line not in first and line not in own}
    rest |= {f"from rnnbench import {'Dim, ' if found.dims else ''}Model, TensorSpec"}
    rest |= set() if local else {itself}
    ordered = sorted(_joined(rest), key=lambda line: (line.startswith("from"), line))
    groups = [first, ordered, _joined(own)]
    return "\n\n".join("\n".join(group) for group in groups if group)


def _as_imported(name: str, spec: str, built: Built) -> str:
    """What the class is called in the file, which has names of its own."""
    where = f"from {spec.rsplit(':', 1)[0]} import "
    others = [line for chosen in built.arguments.values() for line in chosen.imports]
    taken = {n for line in others if not line.startswith(where) for n in _names_of(line)}
    return f"{name}Module" if name in _NAMES or name in taken else name


def _names_of(line: str) -> list[str]:
    """What an import makes known."""
    return [name.rpartition(" as ")[2] for name in line.rpartition("import ")[2].split(", ")]


def _joined(lines: set[str]) -> list[str]:
    """One line for each module that something is imported from."""
    plain = sorted(line for line in lines if not line.startswith("from "))
    by_module: dict[str, set[str]] = {}
    for line in lines - set(plain):
        module, _, names = line.removeprefix("from ").partition(" import ")
        by_module.setdefault(module, set()).update(names.split(", "))
    return plain + [f"from {m} import {', '.join(sorted(n))}" for m, n in sorted(by_module.items())]


def _construction(name: str, built: Built) -> list[str]:
    if built.module is None and not built.arguments:
        return [
            "    # FILL IN the arguments: the constructor fails without.",
            f"    module = {name}()",
        ]
    if not built.arguments:
        return [f"    module = {name}()"]
    given = []
    for key, chosen in built.arguments.items():
        origin = built.origin.get(key, "chosen")
        text = "..." if origin == "unknown" else chosen.text
        given.append(f"        {key}={text},{_ORIGIN[origin]}")
    return [f"    module = {name}(", *given, "    )"]


def _set(built: Built) -> list[str]:
    """Values for parameters that the constructor leaves without."""
    if not built.unset:
        return []
    return [
        "    # The constructor gives these no values: load your weights in their place.",
        "    for parameter in (",
        *(f'        "{name}",' for name in built.unset),
        "    ):",
        "        torch.nn.init.uniform_(module.get_parameter(parameter), -0.1, 0.1)",
    ]


def _loading(checkpoint: Checkpoint | None, folder: Path) -> list[str]:
    if checkpoint is None:
        return ["    # Load your weights here: module.load_state_dict(...)"]
    where = f'"{checkpoint.file.resolve().as_posix()}"'
    if _is_below(checkpoint.file, folder):
        relative = Path(os.path.relpath(checkpoint.file.resolve(), folder.resolve())).as_posix()
        where = f'Path(__file__).parent / "{relative}"'
    keys = "".join(f"[{quoted(key)}]" for key in checkpoint.keys)
    lines = [
        f"    file = {where}",
        f'    weights = torch.load(file, map_location="cpu", weights_only=True){keys}',
    ]
    prefix = checkpoint.prefix
    if prefix:
        others = any(not key.startswith(prefix) for key in checkpoint.state)
        only = f' if k.startswith("{prefix}")' if others else ""
        lines.append(
            f'    weights = {{k.removeprefix("{prefix}"): v for k, v in weights.items(){only}}}'
        )
    if checkpoint.strict:
        return [*lines, "    module.load_state_dict(weights)"]
    return [
        *lines,
        "    # FILL IN: these weights and the module differ; see what load_state_dict returns.",
        "    module.load_state_dict(weights, strict=False)",
    ]


def _is_below(file: Path, folder: Path) -> bool:
    return file.resolve().is_relative_to(folder.resolve())


def _model(name: str, found: Guess) -> list[str]:
    doubtful = "" if found.ran else "  # FILL IN: the module was not run; name each of its tensors"
    lines = [line for remark in found.remarks for line in _comment(remark)]
    lines.append("    return Model(")
    lines.append(f"        module={'Call(module)' if found.caller else 'module'},")
    lines += _inputs(found)
    outputs = f"        outputs={_tuple(found.outputs)},{doubtful}"
    if len(outputs) > WIDTH and not doubtful:
        inner = [f'            "{output}",' for output in found.outputs]
        lines += ["        outputs=(", *inner, "        ),"]
    else:
        lines.append(outputs)
    if found.states:
        pairs = [f'"{k}": "{v}"' for k, v in found.states.items()]
        one = f"        states={{{', '.join(pairs)}}},"
        if len(one) > WIDTH:
            one = "\n".join(
                ["        states={", *(f"            {p}," for p in pairs), "        },"]
            )
        lines.append(one)
    if found.caller:
        lines.append(f'        name="{name}",')
    if sample_text(found):
        lines.append("        sample=sample,")
    if found.dims:
        sizes = ", ".join(f'"{name}": {_dim(dim)}' for name, dim in found.dims.items())
        lines.append("        # At other sizes the module fails, or takes another way.")
        lines.append(f"        dims={{{sizes}}},")
    if found.lift_state:
        lines.append("        # What the module keeps between calls becomes inputs and outputs.")
        lines.append("        lift_state=True,")
    return lines


def _comment(text: str) -> list[str]:
    """A remark as comments of a function's body."""
    return textwrap.wrap(text, WIDTH, initial_indent="    # ", subsequent_indent="    # ")


def _dim(dim: Dim) -> str:
    multiple = f", multiple_of={dim.multiple_of}" if dim.multiple_of > 1 else ""
    return f"Dim(min={dim.fit(1)}{multiple})"


def _inputs(found: Guess) -> list[str]:
    doubt = [] if found.ran else ["            # FILL IN: sizes and dtypes were not tried out."]
    if len(times := lengths_of(found)) > 1:
        doubt = [f"            # Give {' and '.join(times)} one name where they always agree."]
    specs = [_spec(spec) for spec in found.inputs]
    one = f"        inputs=({specs[0]},),"
    if len(specs) == 1 and not doubt and len(one) <= WIDTH:
        return [one]
    return [
        "        inputs=(",
        *doubt,
        *(line for text in specs for line in _wrapped(text)),
        "        ),",
    ]


def lengths_of(found: Guess) -> list[str]:
    """The dimensions along which sequences have lengths of their own."""
    dims = dict.fromkeys(d for spec in found.inputs for d in spec.shape if isinstance(d, str))
    return [d for d in dims if d == "time" or d.endswith("_time")]


def _wrapped(text: str) -> list[str]:
    """A spec as an element of a tuple, split as `ruff format` splits it."""
    line = f"            {text},"
    if len(line) <= WIDTH:
        return [line]
    inner = text.removeprefix("TensorSpec(").removesuffix(")")
    return ["            TensorSpec(", f"                {inner}", "            ),"]


def _spec(spec: TensorSpec) -> str:
    arguments = [f'"{spec.name}"', _tuple(spec.shape)]
    if spec.dtype != "float32":
        arguments.append(f'dtype="{spec.dtype}"')
    if spec.role != "data":
        arguments.append(f'role="{spec.role}"')
    if spec.high is not None:
        arguments.append(f"high={spec.high}")
    return f"TensorSpec({', '.join(arguments)})"


def _tuple(values: Sequence[Any]) -> str:
    inner = ", ".join(f'"{v}"' if isinstance(v, str) else str(v) for v in values)
    return f"({inner},)" if len(values) == 1 else f"({inner})"
