"""Arrays by name in a pair of files: `NAME.json` says what is where in `NAME.bin`."""

import json
from pathlib import Path

import numpy as np

FORMAT = "rnnbench-cases-1"
GIVE = "give the header of a pair of files, as input.json is one"


def read(header):
    """The (entry, array) of each array in the file; the entry's `limits` are of each element."""
    header = Path(header)
    try:
        said = json.loads(header.read_text("utf-8"))
        if said["format"] != FORMAT:
            raise ValueError(f"format {said['format']!r}, and this reads {FORMAT!r}")
        raw = (header.parent / said["data"]).read_bytes()
        return [
            (entry | {"limits": limits_of(entry, raw)}, array_of(entry, raw))
            for entry in said["arrays"]
        ]
    except OSError as error:
        raise ValueError(f"cannot read {error.filename} ({error.strerror}): {GIVE}") from None
    except KeyError as error:
        raise ValueError(f"{header} is no file of arrays (it lacks {error}): {GIVE}") from None
    except (ValueError, TypeError) as error:
        raise ValueError(f"{header} is no file of arrays ({error}): {GIVE}") from None


def array_of(entry, raw):
    part = raw[entry["offset"] : entry["offset"] + entry["bytes"]]
    array = np.frombuffer(part, np.dtype(entry["dtype"]).newbyteorder("<"))
    return array.astype(entry["dtype"]).reshape(entry["shape"])


def limits_of(entry, raw):
    """How far off each element may be, where that is not the entry's `allowed` for all."""
    if "allowed_offset" not in entry:
        return None
    dtype = "<f8" if entry["dtype"] == "float64" else "<f4"
    count = int(np.prod(entry["shape"], dtype=np.int64))
    limits = np.frombuffer(raw, dtype, count, entry["allowed_offset"])
    return limits.astype(np.float64).reshape(entry["shape"])


def write(header, arrays, case="result"):
    """Writes arrays, by name, as the outputs of one case."""
    header = Path(header)
    data = header.with_suffix(".bin")
    if data == header:
        raise ValueError(f"{header} is the data file's name: give another, as output.json is one")
    lines, offset = [], 0
    with data.open("wb") as file:
        for name, array in arrays.items():
            raw = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()
            file.write(raw)
            entry = {"case": case, "part": "out", "name": name, "dtype": str(array.dtype)}
            entry |= {"shape": list(array.shape), "offset": offset, "bytes": len(raw)}
            lines.append(json.dumps(entry | {"allowed": 0, "stream": 0}))
            offset += len(raw)
    start = f'{{"format": "{FORMAT}", "data": {json.dumps(data.name)}, "arrays": [\n'
    header.write_text(start + ",\n".join(lines) + "\n]}\n", encoding="utf-8")
