"""What a module takes: calls that run are searched, and declared, the best one first."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

from torch import nn

from rnnbench.core.errors import RnnbenchError
from rnnbench.core.threads import torch_threads
from rnnbench.models.declaration.calling import Values, attempt, is_lazy
from rnnbench.models.declaration.candidates import arguments_of
from rnnbench.models.declaration.guesses import Guess, unknown
from rnnbench.models.declaration.infer import declared
from rnnbench.models.declaration.least import with_dims
from rnnbench.models.declaration.ports import sizes_for
from rnnbench.models.declaration.search import Found, Search

_MORE = 80  # runs after the first that runs, for one that has both a batch and time
_ENOUGH = 1.9
_LONGER = 8.0  # seconds for the same
_STEP = 0.99  # of one step alone
_FAIR, _OTHERS = 1.2, 3  # how good others have to be, and how many are enough


@dataclass
class Inference:
    """What a module takes, found by running it: `guesses()` goes on where it stopped.

    Attributes:
        module: an object of the class, which stays as it was.
        deadline: until when, of `time.monotonic()`.
        given: numbers that the constructor was given: sizes of inputs may be among them.
        on_run: called before each run.
    """

    module: nn.Module
    deadline: float
    given: Collection[int] = ()
    on_run: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.lazy = is_lazy(self.module)
        self.sizes = sizes_for(self.module, self.given)
        self.arguments = arguments_of(self.module, self.sizes)
        self.search = Search(self.module, self.arguments, self.sizes, self.deadline, self.on_run)
        self._calls = self.search.calls()
        self._known: list[tuple[float, Guess]] = []

    def best(self) -> Guess:
        """The likeliest declaration; one that did not run where no call was found."""
        good: float | None = None
        with torch_threads(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what its author has to know is said by his own runs
            for known in self._declarations():
                if good is None or known > good:
                    good = known
                    until = time.monotonic() + _LONGER
                    self.search.deadline = min(self.search.deadline, until)
                    self.search.most = self.search.runs + (_MORE if known > _STEP else 4 * _MORE)
                if known >= _ENOUGH:
                    break
        if good is None:
            return unknown(self.module, self.arguments, self.search.why)
        return self._limited(next(found for known, found in self._known if known == good))

    def others(self, best: Guess, seconds: float) -> Iterator[Guess]:
        """Declarations of other calls, that have a batch and time as well, the likeliest first."""
        seen = {_text(best)}
        self.search.deadline = time.monotonic() + seconds
        self.search.most = self.search.runs + _MORE
        with torch_threads(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in self._declarations():
                if sum(known > _FAIR for known, _ in self._known) > _OTHERS:
                    break
        for known, found in sorted(self._known, key=lambda item: -item[0]):
            if known > _FAIR and _text(found) not in seen:
                seen.add(_text(found))
                yield self._limited(found)

    def with_values(self, values: Values, *, states: bool = True) -> Guess | None:
        """The declaration of a call with such arguments; None where it does not run.

        Args:
            values: for each argument.
            states: whether arguments that may be states get some.
        """
        with torch_threads(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcome = attempt(self.module, self.arguments, values)
            if outcome.error is not None:
                return None
            call = Found(values, outcome.returned)
            try:
                found = declared(self.module, self.arguments, call, self.sizes, states=states)[1]
            except RnnbenchError:
                return None
            return self._limited(found)

    def _declarations(self) -> Iterator[float]:
        """How good each declaration is that the next calls have; they are kept."""
        for call in self._calls:
            try:
                found = declared(self.module, self.arguments, call, self.sizes)
            except RnnbenchError:  # it runs at no other sizes: no recurrent network's inputs
                continue
            self._known.append(found)
            yield found[0]

    def _limited(self, found: Guess) -> Guess:
        return with_dims(replace(found, lazy=self.lazy), self.module)


def _text(found: Guess) -> str:
    """What two declarations differ in."""
    return repr((found.inputs, found.left_out, found.lift_state))
