"""Takes the raw samples out of results files: `python benchmarks/drop_samples.py FILE...`.

For files that are kept in a repository. Tables, plots and intervals come out the same; pytest-
benchmark reads such files as those that it saved without `--benchmark-save-data`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from rnnbench.benchmarking.record import write_results
from rnnbench.benchmarking.report.intervals import resampled_medians
from rnnbench.benchmarking.results import read_file
from rnnbench.benchmarking.summary import PERCENTILES, Summary


def drop_samples(path: Path) -> None:
    """Writes a results file without the samples, and with a summary of each latency's."""
    latencies = {latency.name: latency for latency in read_file(path).latencies}
    data = json.loads(path.read_text("utf-8"))
    for entry in data["benchmarks"]:
        samples = entry["stats"].pop("data", None)
        latency = latencies.get(entry["name"])
        if latency is None or samples is None:
            continue
        found = np.percentile(samples, PERCENTILES)
        entry["extra_info"]["summary"] = Summary(
            len(samples),
            dict(zip(PERCENTILES, found.tolist(), strict=True)),
            tuple(resampled_medians(latency).tolist()),
        ).to_json()
    write_results(path, data)


if __name__ == "__main__":
    for file in sys.argv[1:]:
        drop_samples(Path(file))
