"""What every measurement in a results file says: what ran, and under which conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Self, get_type_hints

from rnnbench.benchmarking.fields import what_is_wrong
from rnnbench.benchmarking.summary import Summary
from rnnbench.core.price import Price


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What ran, and under which conditions.

    Attributes:
        name: the benchmark's, unique in a file; the same in two runs of the same plan.
        group: what it belongs to.
        model: a variant's cell, or the name of a user's model or bundle.
        cell: `elman`, `gru`, `lstm`; empty for a user's model.
        form: `loop`, `exported` (the loop as `export` turns it into an artifact), `fused`, `model`.
        runtime: what ran it.
        mode: the runtime's own way, as `bound` or `cuda-graph`; empty for the usual one.
        device: where.
        batch: rows.
        time: steps; 1 where the model has no time dimension.
        hidden: the size of the state; None where it is a user's model.
        layers: recurrent layers; None where it is a user's model.
        threads: inside one operation, the same in every runtime.
        frames_per_second: what the model declares; None where it does not.
        precision: of the weights; empty where that is float32.
        of: the model that has them in float32; empty where nobody said so.
    """

    name: str
    group: str
    model: str
    cell: str
    form: str
    runtime: str
    mode: str
    device: str
    batch: int
    time: int
    hidden: int | None
    layers: int | None
    threads: int
    frames_per_second: float | None = None
    precision: str = ""
    of: str = ""

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> Self:
        """From an entry of a results file.

        Raises:
            ValueError: something that belongs there is missing.
        """
        given = {**entry["extra_info"], "name": entry["name"], "group": entry["group"] or ""}
        given |= _of_stats(entry["stats"])
        missing = [
            f.name
            for f in fields(cls)
            if f.name not in given and f.default is MISSING and f.default_factory is MISSING
        ]
        if missing:
            raise ValueError(f"{entry['name']} lacks {', '.join(missing)}")
        values = {f.name: given[f.name] for f in fields(cls) if f.name in given}
        kinds = get_type_hints(cls)
        for name, value in values.items():
            wrong = what_is_wrong(name, value, kinds[name])
            if wrong:
                raise ValueError(f"{entry['name']}: {name} {wrong}")
        return cls(**{name: _plain(name, value, kinds[name]) for name, value in values.items()})


def _of_stats(stats: Mapping[str, Any]) -> dict[str, Any]:
    data = stats.get("data") or (stats["median"],)  # saved without its data
    return {"median": stats["median"], "samples": data, "calls": stats["iterations"]}


def _plain(name: str, value: Any, kind: Any) -> Any:
    """Lists as tuples; the other side of a ratio, a summary and a price as records."""
    if name == "summary" and value is not None:
        return Summary.from_json(value)
    if name == "price" and value is not None:
        return Price.from_json(value)
    if isinstance(value, list):
        return tuple(value)
    return kind(**value) if isinstance(value, dict) else value
