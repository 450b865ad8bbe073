"""What a README says of the model itself; a name is shown as it is, and is never markup."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np

from rnnbench.bundle import Bundle
from rnnbench.embed.literals import C_TYPES, LITERALS, python_string
from rnnbench.embed.sample import letters_of
from rnnbench.model import Arrays

_PLACE = re.compile(r"@([A-Z_]+)@")
_CHOICE = re.compile(r"^@(STREAMS|WHOLE)\{\n(.*?)^@\1\}\n", re.S | re.M)
_BLOCK = re.compile(r"^```(?:c|cpp|html|js|kotlin|python|rust|swift)\n.*?^```$", re.S | re.M)
_REMARK = re.compile(r"(.*\S  +)((?:#|//|/\*) .*)")
_FIELDS = ("name", "dtype", "shape", "what it is")

_ZEROS = {
    "KOTLIN": "    {name} to Tensor.of(longArrayOf({shape}), {long}Array({size})),",
    "RUST": "    ({name}.to_owned(), Array {{ shape: vec![{shape}], numbers: "
    "Numbers::{int64}(vec![{zero}; {size}]) }}),",
    "SWIFT": "    {name}: try Tensor([{swift}](repeating: 0, count: {size}), shape: [{shape}]),",
}

_FILES = """\
{header}, with {data} beside it, is {sample}. Arrays of your own are such a pair of files: the header
has one array per line, the data file the numbers, little-endian, the last dimension fastest. This
writes one, with nothing but Python (of several cases in a file, the first is run):

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
        lines.append(json.dumps(line | {{"offset": offset, "bytes": size, "allowed": 0, "stream": 0}}))
        offset += size
start = '{{"format": "rnnbench-cases-1", "data": "mine.bin", "arrays": [\\n'
with open("mine.json", "w") as header:
    header.write(start + ",\\n".join(lines) + "\\n]}}\\n")
