"""What reports need of raw samples, so that results can be stored without them.

The samples are nine tenths of a results file. A report asks for their number, four percentiles, and
the medians of their resamples, which take few different values: these are stored once, and which of
them each resample had as numbers, so that every interval comes out the same to the last bit.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

PERCENTILES = (5, 25, 75, 95)


@dataclass(frozen=True)
class Summary:
    """Of the samples of one latency.

    Attributes:
        count: how many there were.
        percentiles: percent -> seconds.
        medians: of the resamples, in the order in which they were drawn, in seconds.
    """

    count: int
    percentiles: Mapping[int, float]
    medians: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        values, drawn = np.unique(np.array(self.medians), return_inverse=True)
        packed = zlib.compress(drawn.astype("<u2").tobytes(), 9)
        return {
            "count": self.count,
            "percentiles": {str(q): value for q, value in self.percentiles.items()},
            "medians": values.tolist(),
            "drawn": base64.b64encode(packed).decode("ascii"),
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Summary:
        """The inverse of `to_json`.

        Raises:
            ValueError: it is damaged.
        """
        try:
            drawn = np.frombuffer(zlib.decompress(base64.b64decode(said["drawn"])), "<u2")
        except zlib.error as error:
            raise ValueError(f"a summary of samples is damaged ({error})") from None
        medians = np.array(said["medians"], dtype=np.float64)
        if drawn.size and int(drawn.max()) >= medians.size:
            raise ValueError("a summary of samples names medians that it does not hold")
        percentiles = {int(q): float(value) for q, value in said["percentiles"].items()}
        return cls(int(said["count"]), percentiles, tuple(medians[drawn].tolist()))
