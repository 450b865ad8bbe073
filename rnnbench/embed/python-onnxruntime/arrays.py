"""Arrays by name in a pair of files: `NAME.json` says what is where in `NAME.bin`."""

import json
from pathlib import Path

import numpy as np

FORMAT = "rnnbench-cases-1"


def read(header):
    """Yields (entry, array) of each array in the file."""
    header = Path(header)
    said = json.loads(header.read_text("utf-8"))
    if said.get("format") != FORMAT:
        raise SystemExit(f"{header}: format {said.get('format')!r}, and this reads {FORMAT!r}")
    raw = (header.parent / said["data"]).read_bytes()
    for entry in said["arrays"]:
        part = raw[entry["offset"] : entry["offset"] + entry["bytes"]]
        array = np.frombuffer(part, np.dtype(entry["dtype"]).newbyteorder("<"))
        yield entry, array.astype(entry["dtype"]).reshape(entry["shape"])


def write(header, arrays, case="result"):
    """Writes arrays, by name, as the outputs of one case."""
    header = Path(header)
    data = header.with_suffix(".bin")
    lines, offset = [], 0
    with data.open("wb") as file:
        for name, array in arrays.items():
            raw = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()
            file.write(raw)
            entry = {"case": case, "part": "out", "name": name, "dtype": str(array.dtype)}
            entry |= {"shape": list(array.shape), "offset": offset, "bytes": len(raw)}
            lines.append(json.dumps(entry | {"allowed": 0, "stream": 0}))
            offset += len(raw)
    text = ",\n".join(lines)
    header.write_text(f'{{"format": "{FORMAT}", "data": "{data.name}", "arrays": [\n{text}\n]}}\n')
