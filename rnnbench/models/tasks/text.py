"""The next character of English text: the language reference in Python's own pydoc_data.topics."""

from __future__ import annotations

from importlib import util
from typing import TYPE_CHECKING, Any

from rnnbench.models.task import Split, Task, encode_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Printable ASCII whatever the text holds, so that the network has one shape on every Python.
ALPHABET = "\n" + "".join(map(chr, range(32, 127)))
METADATA: dict[str, Any] = {"task": "text", "alphabet": ALPHABET, "unknown": "?"}
WINDOW = 64
SHARES = (0.8, 0.9)  # where validation and test begin


def available() -> str | None:
    """None, or why there is no text: some distributions ship Python without it."""
    if util.find_spec("pydoc_data") is None:
        return "this Python lacks pydoc_data.topics: use a complete Python installation"
    return None


def load() -> Task:
    """The text in three stretches, each cut into sequences of `WINDOW` characters."""
    from pydoc_data.topics import topics

    ids = encode_text(METADATA, "\n\n".join(topics[name] for name in sorted(topics)))
    first, second = (int(share * len(ids)) for share in SHARES)
    train, test = ids[:first], ids[second:]
    return Task(
        name="text",
        kind="classify",
        train=_sequences(train),
        validation=_sequences(ids[first:second]),
        test=_sequences(test),
        input_size=len(ALPHABET),
        output_size=len(ALPHABET),
        metadata=METADATA | {"window": WINDOW},
        baseline=_pairs(train, test),
        hidden_size=64,
        epochs=6,
        quick_epochs=1,
        batch_size=64,
        learning_rate=0.02,
    )


def _sequences(ids: NDArray[np.int64]) -> Split:
    """[sequence, WINDOW] of ids, and of those that follow."""
    count = (len(ids) - 1) // WINDOW
    return Split(
        ids[: count * WINDOW].reshape(count, WINDOW),
        ids[1 : count * WINDOW + 1].reshape(count, WINDOW),
    )


def _pairs(train: NDArray[np.int64], test: NDArray[np.int64]) -> dict[str, float]:
    """How well the character before alone foretells the next one: counted pairs, plus one each."""
    import numpy as np

    counts = np.ones((len(ALPHABET), len(ALPHABET)))
    np.add.at(counts, (train[:-1], train[1:]), 1)
    chance = counts / counts.sum(axis=1, keepdims=True)
    before, after = test[:-1], test[1:]
    return {
        "baseline_loss": float(-np.log(chance[before, after]).mean()),
        "baseline_accuracy": float((chance.argmax(axis=1)[before] == after).mean()),
    }
