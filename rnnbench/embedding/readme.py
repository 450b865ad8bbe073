"""The README of a project: a template of the target, filled in with what is said of the model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from typing import Any

import numpy as np

from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.markdown import code, paragraph, plain
from rnnbench.core.model import Arrays
from rnnbench.embedding.binding import binding_words
from rnnbench.embedding.describe import about, meaning, ports
from rnnbench.embedding.literals import ARRAYS, C_TYPES, LITERALS, python_string

_PLACE = re.compile(r"@([A-Z_]+)@")
_CHOICE = re.compile(r"^@(STREAMS|WHOLE)\{\n(.*?)^@\1\}\n", re.S | re.M)
_BLOCK = re.compile(r"^```(?:c|cpp|html|js|kotlin|python|rust|swift)\n.*?^```$", re.S | re.M)
_REMARK = re.compile(r"(.*\S  +)((?:#|//|/\*) .*)")

_ZEROS = {
    "KOTLIN": "    {name} to {array},",
    "RUST": "    ({name}.to_owned(), Array {{ shape: vec![{shape}], numbers: {array} }}),",
    "SWIFT": "    {name}: try {array},",
}

_ONE_JS = {"int64": "1n", "float16": "0x3c00"}  # of float16 its bits

_FILES = (
    "`input.json`, with `input.bin` beside it, is {sample}. Arrays of your own are such a pair of "
    "files: the header has one array per line, the data file the numbers, little-endian, the last "
    "dimension fastest. This writes one, with nothing but Python (of several cases in a file, the "
    "first is run):"
)
_WRITE = """\
```python
import json, struct

arrays = {{  # name: (dtype, shape, numbers)
{arrays}
}}
kinds = {{"float32": "f", "float64": "d", "float16": "e", "int64": "q", "int32": "i", "bool": "?"}}
lines, offset = [], 0
with open("mine.bin", "wb") as data:
    for name, (dtype, shape, numbers) in arrays.items():
        size = data.write(struct.pack(f"<{{len(numbers)}}{{kinds[dtype]}}", *numbers))
        line = {{"case": "mine", "part": "in", "name": name, "dtype": dtype, "shape": shape}}
        line |= {{"offset": offset, "bytes": size, "allowed": 0, "stream": 0}}
        lines.append(json.dumps(line))
        offset += size
start = '{{"format": "rnnbench-cases-1", "data": "mine.bin", "arrays": [\\n'
with open("mine.json", "w") as header:
    header.write(start + ",\\n".join(lines) + "\\n]}}\\n")
```
"""


Word = str | RnnbenchError
"""What to put, or why this model has no such word."""


def fill(template: str, words: Mapping[str, Word], *, streams: bool) -> str:
    """A template with its @WORDS@; what is filled in is not looked at again.

    Args:
        template: lines between `@STREAMS{` and `@STREAMS}` are for models that stream, those
            between `@WHOLE{` and `@WHOLE}` for the others.
        words: what to put.
        streams: whether the model does.

    Raises:
        KeyError: the template has a word that is not there.
        RnnbenchError: the template has a word that this model lacks.
    """

    def word(found: re.Match[str]) -> str:
        said = words[found[1]]
        if isinstance(said, RnnbenchError):
            raise said
        return said

    wanted = "STREAMS" if streams else "WHOLE"
    kept = _CHOICE.sub(lambda found: found[2] if found[1] == wanted else "", template)
    filled = re.sub(r"\n{3,}", "\n\n", _PLACE.sub(word, kept))
    return _BLOCK.sub(lambda found: _aligned(found[0]), filled)


def _aligned(block: str) -> str:
    """A block of code whose comments begin where most of them do."""
    lines = [(line, _REMARK.fullmatch(line)) for line in block.split("\n")]
    columns = [found.start(2) for _, found in lines if found]
    column = max(columns, key=columns.count, default=0)
    return "\n".join(
        f"{found[1].rstrip().ljust(column - 2)}  {found[2]}" if found else line
        for line, found in lines
    )


_ANOTHER = (
    "`rnnbench embed BUNDLE --target {target} --out FOLDER` writes this folder for another bundle, "
    "or another version of this one (`--force` over an old one). Where only the weights changed, "
    "and names, dtypes and shapes did not, replace {artifact} and the folder `golden`. Either way "
    "`--verify` says whether it is right.{compiled}"
)
_COMPILED = " `ports.h` is compiled in: where that changed, compile again."


def words_of(
    bundle: Bundle,
    target: str,
    model: Mapping[str, Any],
    sample: tuple[Arrays, str],
    *,
    header: bool,
) -> dict[str, Word]:
    """Every word that a README may use.

    Args:
        bundle: of the model.
        target: the name of the target.
        model: as `golden.describe_model` describes it.
        sample: the arrays of `input.json`, and what they are, in Markdown.
        header: whether the project has `ports.h`.

    Raises:
        RnnbenchError: it is C, which these inputs and outputs cannot be called in.
    """
    inputs, outputs = model["inputs"], model["outputs"]
    x = next((i for i, port in enumerate(inputs) if port["role"] == "data"), 0)
    size = int(np.prod([n for n in inputs[x]["shape"] if isinstance(n, int)] or [1]))
    words: dict[str, Word] = {
        "MODEL": plain(bundle.name),
        "TARGET": target,
        "FILE": plain(model["artifact"]),
        "ABOUT": about(bundle, model),
        "MEANING": meaning(bundle, model),
        "PORTS": ports(bundle, model),
        "FILES": _files(*sample, {port["name"] for port in inputs if port["role"] == "lengths"}),
        "ANOTHER": paragraph(
            _ANOTHER.format(
                target=target,
                artifact=code(model["artifact"]),
                compiled=_COMPILED if header else "",
            )
        ),
        "X": str(x),
        "X_SIZE": f"{size} number{'s' * (size > 1)}",
        "X_SAID": plain(inputs[x]["name"]),
        "Y_SAID": plain(outputs[0]["name"]),
        "X_TYPE_C": _lacking(model, C_TYPES) or C_TYPES[inputs[x]["dtype"]],
        "Y_TYPE_C": _lacking(model, C_TYPES) or C_TYPES[outputs[0]["dtype"]],
        "TORCH": _version(bundle, "torch"),
    }
    if model["format"] == "c":
        lacking = _lacking(model, C_TYPES)
        if lacking:
            raise lacking
        words |= binding_words(bundle, model)
    for language, line in _ZEROS.items():
        lacking = _lacking(model, ARRAYS[language])
        words[f"ZEROS_{language}"] = lacking or "\n".join(_zeros(line, language, model))
    words["X_ONE_JS"] = _ONE_JS.get(inputs[x]["dtype"], "1")
    for language, literal in LITERALS.items():
        words[f"X_{language}"] = literal(inputs[x]["name"])
        words[f"Y_{language}"] = literal(outputs[0]["name"])
    return words


def _version(bundle: Bundle, package: str) -> str:
    """The number of a version that the manifest has, without what follows a `+`."""
    found = re.match(r"\d+(\.\d+)*", str(bundle.manifest.get("versions", {}).get(package, "")))
    return found[0] if found else "0"


def _lacking(model: Mapping[str, Any], known: Mapping[str, str]) -> RnnbenchError | None:
    """Why a project that knows these dtypes is none for a model."""
    for port in (*model["inputs"], *model["outputs"]):
        if port["dtype"] not in known:
            return RnnbenchError(
                f"{port['name']!r} is {port['dtype']}, and this target has {', '.join(known)}: "
                "give the model one of them, or take --target python-onnxruntime or node"
            )
    return None


def _zeros(line: str, language: str, model: Mapping[str, Any]) -> Iterator[str]:
    """A line of code per input: zeros for one step of one sequence, whose length is 1."""
    for port in model["inputs"]:
        shape = [n if isinstance(n, int) else 1 for n in port["shape"]]
        size = int(np.prod(shape))
        said = {"dtype": port["dtype"], "shape": ", ".join(map(str, shape)), "size": size}
        said |= {"bytes": size * np.dtype(port["dtype"]).itemsize}
        said |= {"value": int(port["role"] == "lengths")}
        array = ARRAYS[language][port["dtype"]].format(**said)
        yield line.format(name=LITERALS[language](port["name"]), array=array, **said)


def _files(arrays: Arrays, sample: str, lengths: Set[str]) -> str:
    lines = [
        f"    {python_string(name)}: "
        f'("{array.dtype}", {list(array.shape)}, {_numbers(array, name in lengths)}),'
        for name, array in arrays.items()
    ]
    text, script = _FILES.format(sample=sample), _WRITE.format(arrays="\n".join(lines))
    return f"{paragraph(text)}\n\n{script}".rstrip()


def _numbers(array: np.ndarray[Any, Any], length: bool) -> str:
    value = int(array.max()) if length else 0 if array.dtype.kind in "iu" else 0.0
    return f"[{value}] * {array.size}"
