"""Learn to say "ohlol" to "hello": five characters, the classic first exercise."""

from __future__ import annotations

from rnnbench.models.task import Split, Task, decode_text, encode_text

METADATA = {"task": "hello", "alphabet": "ehlo", "question": "hello", "answer": "ohlol"}


def available() -> str | None:
    """The data are in this file."""
    return None


def load() -> Task:
    """One sequence to learn, so the same one everywhere; the hidden state is the scores."""
    import numpy as np

    question = encode_text(METADATA, METADATA["question"])[np.newaxis]
    answer = encode_text(METADATA, METADATA["answer"])[np.newaxis]
    split = Split(question, answer)
    return Task(
        name="hello",
        kind="classify",
        train=split,
        validation=split,
        test=split,
        input_size=len(METADATA["alphabet"]),
        output_size=len(METADATA["alphabet"]),
        metadata=dict(METADATA),
        baseline={},
        hidden_size=4,
        epochs=15,
        quick_epochs=15,
        batch_size=1,
        learning_rate=0.1,
        head=False,
        show=lambda scores: decode_text(METADATA, scores),
        # 15 steps do not always suffice where a state between -1 and 1 is the scores: from random
        # weights 7 of 10 Elman networks get there, 2 of 10 GRUs and 1 of 20 LSTMs.
        goal=METADATA["answer"],
        attempts=200,
    )
