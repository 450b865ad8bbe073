"""What a task is, and how its data become arrays and a network's output becomes an answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rnnbench.core.errors import RnnbenchError, Unavailable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VEGA_HINT = "pip install 'rnnbench[tasks]' (or: pip install vega_datasets)"

_MOST_ROWS = 10**6  # of a window


@dataclass(frozen=True)
class Split:
    """Sequences and what to say at each of their steps.

    Attributes:
        inputs: ids [sequence, time] (`classify`) or features [sequence, time, feature] (`regress`).
        targets: ids [sequence, time] or values [sequence, time, value].
    """

    inputs: NDArray[Any]
    targets: NDArray[Any]


@dataclass(frozen=True)
class Task:
    """Real data in the order of time, and how a network is trained on them.

    Attributes:
        name: the task.
        kind: `classify` (an id out of `input_size`, cross-entropy) or `regress` (squared error).
        train: the earliest part of the data.
        validation: the part after it, which picks the best weights.
        test: the last part, for the metrics.
        input_size: features per step, or how many ids there are.
        output_size: scores or values per step.
        metadata: what it takes to run the trained network on new data, as JSON.
        baseline: the error of a simple forecast on `test`, by metric name.
        hidden_size: the default.
        epochs: the default.
        quick_epochs: the default where it only has to work.
        batch_size: sequences per step.
        learning_rate: of Adam.
        clip: the largest norm of the gradient.
        head: whether a linear layer follows; without one the hidden state is the output.
        scored: `all` steps, or only the `last` one of each validation and test sequence.
        show: the answer as text, from scores [time, class].
        goal: what `show` must say in the end; where it does not, training starts again from other
            weights, up to `attempts` times in all.
        attempts: see `goal`.
    """

    name: str
    kind: Literal["classify", "regress"]
    train: Split
    validation: Split
    test: Split
    input_size: int
    output_size: int
    metadata: dict[str, Any]
    baseline: dict[str, float]
    hidden_size: int
    epochs: int
    quick_epochs: int
    batch_size: int
    learning_rate: float
    clip: float = 1.0
    head: bool = True
    scored: Literal["all", "last"] = "all"
    show: Callable[[NDArray[Any]], str] | None = None
    goal: str | None = None
    attempts: int = 1


def says_its_letters(metadata: Mapping[str, Any]) -> str:
    """What is wrong with the metadata of a model of text; nothing where all is well."""
    alphabet, unknown = metadata.get("alphabet"), metadata.get("unknown")
    if not isinstance(alphabet, str | list) or not alphabet:
        return "alphabet is no list of letters"
    if not all(isinstance(letter, str) for letter in alphabet):
        return "alphabet holds something else than letters"
    return "" if unknown is None or unknown in alphabet else "unknown is not in the alphabet"


def says_how_to_forecast(metadata: Mapping[str, Any]) -> str:
    """What is wrong with the metadata of a model of columns; nothing where all is well."""
    columns, target = metadata.get("columns"), metadata.get("target")
    if not isinstance(columns, list) or not columns or not all(isinstance(c, str) for c in columns):
        return "columns is no list of names"
    for name in ("mean", "std"):
        numbers = metadata.get(name)
        fits = isinstance(numbers, list) and len(numbers) == len(columns)
        if not fits or not all(map(_is_number, numbers or ())):
            return f"{name} is no number for each column"
    if type(metadata.get("window")) is not int or not 1 <= metadata["window"] <= _MOST_ROWS:
        return "window is no number of rows"
    if not isinstance(target, dict) or not _is_number(target.get("mean")):
        return "target has no mean"
    if not _is_number(target.get("std")):
        return "target has no std"
    texts = [target.get(name) for name in ("column", "unit")]
    return "" if all(isinstance(t, str) for t in texts) else "target has no column or no unit"


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def encode_text(metadata: Mapping[str, Any], text: str) -> NDArray[np.int64]:
    """Text -> ids [time]: the places of its characters in the task's alphabet.

    Raises:
        RnnbenchError: a character is not in the alphabet, and the task has no stand-in for it.
    """
    import numpy as np

    alphabet, unknown = metadata["alphabet"], metadata.get("unknown")
    places = {character: place for place, character in enumerate(alphabet)}
    strange = next((c for c in text if c not in places), None)
    if strange is not None and unknown is None:
        raise RnnbenchError(
            f"character {strange!r} in {text[:40]!r} is not in the alphabet of "
            f"{metadata.get('task', 'the task')}: use {', '.join(alphabet)}"
        )
    return np.array([places.get(c, places.get(unknown)) for c in text], dtype=np.int64)


def decode_text(metadata: Mapping[str, Any], scores: NDArray[Any]) -> str:
    """Scores [time, class] -> the most likely character of each step."""
    return "".join(metadata["alphabet"][place] for place in scores.argmax(axis=-1))


def encode_columns(
    metadata: Mapping[str, Any], columns: Mapping[str, Sequence[float] | NDArray[Any]]
) -> NDArray[np.float32]:
    """Columns of raw numbers -> normalised features [time, feature].

    Where the task is about returns the first row has none, and the result is one step shorter.

    Raises:
        RnnbenchError: a column is missing, or has something else than finite numbers.
    """
    import numpy as np

    needed = metadata["columns"]
    missing = [name for name in needed if name not in columns]
    if missing:
        raise RnnbenchError(
            f"no column {missing[0]!r}: there are {', '.join(columns) or 'none'}, "
            f"and {metadata.get('task', 'the task')} needs {', '.join(needed)}"
        )
    raw = np.stack([np.asarray(columns[name], dtype=np.float64) for name in needed], axis=1)
    values = returns(raw) if metadata.get("transform") == "return" else raw
    if not np.isfinite(values).all():
        raise RnnbenchError(f"columns {', '.join(needed)} must hold finite numbers in every row")
    with np.errstate(all="ignore"):
        features: NDArray[np.float32] = ((values - metadata["mean"]) / metadata["std"]).astype(
            "float32"
        )
    if not np.isfinite(features).all():
        raise RnnbenchError(f"columns {', '.join(needed)} hold numbers that float32 does not have")
    return features


def decode_values(metadata: Mapping[str, Any], y: NDArray[Any]) -> NDArray[np.float64]:
    """Normalised values [..., value] -> values in the task's unit."""
    import numpy as np

    target = metadata["target"]
    with np.errstate(all="ignore"):
        values: NDArray[np.float64] = y.astype(np.float64) * target["std"] + target["mean"]
    return values


