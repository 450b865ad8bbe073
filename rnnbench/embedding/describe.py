"""What a README says of the model: what it is, what its numbers are, what goes in and out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnnbench.core.bundle import Bundle
from rnnbench.core.dims import names_of
from rnnbench.core.markdown import code, paragraph, plain, table
from rnnbench.embedding.sample import letters_of

_FIELDS = ("name", "dtype", "shape", "what it is")


def about(bundle: Bundle, model: Mapping[str, Any]) -> str:
    """One sentence: the network, the file, and what wrote it."""
    listed = bundle.manifest.get("recurrences")
    listed = listed if isinstance(listed, list) else []
    kinds = [plain(entry.get("kind")) for entry in listed if isinstance(entry, dict)]
    of = f", a network with one recurrence ({kinds[0]})" if len(kinds) == 1 else ""
    if len(kinds) > 1:
        of = ", a network with the recurrences " + ", ".join(
            f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds)
        )
    path = bundle.artifacts[model["format"]].path
    torch = plain(bundle.manifest.get("versions", {}).get("torch", "?"))
    rnnbench = plain(bundle.manifest.get("version", "?"))
    return paragraph(
        f"{code(bundle.name)}{of}: {code(path.name)}, {path.stat().st_size:,} bytes, exported from "
        f"PyTorch {torch} by rnnbench {rnnbench}."
    )


def meaning(bundle: Bundle, model: Mapping[str, Any]) -> str:
    """What the numbers are, as far as the metadata of a task say it."""
    said: Mapping[str, Any] = bundle.metadata
    data = [spec for spec in bundle.inputs if spec.role == "data"]
    scores = [len(str(said.get("alphabet", "")))]
    letters = len(data) == 1 and letters_of(bundle, data[0])
    if letters and model["outputs"][0]["shape"][-1:] == scores:
        return _letters(code(data[0].name), code(model["outputs"][0]["name"]), data[0].dtype, said)
    if len(data) == 1 and _has_columns(said):
        return _columns(code(data[0].name), plain(model["outputs"][0]["name"]), said)
    return "`model.json` has what was noted at its export, as `metadata`." if said else ""


def _letters(x: str, y: str, dtype: str, said: Mapping[str, Any]) -> str:
    form = "the place (from 0)" if dtype.startswith("int") else "one-hot, the place (from 0)"
    of = "the answer to it" if said.get("answer") else "the next one"
    other = f"; another is read as {code(said['unknown'])}" if said.get("unknown") else ""
    return paragraph(
        f"{x} is a character per step: {form} in the alphabet {code(said['alphabet'])}{other}. {y} "
        f"has a score per character of it for {of}: the largest is the model's choice, a softmax "
        "makes them probabilities. `model.json` has the alphabet as `metadata.alphabet`."
    )


def _has_columns(said: Mapping[str, Any]) -> bool:
    """Whether the metadata are a table task's: a user's own may have the same keys for others."""
    columns, target = said.get("columns"), said.get("target")
    if not isinstance(columns, list) or not isinstance(target, dict):
        return False
    scales = [said.get("mean"), said.get("std")]
    return (
        all(isinstance(scale, list) and len(scale) == len(columns) for scale in scales)
        and all(_is_number(n) for scale in scales for n in scale or ())
        and all(isinstance(name, str) for name in (*columns, target.get("column")))
        and _is_number(target.get("mean"))
        and _is_number(target.get("std"))
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _columns(x: str, y: str, said: Mapping[str, Any]) -> str:
    target, window = said["target"], said.get("window")
    steps = window if isinstance(window, int) else "several"
    value = "its change in percent" if said.get("transform") == "return" else "the value"
    columns = zip(said["columns"], said["mean"], said["std"], strict=False)
    rows = [(code(name), f"{mean:.6g}", f"{std:.6g}") for name, mean, std in columns]
    last = (
        f"`{y}` is {code(target['column'])} one step ahead: "
        f"`{y} * {target['std']:.6g} + {target['mean']:.6g}` is in {code(target.get('unit', ''))}. "
        f"It was trained on {steps} steps at a time. `model.json` has "
        "these numbers in full as `metadata`."
    )
    first = (
        f"{x} is a row of these columns per step, in this order, each as `(v - mean) / std` with v "
        f"{value}:"
    )
    return "\n\n".join([paragraph(first), table(("column", "mean", "std"), rows), paragraph(last)])


def ports(bundle: Bundle, model: Mapping[str, Any]) -> str:
    """Tables of the inputs and outputs, what their dimensions are, and what the state is."""
    states: Mapping[str, str] = model["states"]
    back = {output: name for name, output in states.items()}
    high = {spec.name: spec.high for spec in bundle.inputs}

    def given(port: Mapping[str, Any]) -> str:
        if port["role"] == "lengths":
            return "lengths: how many steps of each sequence are valid, 1 to time"
        if port["role"] == "state":
            then = states.get(port["name"])
            return (
                f"state: zero at the start{f', then {code(then)} of the call before' * bool(then)}"
            )
        top = high[port["name"]]
        return f"data: whole numbers from 0 to {top - 1}" if top else "data"

    def made(port: Mapping[str, Any]) -> str:
        if port["name"] in back:
            return f"the state after the last step: give it back as {code(back[port['name']])}"
        return "a value per step" if port["time_axis"] >= 0 else "once per call"

    def row(i: int, port: Mapping[str, Any], what: str) -> tuple[str, ...]:
        shape = code(f"[{', '.join(map(str, port['shape']))}]")
        return str(i), code(port["name"]), port["dtype"], shape, what

    parts = [
        table(("input", *_FIELDS), [row(i, p, given(p)) for i, p in enumerate(model["inputs"])]),
        table(("output", *_FIELDS), [row(i, p, made(p)) for i, p in enumerate(model["outputs"])]),
        paragraph(_dims(model)),
    ]
    if model["streams"]:
        parts.append(
            f"**State.** What the model remembers is in {', '.join(map(code, states))}, nowhere "
            "else. A sequence fed in pieces, the states handed on, gives the same as one call. To "
            "forget everything (a new sequence), start from zeros again."
        )
    else:
        parts.append("**State.** It needs whole sequences, and cannot stream.")
    return "\n\n".join([*parts[:-1], paragraph(parts[-1])])


def _dims(model: Mapping[str, Any]) -> str:
    dims = {n for port in model["inputs"] for size in port["shape"] for n in names_of(size)}
    if not dims:
        return "Every size is fixed."
    known = {
        model["batch_dim"]: "how many sequences there are side by side",
        model["time_dim"]: "how many steps they have",
    }
    said = [f"{code(dim)} is {known[dim]}" for dim in known if dim in dims]
    names = " and ".join(code(dim) for dim in sorted(dims))
    return f"{names}: any size from 1 on, the same wherever the name stands. " + (
        f"{', '.join(said)}." if said else ""
    )