```
"""


def fill(template: str, words: Mapping[str, str], *, streams: bool) -> str:
    """A template with its @WORDS@; what is filled in is not looked at again.

    Args:
        template: lines between `@STREAMS{` and `@STREAMS}` are for models that stream, those between
            `@WHOLE{` and `@WHOLE}` for the others.
        words: what to put.
        streams: whether the model does.

    Raises:
        KeyError: the template has a word that is not there.
    """
    kept = _CHOICE.sub(lambda found: found[2] if (found[1] == "STREAMS") == streams else "", template)
    filled = re.sub(r"\n{3,}", "\n\n", _PLACE.sub(lambda found: words[found[1]], kept))
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


_ANOTHER = """\
`rnnbench embed BUNDLE --target {target} --out FOLDER` writes this folder for another bundle, or
another version of this one (`--force` over an old one). Where only the weights changed, and names,
dtypes and shapes did not, replace {artifact} and the folder `golden`. Either way `--verify`
says whether it is right."""


def words_of(
    bundle: Bundle,
    target: str,
    model: Mapping[str, Any],
    sample: tuple[Arrays, str],
) -> dict[str, str]:
    """Every word that a README may use.

    Args:
        bundle: of the model.
        target: the name of the target.
        model: as `golden.describe_model` describes it.
        sample: the arrays of `input.json`, and what they are.
    """
    inputs, outputs = model["inputs"], model["outputs"]
    x = next((i for i, port in enumerate(inputs) if port["role"] == "data"), 0)
    size = int(np.prod([n for n in inputs[x]["shape"] if isinstance(n, int)] or [1]))
    words = {
        "MODEL": plain(bundle.name),
        "TARGET": target,
        "FILE": plain(model["artifact"]),
        "ABOUT": _about(bundle, model),
        "MEANING": "\n\n".join(_meaning(bundle, model)),
        "PORTS": _ports(bundle, model),
        "FILES": _files(*sample, {port["name"] for port in inputs if port["role"] == "lengths"}),
        "ANOTHER": _ANOTHER.format(
            target=target,
            artifact=code(model["artifact"]),
        ),
        "X": str(x),
        "X_SIZE": f"{size} number{'s' * (size > 1)}",
        "X_SAID": plain(inputs[x]["name"]),
        "Y_SAID": plain(outputs[0]["name"]),
        "X_TYPE_C": C_TYPES[inputs[x]["dtype"]],
        "Y_TYPE_C": C_TYPES[outputs[0]["dtype"]],
        "TORCH": _version(bundle, "torch"),
    }
    for language, line in _ZEROS.items():
        words[f"ZEROS_{language}"] = "\n".join(_zeros(line, LITERALS[language], model))
    words["X_ONE_JS"] = "1n" if inputs[x]["dtype"] == "int64" else "1"
    for language, literal in LITERALS.items():
        words[f"X_{language}"] = literal(inputs[x]["name"])
        words[f"Y_{language}"] = literal(outputs[0]["name"])
    return words


def _version(bundle: Bundle, package: str) -> str:
    """The number of a version that the manifest has, without what follows a `+`."""
    found = re.match(r"\d+(\.\d+)*", str(bundle.manifest.get("versions", {}).get(package, "")))
    return found[0] if found else "0"


def _zeros(line: str, literal: Callable[[str], str], model: Mapping[str, Any]) -> Iterator[str]:
    """A line of code per input: zeros for one step of one sequence."""
    for port in model["inputs"]:
        shape = [n if isinstance(n, int) else 1 for n in port["shape"]]
        whole = port["dtype"].startswith("int")
        yield line.format(
            name=literal(port["name"]),
            shape=", ".join(map(str, shape)),
            size=int(np.prod(shape)),
            long="Long" if whole else "Float",
            int64="Int64" if whole else "Float32",
            swift="Int64" if whole else "Float",
            zero="0" if whole else "0.0",
        )


def plain(text: str) -> str:
    """A name in the midst of code or prose: nothing in it is markup."""
    return "".join(c for c in str(text) if c.isalnum() or c in "._+- ").strip() or "model"


def code(text: object) -> str:
    """A name as Markdown shows it: a code span, quoted and escaped where it is not plain."""
    text = str(text)
    if not text or re.search(r"[^\w.:/+%°, \[\]()-]|^\s|\s$", text):
        text = json.dumps(text, ensure_ascii=not text.replace("\n", "").isprintable())
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(c.replace('|', chr(92) + '|') for c in row)} |" for row in lines)


def _about(bundle: Bundle, model: Mapping[str, Any]) -> str:
    kinds = [plain(found.get("kind")) for found in bundle.manifest.get("recurrences", ())]
    counted = ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))
    artifact = bundle.artifacts[model["format"]]
    versions = bundle.manifest.get("versions", {})
    of = f" with the recurrences {counted}" if len(kinds) > 1 else ""
    of = f", a network with one recurrence ({kinds[0]})" if len(kinds) == 1 else of
    size = artifact.path.stat().st_size
    return (
        f"{code(bundle.name)}{of}: {code(artifact.path.name)}, {size:,} bytes, exported from PyTorch "
        f"{plain(versions.get('torch', '?'))} by rnnbench {plain(bundle.manifest.get('version', '?'))}."
    )


def _meaning(bundle: Bundle, model: Mapping[str, Any]) -> list[str]:
    """What the numbers are, as far as the metadata of a task say it."""
    said: Mapping[str, Any] = bundle.metadata
    data = [spec for spec in bundle.inputs if spec.role == "data"]
    y = code(model["outputs"][0]["name"])
    if len(data) == 1 and letters_of(bundle, data[0]):
        form = "the place (from 0)" if data[0].dtype.startswith("int") else "one-hot, the place (from 0)"
        of = "the answer to it" if said.get("answer") else "the next one"
        stand_in = f"; another is read as {code(said['unknown'])}" if said.get("unknown") else ""
        return [
            f"{code(data[0].name)} is a character per step: {form} in the alphabet "
            f"{code(said['alphabet'])}{stand_in}. {y} has a score per character of it for {of}: the "
            "largest is the model's choice, and a softmax makes them probabilities. `model.json` has "
            "the alphabet as `metadata.alphabet`."
        ]
    if len(data) == 1 and {"columns", "mean", "std", "target"} <= said.keys():
        target = said["target"]
        value = "its change in percent" if said.get("transform") == "return" else "the value"
        columns = zip(said["columns"], said["mean"], said["std"], strict=False)
        return [
            f"{code(data[0].name)} is a row of these columns per step, in this order, each as "
            f"`(v - mean) / std` with v {value}:",
            table(("column", "mean", "std"), [(code(c), f"{m:.6g}", f"{s:.6g}") for c, m, s in columns]),
            f"{y} is {code(target['column'])} one step ahead: `{y.strip('` ')} * {target['std']:.6g} + "
            f"{target['mean']:.6g}` is in {code(target.get('unit', ''))}. It was trained on "
            f"{said.get('window', 'several')} steps at a time. `model.json` has these numbers in full "
            "as `metadata`.",
        ]
    return ["`model.json` has what was noted at its export, as `metadata`."] if said else []


