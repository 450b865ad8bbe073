"""What each precision of a model saves and costs: bytes, time, memory and errors side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rnnbench.benchmarking.entry import Entry
from rnnbench.benchmarking.plan import runtime_name
from rnnbench.benchmarking.results import Cost, Latency, Ratio
from rnnbench.core.price import Price, shown
from rnnbench.models.precision import UNCHANGED

PLAIN = "float32"
ABOVE = "dB above the change"
WHAT = "precision/float32"

Where = tuple[Any, ...]


@dataclass(frozen=True)
class Choice:
    """One precision of a model in one runtime.

    Attributes:
        precision: of the weights.
        latencies: with these weights, at each number of steps that was measured.
        ratios: against float32, measured in turns; at those of them that were.
        cost: of the file; None where it was not measured.
    """

    precision: str
    latencies: tuple[Latency, ...]
    ratios: tuple[Ratio, ...]
    cost: Cost | None

    @property
    def bytes(self) -> int | None:
        """Of the file."""
        return None if self.cost is None else self.cost.artifact_bytes

    @property
    def price(self) -> Price | None:
        """What its weights cost; None of float32."""
        return None if self.cost is None else self.cost.price

    def at(self, time: int) -> Latency | None:
        """Its latency at so many steps."""
        return next((row for row in self.latencies if row.time == time), None)

    def ratio(self, time: int) -> Ratio | None:
        """Its time over float32's at so many steps."""
        return next((row for row in self.ratios if row.time == time), None)


@dataclass(frozen=True)
class Choices:
    """The precisions of one model in one runtime and at one batch, float32 first.

    Attributes:
        model: its name.
        where: what they have in common, in words.
        times: the numbers of steps that were measured.
        choices: each precision.
    """

    model: str
    where: str
    times: tuple[int, ...]
    choices: tuple[Choice, ...]

    @property
    def errors(self) -> tuple[str, ...]:
        """The names of the model's own errors."""
        known = [choice.price for choice in self.choices if choice.price is not None]
        return tuple(dict.fromkeys(name for price in known for name in price.before))

    def error(self, choice: Choice, name: str) -> float | None:
        """One of these with the weights of a choice; None where it is not known, or not finite."""
        if choice.price is not None:
            return choice.price.after.get(name)
        priced = (each.price for each in self.choices if each.price is not None)
        return next((price.before.get(name) for price in priced), None)


def find_choices(
    latencies: Sequence[Latency], ratios: Sequence[Ratio], costs: Sequence[Cost]
) -> Iterator[Choices]:
    """Models that were measured in more than one precision, float32 among them.

    Args:
        latencies: of one machine.
        ratios: of it.
        costs: of it.
    """
    found: dict[Where, dict[str, list[Entry]]] = {}
    for row in (*latencies, *(r for r in ratios if r.what == WHAT)):
        found.setdefault(_where(row), {}).setdefault(row.precision, []).append(row)
    for where, by_precision in found.items():
        plain = by_precision.pop("", None)
        if plain is None or not by_precision:
            continue
        files = {row.precision: row for row in costs if _where(row)[:6] == where[:6]}
        every = {"": plain, **by_precision}
        times = sorted({row.time for rows in every.values() for row in rows})
        choices = [
            Choice(
                precision or PLAIN,
                tuple(row for row in rows if isinstance(row, Latency)),
                tuple(row for row in rows if isinstance(row, Ratio)),
                files.get(precision),
            )
            for precision, rows in every.items()
        ]
        yield Choices(plain[0].of, _said(plain[0]), tuple(times), tuple(choices))


def heads(choices: Choices) -> tuple[str, ...]:
    """Of the columns of `row_of`."""
    timed = [head for time in choices.times for head in (f"T={time}, us", f"T={time} ratio")]
    return ("precision", "bytes", "of float32", *timed, "memory MB", *choices.errors, ABOVE)


def row_of(choices: Choices, choice: Choice) -> tuple[str, ...]:
    """A precision as cells: what it takes over float32, and what it costs."""
    plain = choices.choices[0]
    cells = [choice.precision, "" if choice.bytes is None else f"{choice.bytes:,}"]
    share = choice.bytes / plain.bytes if choice.bytes and plain.bytes else None
    cells.append("" if share is None else f"{share:.3f}")
    for time in choices.times:
        latency, ratio = choice.at(time), choice.ratio(time)
        cells.append("" if latency is None else f"{1e6 * latency.p50:.1f}")
        first = "1.00" if choice is plain else ""
        cells.append(first if ratio is None else f"{ratio.ratio:.2f}")
    memory = None if choice.cost is None else choice.cost.peak_memory_bytes
    cells.append("" if memory is None else f"{memory / 1e6:.0f}")
    for name in choices.errors:
        cells.append(shown(choices.error(choice, name)))
    cells.append(_above(choice))
    return tuple(cells)


def to_ship(choices: Choices) -> str:
    """Which one to ship, where the model can tell by its errors; nothing where it cannot."""
    best = best_of(choices)
    return "" if best is None else f"ship {best.precision}: {saves(choices, best)}"


def best_of(choices: Choices) -> Choice | None:
    """The smallest file that costs next to nothing; None where no errors say so."""
    able = [
        choice
        for choice in choices.choices[1:]
        if choice.bytes and choice.price is not None and choice.price.is_next_to_nothing
    ]
    return min(able, key=lambda choice: choice.bytes or 0, default=None)


def saves(choices: Choices, choice: Choice) -> str:
    """What a precision takes over float32, and what it costs: `0.27 of the size, ...`."""
    plain, said = choices.choices[0], []
    if choice.bytes and plain.bytes:
        said.append(f"{choice.bytes / plain.bytes:.2f} of the size")
    for row in choice.ratios:
        steps = "step" if row.time == 1 else "steps"
        said.append(f"{row.ratio:.2f} of the time at {row.time} {steps}")
    for name in choices.errors:
        before, after = choices.error(plain, name), choices.error(choice, name)
        if before is None or after is None:
            said.append(f"{name} is not finite")
        else:
            said.append(f"{name} {after - before:+.2g}")
    return ", ".join(said)


def _above(choice: Choice) -> str:
    if choice.price is None:
        return ""
    output, db = choice.price.worst
    return f"{db:.1f} ({output})" if db < UNCHANGED else "unchanged"


def _where(row: Entry) -> Where:
    """What precisions of one model have in common; the first six are those of its file."""
    file = row.of or row.model, row.form, row.runtime, row.device, row.hidden, row.layers
    return (*file, row.mode, row.batch, row.threads)


def _said(row: Entry) -> str:
    sizes = {"batch": row.batch, "hidden": row.hidden, "layers": row.layers, "threads": row.threads}
    parts = [f"{name} {size}" for name, size in sizes.items() if size is not None]
    return ", ".join([runtime_name(row.runtime, row.mode), row.device, *parts])
