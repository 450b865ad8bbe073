"""`bench --cluster`: three small nodes on this machine, and what dies there. Logic, never time."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

import rnnbench
from rnnbench import RnnbenchError
from rnnbench.benchmarking.cluster.groups import group_of, in_groups
from rnnbench.benchmarking.cluster.kinds import kind_of
from rnnbench.benchmarking.cluster.run import ClusterRun, run_on_cluster
from rnnbench.benchmarking.cluster.steadiness import Steadiness, Watch
from rnnbench.benchmarking.plan import Plan, items
from rnnbench.benchmarking.record import JOURNAL
from rnnbench.benchmarking.results import read_file
from rnnbench.cluster.nodes import Node, choose, named
from rnnbench.models import sources
from tests.helpers import cluster_work
from tests.helpers.cluster_work import started, write_script

pytestmark = [
    pytest.mark.xdist_group("ray"),
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra `ray` is not installed"),
]

ROOT = Path(__file__).parents[2]
PLAN = Plan(("elman", "gru", "lstm"), ("eager",), time=(1, 2), hidden=(4,), quick=True)
ITEMS = list(items(PLAN))
LABELS = [item.label for item in ITEMS]
SLOWLY = {label: {"sleep": 0.2} for label in LABELS}
_BEAT = {  # a node that died is known after a second
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 300,
    "health_check_failure_threshold": 3,
}


# ---- what needs no cluster


def made_node(name, **facts):
    usual = {"host": name, "cpu": "AMD EPYC", "cores": 4, "memory": 8 * 2**30, "gpu": None}
    return Node(name, name, usual | facts)


NODES = [
    made_node("laptop"),
    made_node("arm", cpu="AWS Graviton4", cores=64, memory=128 * 2**30),
    made_node("cards", gpu="NVIDIA H200", cores=16, memory=512 * 2**30),
]


@pytest.mark.parametrize(
    ("on", "names"),
    [
        ((), ["laptop", "arm", "cards"]),
        (("gpu",), ["cards"]),
        (("gpu=h200",), ["cards"]),
        (("cpu=Graviton",), ["arm"]),
        (("cores=16",), ["arm", "cards"]),
        (("memory=100,cpu=EPYC",), ["cards"]),
        (("host=lap", "host=arm"), ["laptop", "arm"]),
    ],
)
def test_nodes_are_chosen_by_what_they_are(on, names):
    assert [node.name for node in choose(NODES, on)] == names


@pytest.mark.parametrize(
    ("on", "said"),
    [
        (("cpu=M4",), r"--on 'cpu=M4' is no node of the cluster: there are laptop \(AMD EPYC, 4"),
        (("cpu",), "--on 'cpu': give gpu, or cpu=NAME"),
        (("colour=red",), "--on 'colour=red': give gpu"),
        (("cores=many",), "--on 'cores=many': give gpu"),
        (("gpu,",), "give gpu, or"),
    ],
)
def test_what_chooses_no_node_is_one_line(on, said):
    with pytest.raises(RnnbenchError, match=said) as error:
        choose(NODES, on)
    assert "\n" not in str(error.value)


def test_nodes_of_one_host_have_names_of_their_own():
    found = [
        ({"NodeID": str(n), "NodeManagerPort": 9 - n, "Resources": {}}, NODES[k].facts)
        for n, k in enumerate((0, 1, 0))
    ]
    assert [(node.name, node.id) for node in named(found)] == [
        ("arm", "1"),
        ("laptop-1", "2"),
        ("laptop-2", "0"),
    ]


def test_what_is_compared_is_one_group_and_a_ratio_one_item():
    """Both sides of a comparison are on one node: they are a single job."""
    for item in ITEMS:
        if item.kind == "ratio":
            assert item.versus is not None
            assert group_of(item) == f"{item.target} on {item.conditions}"
    for name, members in in_groups(ITEMS).items():
        assert {(i.target, i.conditions) for i in members} == {
            (members[0].target, members[0].conditions)
        }
        assert name == group_of(members[0])
    rounded = Plan(("gru",), ("onnxruntime",), time=(1,), hidden=(4,), precisions=("float16",))
    assert len(in_groups(items(rounded))) == 1, "a precision is held against float32"
    streams = Plan(("gru",), ("eager",), time=(1,), hidden=(4,), streams=(1, 4))
    held = in_groups(items(streams))
    assert len(held) == 1, "the ways to hold streams are held against one another"


def test_a_kind_is_what_makes_numbers_comparable():
    facts = {"machine_id": "x", "cpu": "a", "cores": 2, "load": [0.1]}
    assert kind_of(facts) == kind_of(facts | {"load": [3.0], "host": "other"})
    for other in ({"cpu": "b"}, {"cores": 4}, {"versions": {"torch": "1"}}, {"machine_id": "y"}):
        assert kind_of(facts) != kind_of(facts | other)


def test_a_node_is_doubted_in_words():
    assert Steadiness(1.0, 0.2, 4).doubts(0.95) == []
    busy, slow = Steadiness(1.0, 1.5, 4).doubts(0.8)
    assert busy == "other processes kept 1.5 of 4 cores busy"
    assert slow == "its clock ran at 80% of the best of its kind"
    seen = Watch().end()
    assert seen.pace_s > 0
    assert seen.others >= 0


def test_without_the_option_nothing_of_it_is_imported(tmp_path):
    """And without the extra, the option says what to install."""
    code = """
        import sys
        from rnnbench.__main__ import main

        def code_of(words):
            try:
                return main(words.split())
            except SystemExit as end:
                return end.code

        tiny = "--hidden 4 --time 2 --quick --runtime eager"
        code = code_of("bench gru " + tiny)
        found = [n for n in sys.modules if n.partition(".")[0] == "ray" or ".cluster" in n]
        print(code, found, file=sys.stderr)
        sys.modules["ray"] = None
        print(code_of("bench gru --cluster local"), file=sys.stderr)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stderr.splitlines()[-3:] == [
        "0 []",
        "error: --cluster needs Ray, which is not installed: pip install 'rnnbench[ray]'",
        "2",
    ]


