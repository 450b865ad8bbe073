"""What shares the cores of a cluster: a task for each bundle, with a core of its own."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rnnbench.cluster.engine import connected, import_ray
from rnnbench.cluster.nodes import choose, describe_node, find_nodes, rules_of
from rnnbench.cluster.parcels import Parcel, pack, unpack
from rnnbench.core import trust
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.temporary import temporary_folder

_RETRIES = 2  # of Ray, where a node or a worker dies
_NODE = "ray.io/node-id"


@dataclass(frozen=True)
class Done:
    """What a task said.

    Attributes:
        place: where the bundle was on its node; messages may hold it.
        value: what the function returned.
        error: the line of its RnnbenchError; empty where it returned.
    """

    place: str
    value: Any = None
    error: str = ""


def for_each_bundle(
    paths: Sequence[Path],
    function: Callable[[Path], Any],
    address: str,
    on: Sequence[str] = (),
    on_done: Callable[[Path], None] = lambda _: None,
) -> Iterator[Done]:
    """Calls a function with each bundle, on whatever node has a core free.

    Args:
        paths: the bundles; they travel.
        function: is called on a node with the bundle's folder there; it travels, and what it
            returns comes back.
        address: of the cluster, or `local`.
        on: which nodes, as `--on` says it.
        on_done: called with a path as soon as there is an answer.

    Yields:
        What each task said, in the order of the paths.

    Raises:
        RnnbenchError: there is no such cluster or node.
    """
    rules_of(on)
    with connected(address) as ray:
        options: dict[str, Any] = {"num_cpus": 1, "max_retries": _RETRIES}
        options["scheduling_strategy"] = "SPREAD"
        nodes = choose(find_nodes(ray, describe_node, measuring=False), on)
        if on:
            options["label_selector"] = {_NODE: f"in({','.join(node.id for node in nodes)})"}
        task = ray.remote(_run).options(**options)
        asked: list[Any] = [_ask(task, path, function, ray) for path in paths]
        left = {ref: path for ref, path in zip(asked, paths, strict=True) if _is_asked(ref)}
        while left:
            ready, _ = ray.wait([*left], num_returns=1)
            for ref in ready:
                on_done(left.pop(ref))
        yield from (_answer(ray, each) if _is_asked(each) else each for each in asked)


def _ask(task: Any, path: Path, function: Callable[[Path], Any], ray: Any) -> Any:
    """Ray's reference to what will be said; of what cannot be read, that at once."""
    try:
        return task.remote(pack(path, ray.put), function)
    except RnnbenchError as error:
        return Done(str(path), error=one_line(error))


def _is_asked(answer: Any) -> bool:
    return not isinstance(answer, Done)


def _answer(ray: Any, ref: Any) -> Done:
    try:
        said = ray.get(ref)
        assert isinstance(said, Done)
        return said
    except ray.exceptions.RayTaskError as error:
        cause = error.cause or error
        return Done("", error=f"{type(cause).__name__}: {one_line(cause)}")
    except ray.exceptions.RayError:
        return Done("", error=f"its process ended, {_RETRIES + 1} times")


def _run(parcel: Parcel, function: Callable[[Path], Any]) -> Done:
    """On a node."""
    place = unpack(parcel, _folder(), import_ray().get)
    try:
        return Done(str(place), function(place))
    except RnnbenchError as error:
        return Done(str(place), error=str(error))


@cache
def _folder() -> Path:
    """Of this process of Ray's, which may run many tasks; it goes when that ends.

    The record of what this user exported is in it, and so of these bundles alone.
    """
    until_the_end = ExitStack()
    atexit.register(until_the_end.close)
    folder = until_the_end.enter_context(temporary_folder())
    os.environ[trust.FOLDER] = str(folder / "state")
    return folder
