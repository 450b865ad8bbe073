"""python main.py --verify [RESULT.json] | INPUT.json OUTPUT.json [--stream]"""

import json
import sys
import time
from pathlib import Path

import arrays
import numpy as np
import onnxruntime
from model import Model

HERE = Path(__file__).parent


def verify(model, load_s):
    """Every golden case at once and, where it may be, step by step."""
    cases, wanted, streams = {}, {}, set()
    for entry, array in arrays.read(HERE / "golden" / "cases.json"):
        if entry["part"] == "in":
            cases.setdefault(entry["case"], {})[entry["name"]] = array
        else:
            wanted.setdefault(entry["case"], []).append((entry, array))
        if entry["stream"] and model.about["streams"]:
            streams.add(entry["case"])
    rows = []
    for case, inputs in cases.items():
        for how in ("whole", "stream") if case in streams else ("whole",):
            outputs = model(inputs) if how == "whole" else model.streamed(inputs)
            for entry, exact in wanted[case]:
                rows.append(compared(case, how, entry, outputs.get(entry["name"]), exact))
    return {
        "format": "rnnbench-result-1",
        "target": "python-onnxruntime",
        "versions": {"onnxruntime": onnxruntime.__version__, "numpy": np.__version__},
        "load_s": load_s,
        "step_s": step_seconds(model, cases),
        "rows": rows,
    }


def compared(case, how, entry, given, exact):
    row = {"case": case, "how": how, "output": entry["name"], "allowed": entry["allowed"]}
    if given is None or given.shape != exact.shape or given.dtype != exact.dtype:
        return dict(row, error=None, ok=False)
    apart = np.abs(given.astype(np.float64) - exact.astype(np.float64))
    error = float(apart.max()) if apart.size else 0.0
    if not np.isfinite(error):
        return dict(row, error=None, ok=False)
    return dict(row, error=error, ok=error <= entry["allowed"])


def step_seconds(model, cases):
    """The time of the smallest call, the best of 200."""
    inputs = cases.get("batch-1-time-1") or next(iter(cases.values()))
    best = float("inf")
    for _ in range(200):
        start = time.perf_counter()
        model(inputs)
        best = min(best, time.perf_counter() - start)
    return best


def main(words):
    start = time.perf_counter()
    model = Model()
    load_s = time.perf_counter() - start
    if words[:1] == ["--verify"]:
        result = verify(model, load_s)
        if len(words) > 1:
            Path(words[1]).write_text(json.dumps(result, indent=1) + "\n")
        wrong = [row for row in result["rows"] if not row["ok"]]
        for row in wrong:
            print(f"WRONG {row['case']} {row['how']} {row['output']}: off by {row['error']}")
        worst = max((row["error"] or 0.0 for row in result["rows"]), default=0.0)
        total = len(result["rows"])
        print(f"{total - len(wrong)} of {total} right, worst error {worst:.1e}")
        return 1 if wrong else 0
    if len(words) not in (2, 3) or (len(words) == 3 and words[2] != "--stream"):
        print(__doc__, file=sys.stderr)
        return 2
    inputs = {e["name"]: a for e, a in arrays.read(words[0]) if e["part"] == "in"}
    outputs = model.streamed(inputs) if len(words) == 3 else model(inputs)
    arrays.write(words[1], outputs)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
