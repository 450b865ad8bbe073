"""What each precision of a model saves and costs, side by side: of bundles that are there."""

from __future__ import annotations

from collections.abc import Sequence

from rnnbench.core.bundle import Bundle
from rnnbench.core.price import NEAR, Price, shown
from rnnbench.core.tables import format_table
from rnnbench.models.precision import UNCHANGED

_ERRORS = 2  # columns: a table is to have 80 characters


def format_prices(bundles: Sequence[Bundle]) -> str:
    """A table of one model in several precisions: bytes, errors, and decibels above the change.

    Args:
        bundles: of it; the first is float32, and they have formats in common.

    Returns:
        The table with its title, and which is the smallest that costs next to nothing; the errors
        are those of the model's own `evaluate`. Nothing where there is nothing to compare.
    """
    plain, *others = bundles
    rounded = [bundle for bundle in others if bundle.manifest.get("precision")]
    formats = [f for f in plain.artifacts if all(f in b.artifacts for b in rounded)]
    if not rounded or not formats:
        return ""
    kept = [f for f in formats if all(b.artifacts[f].details.get("precision") for b in rounded)]
    format = (kept or formats)[0]
    errors = rounded[0].manifest["precision"].get("errors", {}).get("before", {})
    names = list(errors)[:_ERRORS]
    whole = plain.artifacts[format].bytes
    rows = [("float32", f"{whole:,}", "1.000", *(shown(errors[n]) for n in names), "")]
    for bundle in rounded:
        said, size = bundle.manifest["precision"], bundle.artifacts[format].bytes
        after = said.get("errors", {}).get("after", {})
        output, db = Price.from_json(said).worst
        above = f"{db:.1f} ({output})" if db < UNCHANGED else "unchanged"
        found = (shown(after.get(name)) for name in names)
        rows.append((said["name"], f"{size:,}", f"{size / whole:.3f}", *found, above))
    head = ("precision", f"{format}, bytes", "of float32", *names, "dB above the change")
    table = format_table(head, rows)
    title = f"What {plain.name} costs and saves in each precision:"
    return "\n".join(filter(None, [title, table, _smallest(rounded, format, whole)]))


def _smallest(rounded: Sequence[Bundle], format: str, whole: int) -> str:
    """Which file to ship, where the model can tell by its errors."""
    able = [b for b in rounded if Price.from_json(b.manifest["precision"]).is_next_to_nothing]
    if not able:
        return ""
    best = min(able, key=lambda bundle: bundle.artifacts[format].bytes)
    share = best.artifacts[format].bytes / whole
    name = best.manifest["precision"]["name"]
    return f"Smallest within {NEAR:.0%} of every error: {name}, {share:.3f} of the bytes."
