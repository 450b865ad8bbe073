"""`ports.h`: what a model takes and gives, as constants of C; names are quoted and escaped."""

from __future__ import annotations

from typing import Any

from rnnbench.embedding.literals import c_string

_HEAD = """\
/* What the model takes and gives, by rnnbench. An axis of -1 is not there. */
#ifndef PORTS_H
#define PORTS_H

enum { ROLE_DATA, ROLE_LENGTHS, ROLE_STATE };

typedef struct {
    const char *name;
    const char *dtype; /* float32, int64, ... */
    int role;
    int rank;
    int time_axis;
    int batch_axis;
    int state; /* of an input: the output to feed back as it; of an output: the input; or -1 */
    int shape[8]; /* of an input: -1 is the batch, -2 the time, -3 another dynamic size */
} model_port;
"""


def c_header(model: dict[str, Any]) -> str:
    """The header of a model as `golden.describe_model` describes it."""
    states = model["states"]
    inputs, outputs = ([p["name"] for p in model[k]] for k in ("inputs", "outputs"))
    dims = {model["batch_dim"]: -1, model["time_dim"]: -2}
    roles = {"data": "ROLE_DATA", "lengths": "ROLE_LENGTHS", "state": "ROLE_STATE"}

    def port(p: dict[str, Any], state: int, shape: list[Any]) -> str:
        sizes = [n if isinstance(n, int) else dims.get(n, -3) for n in shape] or [0]
        rank = p.get("rank", len(shape))
        fields = [
            c_string(p["name"]),
            c_string(p["dtype"]),
            roles[p.get("role", "data")],
            *map(str, (rank, p["time_axis"], p["batch_axis"], state)),
            "{" + ", ".join(map(str, sizes)) + "}",
        ]
        return "    {" + ", ".join(fields) + "},"

    given = [
        port(p, outputs.index(states[p["name"]]) if p["name"] in states else -1, p["shape"])
        for p in model["inputs"]
    ]
    back = {target: inputs.index(source) for source, target in states.items()}
    found = [port(p, back.get(p["name"], -1), []) for p in model["outputs"]]
    return "\n".join(
        [
            _HEAD,
            f"#define MODEL_NAME {c_string(model['name'])}",
            f"#define MODEL_FILE {c_string(model['artifact'])}",
            f"#define MODEL_STREAMS {int(model['streams'])}",
            f"#define MODEL_INPUTS {len(inputs)}",
            f"#define MODEL_OUTPUTS {len(outputs)}",
            "",
            "static const model_port model_inputs[MODEL_INPUTS] = {",
            *given,
            "};",
            "",
            "static const model_port model_outputs[MODEL_OUTPUTS] = {",
            *found,
            "};",
            "",
            "#endif",
            "",
        ]
    )
