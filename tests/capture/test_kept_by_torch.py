"""Nothing that torch keeps of an export grows with their number."""

import gc
import linecache

from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import graph_module
from torch.fx.experimental.symbolic_shapes import ShapeEnv

import rnnbench
from tests.helpers import handmade


def kept():
    gc.collect()
    environments = sum(isinstance(each, ShapeEnv) for each in gc.get_objects())
    sources = [name for name in linecache.cache if str(name).startswith("<eval_with_key>")]
    return (
        environments,
        len(graph_module._loader.eval_cache),
        len(sources),
        len(FakeTensorMode.cache),
    )


def test_sources_of_graphs_and_cached_operators_go_with_their_export(tmp_path):
    rnnbench.export(handmade.gru(), ("onnx",), tmp_path)
    before = kept()
    rnnbench.export(handmade.gru(seed=1), ("onnx",), tmp_path)
    after = kept()
    # What earlier tests left may go meanwhile.
    assert all(now <= then for now, then in zip(after, before, strict=True)), (before, after)
