"""A call that a module runs with, searched by running it: the errors say what to change."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from rnnbench.models.declaration.calling import Outcome, Values, attempt, ports_in
from rnnbench.models.declaration.changes import consistent, shaped, turned, without
from rnnbench.models.declaration.hints import edits
from rnnbench.models.declaration.kinds import dicts_in
from rnnbench.models.declaration.other_sizes import given_sizes
from rnnbench.models.declaration.ports import Argument, Port, Sizes

_URGENT = -100.0  # what is tried next
_SOME = 8  # candidates of each argument that are tried without an error that asks for them


@dataclass(frozen=True)
class Found:
    """A call that runs.

    Attributes:
        values: what each argument is given.
        returned: what the module returned.
    """

    values: Values
    returned: object


@dataclass
class Search:
    """What was tried; `calls()` goes on where it stopped.

    Attributes:
        module: that is called.
        arguments: of its `forward`.
        sizes: that its layers do not have.
        deadline: until when, of `time.monotonic()`.
        on_run: called before each run.
        most: runs that are made.
        runs: how many there were.
        why: what the module said at the call that came furthest.
    """

    module: nn.Module
    arguments: Sequence[Argument]
    sizes: Sizes
    deadline: float
    on_run: Callable[[], None] = lambda: None
    most: int = 700
    runs: int = 0
    why: str = ""

    def calls(self) -> Iterator[Found]:
        """The calls that run, the likeliest first.

        Of what is waiting, the cheapest and what came of the run that reached the latest line take
        turns.
        """
        order = itertools.count()
        start = tuple(argument.candidates[0] for argument in self.arguments)
        cheap: list[tuple[float, int, Values]] = [
            (cost, next(order), values) for cost, values in self._starts(start)
        ]
        far: list[tuple[tuple[int, ...], float, int, Values]] = []
        seen: set[str] = set()
        furthest: tuple[int, ...] = ()
        while (cheap or far) and self.runs < self.most and time.monotonic() < self.deadline:
            urgent = bool(cheap) and cheap[0][0] <= _URGENT
            if far and not urgent and (self.runs % 3 or not cheap):
                _, cost, _, values = heapq.heappop(far)
            else:
                cost, _, values = heapq.heappop(cheap)
            if repr(values) in seen:
                continue
            seen.add(repr(values))
            cost = max(cost, 0.0)  # what comes of the urgent waits as what comes of others
            outcome = self._run(values)
            if outcome.error is None:
                yield Found(values, outcome.returned)
                for more, edited in self._after_success(values, cost):
                    heapq.heappush(cheap, (cost + more, next(order), edited))
                continue
            if not self.why or outcome.reached > furthest:
                furthest, self.why = outcome.reached, outcome.why
            later = tuple(-line for line in outcome.reached)
            for more, edited in self._changes(values, outcome):
                heapq.heappush(cheap, (cost + more, next(order), edited))
                heapq.heappush(far, (later, cost + more, next(order), edited))

    def _starts(self, start: Values) -> Iterator[tuple[float, Values]]:
        """The likeliest call, with time first, and of one step, where these are not the same."""
        layers = [p for p in self.module.modules() if isinstance(p, nn.RNNBase)]
        time_first = bool(layers) and not any(layer.batch_first for layer in layers)
        yield (0.3 if time_first else 0.0), start
        yield (0.0 if time_first else 0.3), turned(start, self.sizes)
        yield (0.6 if layers else 0.35), without(start, self.sizes.time)
        if not layers and (stated := self._with_needed_states(start)) != start:
            yield 0.1, without(stated, self.sizes.time)
        if any(argument.tuples for argument in self.arguments):
            pairs = zip(self.arguments, start, strict=True)
            yield 0.5, tuple(a.tuples[0] if a.tuples else value for a, value in pairs)

    def _with_needed_states(self, start: Values) -> Values:
        """The call with the likeliest state for each argument that has to have one, as a cell's."""
        pairs = zip(self.arguments, start, strict=True)
        return tuple(
            next((c for c in a.candidates if c is not None), None)
            if a.state and not a.optional and value is None
            else value
            for a, value in pairs
        )

    def _run(self, values: Values) -> Outcome:
        if not ports_in(values) and {} not in list(dicts_in(values)):
            return Outcome(error=TypeError("no tensor is given"))
        self.on_run()
        self.runs += 1
        return attempt(self.module, self.arguments, values)

    def _changes(self, values: Values, outcome: Outcome) -> Iterator[tuple[float, Values]]:
        assert outcome.error is not None
        found = edits(self.arguments, values, outcome.error, self.module, self.sizes)
        yield from ((more, consistent(edited, self.sizes)) for more, edited in found)
        if "to unpack" in outcome.why:
            yield from self._taken_apart(values)
        if "NoneType" in outcome.why:
            yield from self._states_together(values)
        yield from self._others(values, outcome.why)

    def _after_success(self, values: Values, cost: float) -> Iterator[tuple[float, Values]]:
        """Without an axis of time first: what is for one step may run with more axes too."""
        for size in self.sizes.free[1:]:
            less = without(values, size)
            if less != values:
                yield _URGENT - cost, less
        yield from self._others(values, "")
        yield from ((more - cost, edited) for more, edited in given_sizes(values, self.sizes))
        for n, port in enumerate(p for p in ports_in(values) if p.role == "data"):
            for i, shape in enumerate(self._plain_shapes(port)):
                if n or len(shape) > len(port.shape):
                    yield 0.5 + 0.1 * i - cost, shaped(values, port, shape)

    def _plain_shapes(self, port: Port) -> list[tuple[int, ...]]:
        """Shapes with a batch, for what ran by chance as it was broadcast."""
        b, t, last = self.sizes.batch, self.sizes.time, port.shape[-1]
        return [(b,), (b, last), (b, t, last), (b, t)]

    def _taken_apart(self, values: Values) -> Iterator[tuple[float, Values]]:
        """Tuples in the place of what `forward` takes apart."""
        for i, argument in enumerate(self.arguments):
            for rank, other in enumerate(argument.tuples):
                yield 0.3 + 0.1 * rank, (*values[:i], other, *values[i + 1 :])

    def _states_together(self, values: Values) -> Iterator[tuple[float, Values]]:
        """What is None, and may be a state, as a state: all of them."""
        for rank in range(1, 6):
            yield (
                0.4 + 0.2 * rank,
                tuple(
                    a.candidates[min(rank, len(a.candidates) - 1)] if a.state and v is None else v
                    for a, v in zip(self.arguments, values, strict=True)
                ),
            )

    def _others(self, values: Values, why: str) -> Iterator[tuple[float, Values]]:
        """Another candidate for one argument; cheaper where an error is about it."""
        for i, argument in enumerate(self.arguments):
            for rank, other in enumerate(argument.candidates[:_SOME]):
                if repr(other) != repr(values[i]):
                    named = f"'{argument.name}'" in why
                    none = values[i] is None or isinstance(values[i], str)
                    about = named or (none and "NoneType" in why)
                    yield (
                        (0.5 if about else 2.0) + 0.7 * rank,
                        (*values[:i], other, *values[i + 1 :]),
                    )