# ---- three nodes


@pytest.fixture(scope="module")
def cluster():
    """Three nodes of one kind, and Ray connected to them; the head is none of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        patch.setenv("PYTHONPATH", str(ROOT))
        import ray  # which reads the variables then
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "_system_config": _BEAT}
        made = Cluster(initialize_head=True, head_node_args=head)
        for name in ("a", "b", "c"):
            add_node(made, name)
        ray.init(made.address, log_to_driver=False, configure_logging=False)
        yield made
        ray.shutdown()
        made.shutdown()


def add_node(cluster, name, cpu="usual"):
    return cluster.add_node(
        num_cpus=1, resources={"rnnbench": 1}, labels={"name": name, "cpu": cpu}
    )


def kill_node(node):
    """As if its machine were gone: the raylet first, which can say nothing any more."""
    node.all_processes["raylet"][0].process.send_signal(signal.SIGKILL)


@contextlib.contextmanager
def another_node(cluster, name, cpu):
    node = add_node(cluster, name, cpu)
    try:
        yield node
    finally:
        cluster.remove_node(node, allow_graceful=False)


def run(folder, out, script=None, on=(), **given):
    make = write_script(folder, **(script or {}))
    deadline = given.pop("deadline", 60.0)
    how = ClusterRun("auto", on, deadline, make, cluster_work.describe)
    return run_on_cluster(PLAN, out, how, **given)


def entries(outcome):
    """Label -> node, of all that is in the results files; each label once."""
    found = {}
    for node in outcome.nodes:
        data = json.loads(node.path.read_text())
        for entry in data["benchmarks"]:
            assert entry["name"] not in found
            found[entry["name"]] = node.node
            assert entry["extra_info"]["node"] == node.node
            assert data["machine_info"]["rnnbench"]["node"] == node.node
    return found


def skipped(outcome):
    files = [json.loads(node.path.read_text()) for node in outcome.nodes]
    rows = [row for data in files for row in data["machine_info"]["rnnbench"]["skipped"]]
    return {row["what"]: row["reason"] for row in rows}


def test_a_plan_is_measured_once_on_each_kind_and_a_group_on_one_node(cluster, tmp_path):
    lines = []
    with another_node(cluster, "d", "other"):
        outcome = run(tmp_path, tmp_path / "out", on_line=lines.append)
    assert outcome.total == 2 * len(ITEMS)
    assert (outcome.wrong, outcome.interrupted, outcome.lost) == ((), False, 0)
    ran = started(tmp_path)
    assert Counter(label for label, _ in ran) == dict.fromkeys(LABELS, 2)
    assert [label for label, node in ran if node == "d"] == LABELS
    usual = {label: node for label, node in ran if node != "d"}
    for members in in_groups(ITEMS).values():
        assert len({usual[item.label] for item in members}) == 1
    assert len({*usual.values()}) == 3, "its nodes share the work"
    assert sum(node.measured for node in outcome.nodes) == 2 * len(ITEMS)
    assert lines[-1].startswith(f"[{outcome.total}/{outcome.total}] ")
    assert not [*tmp_path.glob(f"out/*/*{JOURNAL}")]


def test_a_worker_that_aborts_is_a_row_and_the_others_go_on(cluster, tmp_path):
    everywhere, once = LABELS[0], LABELS[5]
    script = {everywhere: {"abort": ["a", "b", "c"]}, once: {"abort": ["a", "b"]}}
    outcome = run(tmp_path, tmp_path / "out", script)
    assert {*entries(outcome)} == {*LABELS} - {everywhere}
    assert entries(outcome)[once] == "c"
    (what,) = skipped(outcome)
    assert what == everywhere
    assert skipped(outcome)[what].count("the process that ran it ended, on ") == 3
    ran = Counter(label for label, _ in started(tmp_path))
    assert {label: n for label, n in ran.items() if n > 1 and label != once} == {everywhere: 3}


def test_a_measurement_that_hangs_is_given_up(cluster, tmp_path):
    script = {LABELS[1]: {"hang": ["a", "b", "c"]}}
    # long enough for all others, however busy the machine is
    outcome = run(tmp_path, tmp_path / "out", script, ("host=a",), deadline=15.0)
    assert {*entries(outcome)} == {*LABELS} - {LABELS[1]}
    assert skipped(outcome) == {LABELS[1]: "no answer in 15 s, on a"}


def test_a_node_that_dies_loses_nothing(cluster, tmp_path):
    """Its running measurement alone is repeated, on another of its kind."""
    with another_node(cluster, "e", "pair") as dying, another_node(cluster, "f", "pair"):

        def kill(line):
            if "] e: " in line and dying.all_processes["raylet"][0].process.poll() is None:
                kill_node(dying)

        outcome = run(tmp_path, tmp_path / "out", SLOWLY, ("cpu=pair",), on_line=kill)
    assert {*entries(outcome)} == {*LABELS}
    assert outcome.lost == 0
    ran = Counter(label for label, _ in started(tmp_path))
    assert sum(ran.values()) <= len(LABELS) + 1
    assert {node for _, node in started(tmp_path)} == {"e", "f"}


def test_without_a_node_of_its_kind_the_rest_waits_for_resume(cluster, tmp_path):
    out, lines = tmp_path / "out", []

    with another_node(cluster, "g", "alone") as dying:

        def kill(line):
            lines.append(line)
            if "[2/" in line:
                kill_node(dying)

        script = {label: {"hang": ["g"]} for label in LABELS[2:]}
        first = run(tmp_path, out, script, ("cpu=alone",), on_line=kill)
    measured = {*entries(first)}
    assert measured == {*LABELS[:2]}
    assert first.lost == len(LABELS) - len(measured)
    assert all(r.endswith("no node of its kind is left") for r in skipped(first).values())
    assert "g: the node died" in lines
    with another_node(cluster, "h", "alone"):
        second = run(tmp_path, out, on=("cpu=alone",), resume=True)
        with pytest.raises(RnnbenchError, match="was stopped: start one without --resume"):
            run(tmp_path, out, on=("cpu=alone",), resume=True)
    assert second.lost == 0
    assert {*entries(second)} == {*LABELS}
    assert skipped(second) == {}
    ran = Counter(label for label, _ in started(tmp_path))
    assert sum(ran.values()) <= len(LABELS) + 1


def test_a_driver_that_is_killed_repeats_only_what_was_running(cluster, tmp_path):
    out = tmp_path / "out"
    write_script(tmp_path, **SLOWLY)
    code = f"""
        from pathlib import Path
        from tests.benchmarking.test_cluster import PLAN
        from tests.helpers.cluster_work import Scripted, describe
        from rnnbench.benchmarking.cluster.run import ClusterRun, run_on_cluster
        import functools

        folder = Path({str(tmp_path)!r})
        make = functools.partial(Scripted, folder)
        how = ClusterRun({cluster.address!r}, make=make, describe=describe)
        run_on_cluster(PLAN, folder / "out", how)
    """
    driver = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT)
    until(lambda: len(started(tmp_path)) >= 6)
    driver.kill()
    driver.wait()
    import ray

    until(lambda: ray.available_resources().get("rnnbench") == 3)
    before = len(started(tmp_path))
    assert before < len(LABELS)
    outcome = run(tmp_path, out, resume=True)
    assert {*entries(outcome)} == {*LABELS}
    assert len(started(tmp_path)) - len(LABELS) <= 3, "one for each node"


def test_a_node_that_cannot_be_believed_is_marked_and_tried_elsewhere(cluster, tmp_path):
    lines = []
    outcome = run(tmp_path, tmp_path / "out", {"busy": ["a"]}, on_line=lines.append)
    assert {*entries(outcome)} == {*LABELS}
    assert {*entries(outcome).values()} == {"b", "c"}
    twice = {label for label, n in Counter(x for x, _ in started(tmp_path)).items() if n == 2}
    assert twice == {label for label, node in started(tmp_path) if node == "a"} != set()
    why = "doubtful, other processes kept 3.0 of 4 cores busy"
    assert any(line.startswith("a: ") and line.endswith(why) for line in lines)


def test_where_no_other_node_is_it_counts_and_is_marked(cluster, tmp_path):
    outcome = run(tmp_path, tmp_path / "out", {"busy": ["a"]}, ("host=a",))
    assert {*entries(outcome)} == {*LABELS}
    assert len(started(tmp_path)) == len(LABELS)
    (node,) = outcome.nodes
    doubts = json.loads(node.path.read_text())["machine_info"]["rnnbench"]["doubts"]
    assert {each["what"] for each in doubts} == {*in_groups(ITEMS)}


def test_a_run_of_other_machines_is_not_gone_on_with(cluster, tmp_path):
    out = tmp_path / "out"
    with another_node(cluster, "i", "first") as dying:

        def kill(line):
            if "[1/" in line:
                kill_node(dying)

        script = {label: {"hang": ["i"]} for label in LABELS[1:]}
        run(tmp_path, out, script, ("cpu=first",), on_line=kill)
    with pytest.raises(RnnbenchError, match=r"is of other machines or versions \(i\): start anew"):
        run(tmp_path, out, on=("host=a",), resume=True)


def until(fact, seconds=60):
    """Waits for a fact: the processes of a cluster need what they need."""
    end = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.02)


# ---- the command, on this machine


MODEL = """
import torch
from rnnbench import Model, TensorSpec


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.GRU(3, 4, batch_first=True)

    def forward(self, x):
        return self.rnn(x)[0]