def returns(prices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Prices [time, ...] -> the change from each to the next in percent [time - 1, ...]."""
    import numpy as np

    with np.errstate(all="ignore"):  # of a price of 0; whoever uses it refuses what is not finite
        changes: NDArray[np.float64] = 100 * (prices[1:] / prices[:-1] - 1)
    return changes


def windows(
    features: NDArray[Any], values: NDArray[Any], window: int, first: int, last: int
) -> Split:
    """Every stretch of `window` steps whose next step is in first..last-1.

    Args:
        features: [step, feature]
        values: [step, value]; the target of a step is the next step's value.
        window: steps per sequence.
        first: the first step to be forecast.
        last: the end of those.

    Returns:
        Inputs [last - first, window, feature] and targets [last - first, window, value].
    """
    import numpy as np

    ends = range(max(first, window), last)
    inputs = [features[end - window : end] for end in ends]
    targets = [values[end - window + 1 : end + 1] for end in ends]
    return Split(np.stack(inputs).astype(np.float32), np.stack(targets).astype(np.float32))


def errors(prefix: str, difference: NDArray[np.float64]) -> dict[str, float]:
    """The mean absolute and the root mean square of a difference, by name."""
    import numpy as np

    return {
        f"{prefix}mae": float(np.abs(difference).mean()),
        f"{prefix}rmse": float(np.sqrt((difference**2).mean())),
    }


def vega_missing(name: str) -> str | None:
    """Why a data file of vega_datasets is not there, or None."""
    try:
        vega_file(name)
    except Unavailable as error:
        return str(error)
    return None


def vega_file(name: str) -> Path:
    """A data file of vega_datasets; importing that package would take pandas.

    Raises:
        Unavailable: the package, or the file in it, is not there.
    """
    spec = util.find_spec("vega_datasets")
    if spec is None or spec.origin is None:
        raise Unavailable(f"the data file {name} needs the package vega_datasets: {VEGA_HINT}")
    path = Path(spec.origin).parent / "_data" / name
    if not path.is_file():
        raise Unavailable(f"vega_datasets is installed without {name}: {VEGA_HINT}")
    return path
