"""What a row of a store holds: a measurement, with all that it was measured under."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import Unavailable

if TYPE_CHECKING:
    import pyarrow as pa

GET = "pip install 'rnnbench[store]'"
VERSION = "1"
"""Of the columns: grows where one changes its meaning, or goes; not where one is added."""
MARK = b"rnnbench.store"
"""The key under which a file's metadata holds the version."""

_RECORD = {
    "id": "text",
    "run": "text",
    "kind": "text",
    "name": "text",
    "group_name": "text",
    "created": "time",
}
_PLACE = {
    "machine": "text",
    "node": "text",
    "cpu": "text",
    "cores": "whole",
    "gpu": "text",
    "commit": "text",
    "commit_time": "time",
    "branch": "text",
    "dirty": "truth",
    "rnnbench": "text",
    "versions": "texts",
    "model_sha256": "text",
}
CONDITIONS = {
    "model": "text",
    "cell": "text",
    "form": "text",
    "runtime": "text",
    "mode": "text",
    "device": "text",
    "batch": "whole",
    "time": "whole",
    "hidden": "whole",
    "layers": "whole",
    "threads": "whole",
    "frames_per_second": "real",
    "precision": "text",
    "of_model": "text",
}
_SAMPLED = {
    "median": "real",
    "min": "real",
    "max": "real",
    "mean": "real",
    "stddev": "real",
    "calls": "whole",
}
_STATISTICS = {
    "p50": "real",
    "p95": "real",
    "p99": "real",
    "stable": "truth",
    "why_unstable": "text",
    "rounds": "whole",
    "low": "real",
    "high": "real",
}
_LATENCY = {
    "warmup_s": "real",
    "recompile_s": "real",
    "cuda_event_s": "real",
    "weight_bytes": "whole",
    "input_bytes": "whole",
    "output_bytes": "whole",
    "flops": "whole",
    "recurrent_flops": "whole",
}
_RATIO = {
    "what": "text",
    "versus_model": "text",
    "versus_form": "text",
    "versus_runtime": "text",
    "versus_mode": "text",
    "versus_precision": "text",
    "ratio": "real",
    "other_s": "real",
    "verdict": "text",
}
_COST = {
    "export_s": "real",
    "load_s": "real",
    "first_call_s": "real",
    "peak_memory_bytes": "whole",
    "baseline_memory_bytes": "whole",
    "artifact_bytes": "whole",
}
_STREAMS = {
    "streams": "whole",
    "held": "text",
    "steps_per_s": "real",
    "cores_used": "whole",
    "steps_per_core": "real",
    "streams_per_core": "real",
}
_LONG = {
    "samples": "reals",
    "summary": "text",
    "price": "text",
    "extra": "text",
    "facts": "text",
}
COLUMNS = {
    **(_RECORD | _PLACE | CONDITIONS | _SAMPLED | _STATISTICS),
    **(_LATENCY | _RATIO | _COST | _STREAMS | _LONG),
}
"""Column -> what is in it: text, a number, the truth, a time (UTC), texts by name, numbers."""
RENAMED = {"cores": "cores_used", "group": "group_name", "of": "of_model"}
"""A field of an entry -> its column, where the machine or SQL has the name already."""
RECORDS = ("summary", "price")
"""Fields of an entry that are records, which are kept as JSON."""
MEASURED = (*CONDITIONS, *_STATISTICS, *_LATENCY, *_RATIO, *_COST, *_STREAMS)
"""The columns that an entry's `extra_info` fills."""


def require() -> None:
    """Asks for what a store needs.

    Raises:
        Unavailable: it is not installed.
    """
    try:
        import duckdb  # noqa: F401
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        name = (error.name or "pyarrow").partition(".")[0]
        raise Unavailable(f"{name} is not installed, which a store needs: {GET}") from None


def schema() -> pa.Schema:
    """The columns as Arrow has them, with the version."""
    import pyarrow as pa

    kinds = {
        "text": pa.string(),
        "whole": pa.int64(),
        "real": pa.float64(),
        "truth": pa.bool_(),
        "time": pa.timestamp("us"),
        "texts": pa.map_(pa.string(), pa.string()),
        "reals": pa.list_(pa.float64()),
    }
    fields = [pa.field(name, kinds[kind]) for name, kind in COLUMNS.items()]
    return pa.schema(fields, metadata={MARK: VERSION})


def dictionaries() -> list[Any]:
    """The columns with few different values, which are written once for each."""
    unlike = ("id", "extra", *RECORDS)
    return [name for name, kind in COLUMNS.items() if kind == "text" and name not in unlike] + [
        "versions.key_value.key",
        "versions.key_value.value",
    ]