def build():
    return Model(Net(), (TensorSpec("x", ("batch", "time", 3)),), ("y",), name="{name}")
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a file, a bundle of it, and one that somebody else exported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("own", "foreign", "alone"):
        (tmp_path / f"{name}.py").write_text(MODEL.replace("{name}", name))
    for file in ("own.py", "foreign.py"):
        source = {"kind": "file", "spec": file}
        rnnbench.export(sources.load(file), formats=("onnx",), out="exports", source=source)
    Path("foreign.py").write_text(MODEL.replace("{name}", "foreign") + "\n# changed since\n")
    Path("moved").mkdir()  # from where the record does not lead to the code by chance
    shutil.move("exports", "moved/exports")
    return tmp_path


def command(*words):
    return [sys.executable, "-m", "rnnbench", "bench", *words, "--cluster", "local"]


def processes_in(folder):
    """Of Ray, those of a cluster that was started for the folder."""
    import psutil

    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(folder) in " ".join(process.cmdline()):
                found.append(process)
    return found


def test_bundles_and_files_travel_and_what_is_not_there_is_a_row(project, tmp_path):
    targets = ["moved/exports/own", "moved/exports/foreign", "alone.py"]
    words = ["--time", "2", "--quick", "--runtime", "eager,onnxruntime", "--device", "cpu,cuda:7"]
    done = subprocess.run(
        command(*targets, *words, "--out", "out", "--store", "all"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "are new in all" in done.stderr
    assert [*tmp_path.glob("all/*.parquet")]
    (path,) = tmp_path.glob("out/*/0001_quick.json")
    results = read_file(path)
    timed = {(x.model, x.runtime) for x in results.latencies if not x.mode}
    both = ("own", "alone")
    assert timed == {(m, r) for m in both for r in ("eager", "onnxruntime")} | {
        ("foreign", "onnxruntime")
    }
    reasons = {each.what: each.reason for each in results.skipped}
    assert any("eager on cpu" in what for what in reasons), reasons
    assert any("cuda" in what for what in reasons)
    assert "0001_quick.json" in done.stderr
    assert "ray" not in done.stderr.lower().replace("array", "")


def test_ctrl_c_ends_what_was_started_and_keeps_what_is_measured(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": "/tmp"}
    words = ("gru", "--hidden", "4", "--time", "2", "--quick", "--runtime", "eager")
    process = subprocess.Popen(
        command(*words, "--out", str(tmp_path / "out")),
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # ignored in the background
    )
    seen = []
    with process:
        for line in process.stderr:
            seen.append(line)
            if line.startswith("[2/"):
                folders = {a for p in processes_of(process.pid) for a in temporary(p)}
                os.killpg(process.pid, signal.SIGINT)
    assert process.returncode == 130, seen
    assert seen[-1] == "stopped: go on with the same options and --resume\n"
    assert folders
    until(lambda: not any(processes_in(folder) for folder in folders))
    assert not any(Path(folder).exists() for folder in folders)
    assert [*tmp_path.glob(f"out/*/*{JOURNAL}")]


def processes_of(pid):
    import psutil

    return psutil.Process(pid).children(recursive=True)


def temporary(process):
    """The temporary folder that a process of Ray was started with."""
    import re

    with contextlib.suppress(Exception):
        found = re.search(r"(/\S*rnnbench-\w+-\w+)/files", " ".join(process.cmdline()))
        return [found[1]] if found else []
    return []
