"""Precisions -> answer cards: the smallest file whose errors are next to those of float32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rnnbench.benchmarking.precisions import Choice, Choices, best_of, find_choices, saves
from rnnbench.benchmarking.report.cards import Card
from rnnbench.benchmarking.results import Cost, Latency, Ratio


def precision_cards(
    latencies: Sequence[Latency], ratios: Sequence[Ratio], costs: Sequence[Cost]
) -> Iterator[Card]:
    """A card for each model and runtime whose errors say which precision is good enough."""
    for found in find_choices(latencies, ratios, costs):
        best = best_of(found)
        if best is not None:
            facts = tuple(_other(found, each) for each in found.choices[1:] if each is not best)
            where = f"Precision of {found.model}, {found.where}"
            yield Card(where, f"ship {best.precision}", saves(found, best), facts)


def _other(found: Choices, choice: Choice) -> str:
    return f"In {choice.precision}: {saves(found, choice)}."