def _ports(bundle: Bundle, model: Mapping[str, Any]) -> str:
    states: Mapping[str, str] = model["states"]
    back = {output: name for name, output in states.items()}
    high = {spec.name: spec.high for spec in bundle.inputs}

    def given(port: Mapping[str, Any]) -> str:
        if port["role"] == "lengths":
            return "lengths: how many steps of each sequence are valid, 1 to time"
        if port["role"] == "state":
            then = states.get(port["name"])
            return "state: zero at the start" + (f", then {code(then)} of the call before" if then else "")
        top = high[port["name"]]
        return "data" + (f": whole numbers from 0 to {top - 1}" if top else "")

    def made(port: Mapping[str, Any]) -> str:
        if port["name"] in back:
            return f"the state after the last step: give it back as {code(back[port['name']])}"
        return "a value per step" if port["time_axis"] >= 0 else "once per call"

    def row(i: int, port: Mapping[str, Any], what: str) -> tuple[str, ...]:
        shape = code(f"[{', '.join(map(str, port['shape']))}]")
        return str(i), code(port["name"]), port["dtype"], shape, what

    dims = {n for port in model["inputs"] for n in port["shape"] if isinstance(n, str)}
    parts = [
        table(("input", *_FIELDS), [row(i, p, given(p)) for i, p in enumerate(model["inputs"])]),
        table(("output", *_FIELDS), [row(i, p, made(p)) for i, p in enumerate(model["outputs"])]),
    ]
    if dims:
        names = " and ".join(code(d) for d in sorted(dims))
        parts.append(
            f"{names}: any size from 1 on, the same wherever the name stands. "
            f"{code(model['batch_dim'])} is how many sequences there are side by side, "
            f"{code(model['time_dim'])} how many steps they have."
        )
    if model["streams"]:
        parts.append(
            f"**State.** What the model remembers is in {', '.join(map(code, states))}, and nowhere "
            "else. A sequence fed in pieces, the states handed on, gives the same as one call. To "
            "forget everything (a new sequence), start from zeros again."
        )
    else:
        parts.append("**State.** None that can be handed on: it needs whole sequences, and cannot stream.")
    return "\n\n".join(parts)


def _files(arrays: Arrays, sample: str, lengths: Set[str]) -> str:
    lines = [
        f'    {python_string(name)}: ("{array.dtype}", {list(array.shape)}, {_numbers(array, name in lengths)}),'
        for name, array in arrays.items()
    ]
    said = sample if sample.isascii() and "`" not in sample else "a text"
    return _FILES.format(
        header="`input.json`", data="`input.bin`", sample=said, arrays="\n".join(lines)
    ).rstrip()


def _numbers(array: np.ndarray[Any, Any], length: bool) -> str:
    value = int(array.max()) if length else 0 if array.dtype.kind in "iu" else 0.0
    return f"[{value}] * {array.size}"
