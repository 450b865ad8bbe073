"""python main.py --verify [RESULT.json] | INPUT.json OUTPUT.json [--stream]"""

import json
import sys
import time
from pathlib import Path

try:
    import arrays
    import numpy as np
    from model import TARGET, Model, versions
except ImportError as error:
    print(f"{error}: pip install -r requirements.txt, see README.md", file=sys.stderr)
    sys.exit(2)

HERE = Path(__file__).parent


def verify(model, load_s):
    """Every golden case at once and, where it may be, step by step."""
    cases, wanted, streams = {}, {}, set()
    golden = HERE / "golden" / "cases.json"
    if not golden.is_file():
        raise ValueError(f"there is no {golden} to verify with: embed it again")
    for entry, array in arrays.read(golden):
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
        "target": TARGET,
        "versions": dict(versions(), numpy=np.__version__),
        "load_s": load_s,
        "step_s": step_seconds(model, cases),
        "rows": rows,
    }


def compared(case, how, entry, given, exact):
    row = {"case": case, "how": how, "output": entry["name"], "allowed": entry["allowed"]}
    if given is None or given.shape != exact.shape or given.dtype != exact.dtype:
        return dict(row, error=None, ok=False)
    apart = np.abs(given.astype(np.float64) - exact.astype(np.float64))
    if not np.isfinite(apart).all():
        return dict(row, error=None, ok=False)
    if not apart.any():
        return dict(row, error=0.0, ok=True)
    limits = entry["limits"]
    if limits is None:
        limits = np.full(apart.shape, entry["allowed"], np.float64)
    at = worst_of(apart, limits)
    error, allowed = float(apart[at]), float(limits[at])
    return dict(row, error=error, allowed=allowed, ok=error <= allowed)


def worst_of(apart, limits):
    """Where the error is the largest share of its limit, and of those where it is the largest."""
    share = np.where(apart <= limits, 0.0, np.inf)  # of a limit of 0
    with np.errstate(over="ignore"):
        np.divide(apart, limits, out=share, where=limits > 0)
    worst = np.where(share == share.max(), apart, -1.0)
    return np.unravel_index(np.argmax(worst), worst.shape)


def step_seconds(model, cases):
    """The time of the smallest call, the best of 200."""
    inputs = cases.get("batch-1-time-1") or next(iter(cases.values()))
    best = float("inf")
    for _ in range(200):
        start = time.perf_counter()
        model(inputs)
        best = min(best, time.perf_counter() - start)
    return best


def report(result):
    """Prints what is off; whether nothing is."""
    rows = result["rows"]
    wrong = [row for row in rows if not row["ok"]]
    for row in wrong:
        print(f"WRONG {row['case']} {row['how']} {row['output']}: off by {row['error']}")
    worst = max((row["error"] or 0.0 for row in rows), default=0.0)
    print(f"{len(rows) - len(wrong)} of {len(rows)} right, worst error {worst:.1e}")
    return bool(rows) and not wrong


def main(words):
    verifies = words[:1] == ["--verify"] and len(words) <= 2
    runs = len(words) == 2 or (len(words) == 3 and words[2] == "--stream")
    if not verifies and (not runs or words[0].startswith("-")):
        print(__doc__, file=sys.stderr)
        return 2
    start = time.perf_counter()
    model = Model()
    load_s = time.perf_counter() - start
    if verifies:
        result = verify(model, load_s)
        if len(words) > 1:
            write(words[1], lambda: save(Path(words[1]), result))
        return 0 if report(result) else 1
    given = [(entry, array) for entry, array in arrays.read(words[0]) if entry["part"] == "in"]
    if not given:
        raise ValueError(f"{words[0]} has no inputs: {arrays.GIVE}")
    inputs = {e["name"]: array for e, array in given if e["case"] == given[0][0]["case"]}
    outputs = model.streamed(inputs) if len(words) == 3 else model(inputs)
    write(words[1], lambda: arrays.write(words[1], outputs))
    for name, array in outputs.items():
        some = " ".join(f"{number:.5g}" for number in array.flatten()[:6])
        more = " ..." if array.size > 6 else ""
        plain = "".join(c if c.isprintable() else "?" for c in name)
        print(f"{plain} {array.dtype}{list(array.shape)}: {some}{more}")
    return 0


def save(path, result):
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def write(path, work):
    """Does it, or says where it cannot."""
    try:
        work()
    except OSError as error:
        raise ValueError(f"cannot write {path} ({error.strerror}): give another file") from None


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (OSError, ValueError, RuntimeError) as problem:
        print(" ".join(str(problem).split())[:500], file=sys.stderr)
        sys.exit(2)
