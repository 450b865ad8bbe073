"""What a store of many records takes: files, bytes, and the time and memory of each report.

    python benchmarks/store_size.py --records 1000000 --folder /tmp/store

Makes records as a team's sweeps would be: 40 models of 50 sizes in 12 ways on 4 machines, 2,000
records to a run, one commit after the other; added by `append`, a run at a time, so that files are
merged as they pile up. Each report is a process of its own, whose peak of memory the system tells.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import islice, product
from pathlib import Path

import numpy as np

from rnnbench.benchmarking.store.folder import FILES, append, compact, live_files
from rnnbench.benchmarking.store.rows import rows_of

A_RUN = 2_000
SAMPLES = 20
SIZES = [(b, t, h) for b, t, h in product((1, 8), (1, 8, 32, 100, 400), (16, 32, 64, 128, 256))]
WAYS = [
    (form, runtime)
    for runtime in ("eager", "torchscript", "onnxruntime", "openvino")
    for form in ("loop", "exported", "fused")
]
CPUS = ("Laptop CPU", "Server CPU", "ARM CPU", "Small CPU")
REPORTS = {
    "--by machine": ["--by", "machine"],
    "--by commit": ["--by", "commit"],
    "(all)": [],
    "--where": ["--by", "machine", "--where", "model='model7' and hidden=128"],
    "newest runs of a model": ["--where", "model='model7' and batch=1"],
    "--by machine --json": ["--by", "machine", "--json"],
    "--by commit --json": ["--by", "commit", "--json"],
}


def entries(rng):
    """Every measurement of a sweep, on one machine, again and again: (sweep, entry)."""
    sweep = 0
    while True:
        for model in range(40):
            for (batch, steps, hidden), (form, runtime) in product(SIZES, WAYS):
                where = {"model": f"model{model}", "cell": "gru", "form": form, "runtime": runtime}
                where |= {"mode": "", "device": "cpu", "batch": batch, "time": steps}
                where |= {"hidden": hidden, "layers": 1, "threads": 1, "frames_per_second": None}
                yield sweep, entry(where, rng)
        sweep += 1


def entry(where, rng):
    seconds = 1e-6 * where["batch"] * where["time"] * where["hidden"] * rng.uniform(0.5, 2)
    data = (seconds * (1 + 0.02 * rng.standard_exponential(SAMPLES))).round(9)
    p50, p95, p99 = (float(value) for value in np.percentile(data, (50, 95, 99)))
    info = {"kind": "latency", **where, "p50": p50, "p95": p95, "p99": p99, "stable": True}
    info |= {"why_unstable": "", "warmup_s": 0.05, "recompile_s": None, "cuda_event_s": None}
    info |= {"weight_bytes": 4096, "input_bytes": 640, "output_bytes": 512, "flops": 10**6}
    name = "-".join(map(str, where.values()))
    if where["form"] == "loop":  # a third are ratios, as in a plan
        info |= {"kind": "ratio", "what": "loop/fused", "ratio": 2.0 + rng.uniform(), "low": 1.9}
        info |= {"high": 3.1, "rounds": SAMPLES, "verdict": "slower", "other_s": p50 / 2}
        info["versus"] = {k: where[k] for k in ("model", "runtime", "mode")} | {"form": "fused"}
    stats = {"median": p50, "min": float(data.min()), "max": float(data.max())}
    stats |= {"mean": float(data.mean()), "stddev": float(data.std()), "iterations": 1}
    return {
        "name": f"test_{info['kind']}[{name}]",
        "group": where["model"],
        "extra_info": info,
        "stats": {**stats, "data": data.tolist()},
    }


def results(measured, cpu, sweep, number):
    """What `bench` would write of a run."""
    when = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=sweep, minutes=number)
    facts = {"schema": 1, "rnnbench": "0.1.0", "cpu": cpu, "cores": 8, "gpu": None, "load": [0.1]}
    facts |= {"versions": {"torch": f"2.{sweep}.0", "onnxruntime": "1.32.0", "python": "3.11.7"}}
    facts |= {"limits": {}, "started": number}
    commit = {
        "id": hashlib.sha1(f"{sweep}".encode()).hexdigest(),
        "time": when.isoformat(),
        "branch": "main",
        "dirty": False,
    }
    return {
        "machine_info": {"node": cpu.lower(), "rnnbench": facts},
        "commit_info": commit,
        "datetime": when.isoformat(),
        "benchmarks": measured,
    }


def fill(folder, count):
    """Adds the records; seconds of each append, and the most files that there were."""
    rng = np.random.default_rng(0)
    sources = [entries(rng) for _ in CPUS]
    took, most, number = [], 0, 0
    while number * A_RUN < count:
        cpu = number % len(CPUS)
        some = list(islice(sources[cpu], min(A_RUN, count - number * A_RUN)))
        rows = rows_of(results([e for _, e in some], CPUS[cpu], some[0][0], number))
        start = time.perf_counter()
        added = append(folder, rows)
        took.append(time.perf_counter() - start)
        assert added == len(rows)
        most = max(most, len(list(folder.glob(FILES))))
        number += 1
    return took, most


def report(folder, words):
    """Seconds, those of its CPUs, the peak of memory in bytes, and the lines of a report."""
    command = [sys.executable, "-m", "rnnbench", "report", str(folder), *words]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, words
    cpu = usage.ru_utime + usage.ru_stime
    return time.perf_counter() - start, cpu, usage.ru_maxrss * 1024, len(out.splitlines())


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--fill", action="store_true", help="Make the records, and no more.")
    given = parser.parse_args()
    if given.fill:
        took, most = fill(given.folder, given.records)
        took.sort()
        print(
            f"{len(took)} appends of {A_RUN}: {sum(took):.0f} s, median {took[len(took) // 2]:.2f} "
            f"s, longest {took[-1]:.1f} s; at most {most} files"
        )
        return
    if not list(given.folder.glob(FILES)):  # apart: what this process held counts for its children
        subprocess.run([sys.executable, *sys.argv, "--fill"], check=True)
    files = live_files(given.folder)
    print(f"{len(files)} files, {sum(f.stat().st_size for f in files) / 1e6:.0f} MB")
    for name, words in REPORTS.items():
        seconds, cpu, memory, lines = report(given.folder, words)
        print(
            f"report {name}: {seconds:.1f} s ({cpu:.1f} s of CPU), {memory / 1e6:.0f} MB, "
            f"{lines} lines"
        )
    start = time.perf_counter()
    before, after = compact(given.folder)
    print(f"compact: {before} -> {after} files, {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
