"""What the rounding of a bundle's weights costs, beside what its artifacts compute.

The price is that of the module: the verdicts of the artifacts are about the rounded one. It is
shown, and judged only where a limit is given.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from rnnbench.checking.report import OutputRow
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.price import Price, shown
from rnnbench.core.verdicts import Verdict
from rnnbench.models.precision import UNCHANGED

FORMAT = "price"
_GIVE = "give decibels that each output is to be above the change, a share of each error, or both"


@dataclass(frozen=True)
class MaxPrice:
    """What rounding may cost.

    Attributes:
        least_db: decibels that each output has to be above the change.
        share: by which each error of the model's own may be another one, of itself.
    """

    least_db: float | None = None
    share: float | None = None

    @classmethod
    def parse(cls, given: str) -> MaxPrice:
        """`40dB`, `1%`, or `40dB,1%`.

        Raises:
            RnnbenchError: it is none.
        """
        least, share = None, None
        for part in given.split(","):
            found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(dB|%)\s*", part)
            if found is None:
                raise RnnbenchError(f"--max-price {given!r}: {_GIVE}, as 40dB,1%")
            if found[2] == "dB":
                least = float(found[1])
            else:
                share = float(found[1]) / 100
        return cls(least, share)


def price_of(bundle: Bundle) -> Price | None:
    """What the rounding of its weights costs; None where they are not rounded."""
    said = bundle.manifest.get("precision")
    return Price.from_json(said) if said else None


def price_notes(bundle: Bundle) -> Iterator[str]:
    """What it costs, in a line."""
    price = price_of(bundle)
    if price is None:
        return
    said = [f"{name} {_decibels(db)}" for name, db in price.signal_db.items()]
    said += [
        f"{name} {shown(before)} -> {shown(price.after.get(name))}"
        for name, before in price.before.items()
    ]
    name = bundle.manifest["precision"]["name"]
    yield f"price of {name} in {bundle.name}, not of any artifact: {', '.join(said)}"


def price_rows(bundle: Bundle, limit: MaxPrice | None) -> Iterator[OutputRow]:
    """A row for what is limited: an output's change, an error of the model's own.

    Raises:
        RnnbenchError: errors are limited, and the model has none of its own.
    """
    price = price_of(bundle)
    if limit is None or price is None:
        return
    if limit.least_db is not None:
        for name, db in price.signal_db.items():
            dear = f"{db:.1f} dB, {limit.least_db:g} are asked for" if db < limit.least_db else ""
            yield _row(bundle, name, dear)
    if limit.share is None:
        return
    if not price.before:
        raise RnnbenchError(
            f"--max-price of errors: {bundle.name} has none of its own: give decibels, as 40dB, or "
            "export a Model(..., evaluate=function)"
        )
    for name, before in price.before.items():
        yield _row(bundle, name, _too_dear(before, price.after.get(name), limit.share))


def _row(bundle: Bundle, name: str, dear: str) -> OutputRow:
    return OutputRow(
        model=bundle.name,
        verdict=Verdict.DIFFERS if dear else Verdict.SAME,
        reason=dear,
        format=FORMAT,
        runtime=bundle.manifest["precision"]["name"],
        output=name,
    )


def _too_dear(before: float | None, after: float | None, share: float) -> str:
    """Why an error is another one; empty where it is not."""
    if before is None or after is None:
        return "" if before is after else "not finite"
    change = abs(after - before)
    if change <= share * abs(before):
        return ""
    changed = change / abs(before) if before else math.inf
    return f"{before:.4g} -> {after:.4g}, {changed:.2%} of {share:.2%}"


def _decibels(db: float) -> str:
    return f"{db:.1f} dB above the change" if db < UNCHANGED else "unchanged"
