"""The model behind a target, its inputs, and what it must do at least."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rnnbench.benchmarking.measuring import work
from rnnbench.benchmarking.plan import CELLS, Conditions
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import Unavailable
from rnnbench.core.model import Arrays, Model, sample_inputs
from rnnbench.models.calls import call, device_of, read_weights

INPUT_SIZE = 40  # a frame of a usual mel spectrogram


@dataclass(frozen=True)
class Network:
    """One form of what is measured.

    Attributes:
        model: the declaration; its module runs only where `runnable`.
        cell: elman, gru or lstm; empty for another model.
        bundle: where its files are already; None where they are exported.
        runnable: whether the module's code is here.
        twin: the model that says what is right: the fused layer with the same weights.
        precision: of its weights; empty where that is float32.
        price: what that costs, as a manifest says it; None where the weights are not rounded.
    """

    model: Model
    cell: str = ""
    bundle: Bundle | None = None
    runnable: bool = True
    twin: Model | None = None
    precision: str = ""
    price: Mapping[str, Any] | None = None

    @property
    def of(self) -> str:
        """The name of the model that has its weights in float32."""
        name = self.model.name
        return name.removesuffix(f"-{self.precision}") if self.precision else name


def build_network(target: str, form: str, hidden: int | None, layers: int | None) -> Network:
    """The model of a target.

    Raises:
        RnnbenchError: it cannot be built.
    """
    from rnnbench.models import sources, variants

    if target in variants.names():
        return _variant(target, form, hidden or 1, layers or 1)
    if Path(target).is_dir():
        return _of_bundle(Bundle.open(target))
    return Network(sources.load(target))


def round_network(network: Network, precision: str) -> Network:
    """The same with rounded weights, as a model of its own.

    Raises:
        RnnbenchError: there is nothing to round.
    """
    from rnnbench.exporting.rounding import rounded

    def round_one(model: Model) -> tuple[Model, dict[str, Any]]:
        name, module = f"{model.name}-{precision}", copy.deepcopy(model.module)
        other = replace(model, name=name, module=module)
        return other, rounded(other, precision)

    model, price = round_one(network.model)
    twin = None if network.twin is None else round_one(network.twin)[0]
    return replace(network, model=model, twin=twin, precision=precision, price=price)


def sizes_for(model: Model, conditions: Conditions) -> dict[str, int]:
    """The size of each dynamic dimension; those that conditions do not name are as traced."""
    from rnnbench.capture.tracing.sizes import traced_sizes

    sizes = {model.batch_dim: conditions.batch, model.time_dim: conditions.time}
    return traced_sizes(model) | sizes


def inputs_for(model: Model, conditions: Conditions) -> Arrays:
    """Random inputs of these sizes, the same in each run."""
    return sample_inputs(model, sizes_for(model, conditions), seed=0)


def work_of(network: Network, conditions: Conditions, arrays: Arrays) -> work.Work:
    """What a call must do at least."""
    model = network.model
    given = work.nbytes(arrays)
    if network.cell:
        assert conditions.hidden is not None
        assert conditions.layers is not None
        sizes = {
            "batch": conditions.batch,
            "time": conditions.time,
            "hidden": conditions.hidden,
            "layers": conditions.layers,
        }
        weights, flops, recurrent = work.of_layers(network.cell, sizes, INPUT_SIZE)
        states = given - arrays[model.inputs[0].name].nbytes
        out = 4 * conditions.batch * conditions.time * conditions.hidden + states
        return work.Work(weights, flops, recurrent, given, out)
    if not network.runnable:
        weights = sum(t.numel() * t.element_size() for t in read_weights(_path(network)).values())
        return work.Work(weights, 0, 0, given, 0)
    outputs = call(
        model.module, model.inputs, model.outputs, arrays, device=device_of(model.module)
    )
    rows = conditions.batch * conditions.time
    weights = work.weight_bytes(model.module, rows)
    return work.Work(weights, work.count_flops(model, arrays), 0, given, work.nbytes(outputs))


def _variant(target: str, form: str, hidden: int, layers: int) -> Network:
    """Loop and fused layer have the same weights, those of the fused one; there is no head."""
    from rnnbench.models import variants
    from rnnbench.models.variants import Options

    reads_ids = variants.reads(target) == "ids"
    options = Options(INPUT_SIZE, hidden, layers, vocabulary=100 if reads_ids else None)
    cell = target.removesuffix("-loop")
    if cell not in CELLS:
        module = variants.build(target, options).eval()
        return Network(variants.model(target, options, bundle_name=target, module=module))
    fused = variants.build(cell, options).eval()
    twin = variants.model(cell, options, bundle_name=cell, module=fused)
    if form == "fused":
        return Network(twin, cell)
    loop = variants.build(f"{cell}-loop", options).eval()
    loop.load_state_dict(fused.state_dict(), strict=True)
    model = variants.model(f"{cell}-loop", options, bundle_name=cell, module=loop)
    return Network(model, cell, twin=twin)


def _of_bundle(bundle: Bundle) -> Network:
    """A bundle's files, and its module where the code is on this machine."""
    from rnnbench.models.rebuild import rebuild

    price = bundle.manifest.get("precision") or None
    precision = price["name"] if price else ""
    try:
        model = rebuild(bundle)
        model.module.load_state_dict(read_weights(bundle.path))
        model.module.eval()
    except (Unavailable, RuntimeError):
        model, runnable = _declared(bundle), False
    else:
        model, runnable = replace(model, name=bundle.name), True
    return Network(model, bundle=bundle, runnable=runnable, precision=precision, price=price)


def _declared(bundle: Bundle) -> Model:
    """The declaration alone; the module stands for one whose code is elsewhere."""
    import torch

    return Model(torch.nn.Identity(), **bundle.declaration)


def _path(network: Network) -> Path:
    assert network.bundle is not None
    return network.bundle.path
