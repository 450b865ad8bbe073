"""The results store: real Parquet files, and real questions in DuckDB."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import fields
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rnnbench
from rnnbench.__main__ import main
from rnnbench.benchmarking import driver
from rnnbench.benchmarking.measuring.sampling import Effort
from rnnbench.benchmarking.report.comparison import compare_results
from rnnbench.benchmarking.report.stored import make_store_report
from rnnbench.benchmarking.results import KINDS, read_data
from rnnbench.benchmarking.store import folder as folder_module
from rnnbench.benchmarking.store.adding import add_file, hashes_of
from rnnbench.benchmarking.store.asking import ask
from rnnbench.benchmarking.store.columns import COLUMNS, MEASURED, RENAMED
from rnnbench.benchmarking.store.folder import FILES, append, compact, is_store, live_files
from rnnbench.benchmarking.store.rows import rows_of, run_of, to_results
from rnnbench.benchmarking.store.runs import newest_runs, results_of_commit
from rnnbench.core.errors import RnnbenchError
from tests.helpers.made_results import cost, latency, make_results, ratio, streams, wrap, write_made

ROOT = Path(__file__).parents[2]
FAST = Effort(samples_s=0.02, min_samples=5, max_samples=20, warmup_s=0.1, rounds_s=0.05)
WHERE = {"model": "gru", "cell": "gru", "form": "fused", "runtime": "eager", "mode": ""}
WHERE |= {"device": "cpu", "batch": 1, "time": 4, "hidden": 8, "layers": 1, "threads": 1}
WHERE |= {"frames_per_second": None}


def made(entries, *, cpu="Made Processor", load=0.1, commit="0" * 40, when="2026-01-01"):
    """A results file of a run; two of another `load` are two runs."""
    data = wrap(entries, cpu=cpu, load=[load], skipped=[])
    data["commit_info"] = {"id": commit, "dirty": False, "branch": "main", "time": f"{when}T00:00Z"}
    return data | {"datetime": f"{when}T12:00:00+00:00"}


def timed(p50, **where):
    return latency(WHERE | where, [p50] * 5)


def count(folder, where=None):
    return ask(folder, where, lambda store: store.number("select count(*) from chosen"))


def ids(folder):
    return ask(folder, None, lambda store: {r["id"] for r in store.rows("select id from records")})


def run(arguments, capsys):
    """The exit code, stdout and stderr of a command."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    said = capsys.readouterr()
    return caught.value.code, said.out, said.err


# ---- rows


def test_every_field_of_every_kind_has_a_column():
    for kind, record in KINDS.items():
        for field in fields(record):
            name = RENAMED.get(field.name, field.name)
            assert name in COLUMNS or name == "versus", f"{kind}: {field.name}"


@pytest.mark.parametrize("name", ["0001_quick", "0002_full", "0001_cuda"])
def test_results_come_back_as_they_were(name, tmp_path):
    (path,) = ROOT.glob(f"benchmarks/results/*/{name}.json")
    data = json.loads(path.read_text("utf-8"))
    assert add_file(tmp_path, path) == len(data["benchmarks"])
    was = read_data(path, data)
    (back,) = newest_runs(tmp_path)
    for part in ("facts", "created", "skipped"):
        assert getattr(back, part) == getattr(was, part)
    for part in ("latencies", "ratios", "costs", "streams"):
        assert {r.name: r for r in getattr(back, part)} == {r.name: r for r in getattr(was, part)}


seconds = st.floats(1e-9, 1e3)
texts = st.text(max_size=9)
sizes = st.integers(1, 2**12)


@st.composite
def entries(draw):
    """An entry of any kind, of anything that a results file may hold."""
    names = {name: draw(texts) for name in ("model", "form", "runtime", "mode", "device")}
    hidden = draw(st.none() | sizes)
    where = WHERE | names | {"hidden": 8, "batch": draw(sizes), "time": draw(sizes)}
    where["frames_per_second"] = draw(st.none() | seconds)
    kind = draw(st.sampled_from(sorted(KINDS)))
    if kind == "latency":
        more = {"stable": draw(st.booleans()), "why_unstable": draw(texts)}
        entry = latency(where, draw(st.lists(seconds, min_size=1, max_size=9)), **more)
    elif kind == "ratio":
        entry = ratio(where, draw(seconds), {"form": draw(texts)}, draw(texts))
    elif kind == "cost":
        entry = cost(where, load_s=draw(st.none() | seconds), artifact_bytes=draw(sizes))
    else:
        entry = streams(where, draw(st.integers(1, 99)), draw(texts), draw(seconds))
    entry["extra_info"] |= {"hidden": hidden, "new": draw(st.none() | texts)}
    return entry


@settings(deadline=None, max_examples=40)
@given(st.lists(entries(), min_size=1, max_size=5, unique_by=lambda entry: entry["name"]))
def test_anything_comes_back_as_it_was(tmp_path_factory, found):
    folder = tmp_path_factory.mktemp("store")
    data = made(found)
    rows = rows_of(data)
    assert append(folder, rows) == len(rows)
    stored = ask(folder, None, lambda store: store.rows("select * from records"))
    stored = [row | {"versions": dict(row["versions"])} for row in stored]
    key = lambda row: row["id"]  # noqa: E731
    assert sorted(stored, key=key) == sorted(rows, key=key)
    back, was = read_data(folder, to_results(stored)), read_data(folder, data)
    for part in ("latencies", "ratios", "costs", "streams"):
        assert {r.name: r for r in getattr(back, part)} == {r.name: r for r in getattr(was, part)}


def test_precisions_and_their_price_are_kept(tmp_path):
    price = {"name": "float16", "signal_db": {"y": 61.5}, "errors": None}
    rounded = {"model": "gru-float16", "precision": "float16", "of": "gru"}
    other = {"model": "gru", "precision": ""}
    found = [cost(WHERE | rounded, price=price)]
    found.append(ratio(WHERE | rounded, 0.5, other, what="precision/float32"))
    append(tmp_path, rows_of(made(found)))
    (back,) = newest_runs(tmp_path)
    (kept,) = back.costs
    assert (kept.precision, kept.of, kept.price.signal_db) == ("float16", "gru", {"y": 61.5})
    (pair,) = back.ratios
    assert (pair.precision, pair.versus.precision, pair.versus.model) == ("float16", "", "gru")
    assert "float16 / float32 in eager" in str(make_store_report(tmp_path, by="commit"))


def test_a_run_that_is_resumed_is_the_same_run(tmp_path):
    first = made([timed(1e-3)])
    whole = made([timed(1e-3), timed(2e-3, form="loop")], when="2026-01-02")
    whole["machine_info"]["rnnbench"]["skipped"] = [{"what": "x", "reason": "y"}]
    assert run_of(first) == run_of(whole)
    assert append(tmp_path, rows_of(first)) == 1
    assert append(tmp_path, rows_of(whole)) == 1
    assert count(tmp_path) == 2


def test_what_was_measured_is_known_by_its_content(tmp_path):
    (tmp_path / "net.py").write_text("x = 1\n")
    target = f"{tmp_path / 'net.py'}:make"
    hashes = hashes_of([target, "gru", "no.where:make"])
    assert list(hashes) == ["net.make"]
    entry = timed(1e-3) | {"param": "net.make-model-eager-cpu-b1"}
    rows = rows_of(made([entry, timed(1e-3, form="loop") | {"param": "gru-loop-eager"}]), hashes)
    assert [row["model_sha256"] for row in rows] == [hashes["net.make"], None]
    (tmp_path / "net.py").write_text("x = 2\n")
    assert hashes_of([target]) != hashes


def test_a_bundle_s_hash_is_that_of_its_files(task_bundles, tmp_path):
    import shutil

    bundle = task_bundles["hello-elman"]
    elsewhere = tmp_path / bundle.path.name
    shutil.copytree(bundle.path, elsewhere)
    (one,), (other,) = (hashes_of([str(path)]).values() for path in (bundle.path, elsewhere))
    assert one == other
    assert re.fullmatch("[0-9a-f]{64}", one)


# ---- the folder


def test_the_same_record_is_there_once(tmp_path):
    rows = rows_of(make_results())
    assert append(tmp_path, rows) == len(rows)
    assert append(tmp_path, rows) == 0
    assert append(tmp_path, [*rows[:3], *rows[:3]]) == 0
    assert len(list(tmp_path.glob(FILES))) == 1
    assert count(tmp_path) == len(rows)


def test_files_of_two_stores_may_be_put_together(tmp_path):
    data = make_results(cells=("gru",))
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        append(folder, rows_of(data))
    append(other, rows_of(make_results(cells=("lstm",), seed=1)))
    for path in other.glob(FILES):
        path.rename(one / f"records-other-{path.name}")
    expected = len(rows_of(data)) + len(rows_of(make_results(cells=("lstm",))))
    assert count(one) == expected
    compact(one)
    sql = f"select count(*) from '{one}/*.parquet'"
    assert duckdb.sql(sql).fetchall() == [(expected,)]


def test_small_files_are_merged_as_they_pile_up(tmp_path):
    most = 0
    for n in range(120):
        append(tmp_path, rows_of(made([timed(1e-3 + n * 1e-6)], load=n)))
        most = max(most, len(list(tmp_path.glob("*.parquet"))))
    assert most <= 2 * folder_module.FANOUT
    assert count(tmp_path) == 120
    assert compact(tmp_path)[1] == 1
    assert compact(tmp_path) == (1, 1)
    assert duckdb.sql(f"select count(*) from '{tmp_path}/*.parquet'").fetchall() == [(120,)]


def test_a_million_records_are_at_most_a_thousand_files(tmp_path, monkeypatch):
    """By the sizes alone; a thousand raw samples are 8,000 bytes, which do not get smaller."""
    sizes = {}

    def merge(_folder, paths):
        total = sum(sizes.pop(path) for path in paths)
        sizes[Path(f"merged-{len(sizes)}-{total}-{paths[0]}")] = total

    monkeypatch.setattr(folder_module, "_merge", merge)
    monkeypatch.setattr(folder_module, "_size", lambda path: sizes[path])
    monkeypatch.setattr(folder_module, "live_files", lambda _folder: sorted(sizes))
    for per_record, records, runs in ((9_000, 1_000, 1_000), (300, 20, 2_000), (9_000, 1, 2_000)):
        sizes.clear()
        for n in range(runs):
            sizes[Path(f"{n}")] = per_record * records
            folder_module._merge_small(tmp_path)
        assert sum(sizes.values()) == per_record * records * runs
        assert len(sizes) <= (1_000 if records == 1_000 else 64)


def test_writers_at_once_lose_nothing(tmp_path):
    """Each adds its own, and all add the same beside it."""
    same = rows_of(made([timed(5e-3)], load=99))

    def work(n):
        for k in range(6):
            append(tmp_path, [*rows_of(made([timed(1e-3)], load=n * 10 + k)), *same])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(5)]
    for each in threads:
        each.start()
    seen = []
    while any(each.is_alive() for each in threads):
        if is_store(tmp_path):
            seen.append(count(tmp_path))
        time.sleep(0.01)
    assert count(tmp_path) == 31
    assert seen == sorted(seen)


WRITER = """
import sys, json
from pathlib import Path
from rnnbench.benchmarking.store import folder
from rnnbench.benchmarking.store.rows import rows_of
folder.FANOUT = 3
data = json.loads(Path(sys.argv[2]).read_text())
print("ready", flush=True)
for n in range(int(sys.argv[3]), 10**6):
    data["machine_info"]["rnnbench"]["load"] = [n]
    folder.append(Path(sys.argv[1]), rows_of(data))
    print(n, flush=True)
"""


def writer(*arguments, code=WRITER):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_writer_that_is_killed_leaves_all_of_a_run_or_nothing(tmp_path):
    folder, per_run = tmp_path / "store", len(rows_of(make_results(cells=("gru",))))
    results = write_made(tmp_path / "made.json", cells=("gru",))
    done = 0
    for kill in range(6):
        with writer(folder, results, done) as process:
            assert process.stdout.readline() == "ready\n"
            for _ in range(3 + kill):
                done = int(process.stdout.readline()) + 1
            time.sleep(0.013 * kill)
            process.send_signal(signal.SIGKILL)
            rest = process.stdout.read().splitlines()
        done = int(rest[-1]) + 1 if rest and rest[-1].isdigit() else done
        found = count(folder)
        assert found % per_run == 0
        assert found // per_run in (done, done + 1)  # it may have been killed before it said so
        done = found // per_run
    append(folder, [])
    assert {path.name for path in folder.iterdir()} == {
        ".lock",
        *(path.name for path in live_files(folder)),
    }
    sql = f"select count(*), count(distinct id) from '{folder}/*.parquet'"
    assert duckdb.sql(sql).fetchall() == [(done * per_run, done * per_run)]


KILLED_WHILE_MERGING = """
import os, signal, sys
from pathlib import Path
from rnnbench.benchmarking.store import folder
left = int(sys.argv[2])
def unlink(path, missing_ok=False, real=Path.unlink):
    global left
    if path.suffix == ".parquet":
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
    real(path, missing_ok=missing_ok)
Path.unlink = unlink
folder.compact(Path(sys.argv[1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("removed", [0, 1, 3])
def test_killed_between_the_merged_file_and_those_that_it_replaces(tmp_path, removed):
    for n in range(4):
        append(tmp_path, rows_of(made([timed(1e-3)], load=n)))
    was = ids(tmp_path)
    with writer(tmp_path, removed, code=KILLED_WHILE_MERGING) as process:
        pass
    assert process.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob(FILES))) == 5 - removed
    assert len(live_files(tmp_path)) == 1
    assert (ids(tmp_path), count(tmp_path)) == (was, 4)
    assert append(tmp_path, rows_of(made([timed(1e-3)], load=9))) == 1
    assert len(list(tmp_path.glob(FILES))) == 2
    assert duckdb.sql(f"select count(*) from '{tmp_path}/*.parquet'").fetchall() == [(5,)]


def test_readers_go_on_while_files_are_merged(tmp_path):
    for n in range(6):
        append(tmp_path, rows_of(made([timed(1e-3)], load=n)))

    def question(store):
        if len(store.files) > 1:
            compact(tmp_path)  # what this reader has listed goes
        return store.number("select count(*) from chosen where p50 > 0")

    assert ask(tmp_path, None, question) == 6


def test_a_file_has_the_columns_and_only_strings_that_repeat_are_numbered(tmp_path):
    append(tmp_path, rows_of(make_results()))
    (path,) = tmp_path.glob(FILES)
    assert pq.read_schema(path).names == list(COLUMNS)
    group = pq.ParquetFile(path).metadata.row_group(0)
    assert group.column(0).compression == "ZSTD"


# ---- what goes wrong is one line


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("modl = 'gru'", 'column "modl" not found'),
        ("p50 > 'abc'", "Could not convert"),
        ("1=1; drop view records", "syntax error"),
        ("1=1); drop view records; select (1=1", "it is more than a condition"),
        ("sum(p50) > 1", "cannot contain aggregates"),
        ("(select count(*) from read_text('/etc/hostname')) > 0", "Cannot access file"),
        ("hidden = (select error('no'))", "no"),
        ("", "--where ''"),
    ],
)
def test_a_condition_that_is_none_names_the_columns(tmp_path, capsys, where, said):
    append(tmp_path, rows_of(make_results()))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    code, out, err = run(["report", str(tmp_path), "--where", where], capsys)
    assert (code, out) == (2, "")
    assert said in err
    assert "the columns are id, run, kind" in err
    assert "versions, model_sha256, model" in err
    assert err.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_condition_cannot_write(tmp_path):
    append(tmp_path, rows_of(make_results()))
    out = tmp_path / "out.csv"
    for where in (f"1=1); copy (select 1) to '{out}'; select (1=1", "1=1) ; attach 'x.db'; --"):
        with pytest.raises(RnnbenchError):
            count(tmp_path, where)
    assert not out.exists()


def test_what_is_wrong_with_a_store_is_one_line(tmp_path, capsys):
    assert "is no store" in run(["store", "compact", str(tmp_path)], capsys)[2]
    results = str(write_made(tmp_path / "made.json"))
    for arguments, said in (
        (["report", results, "--by", "machine"], "--by asks a store"),
        (["report", results, "--where", "true"], "--where asks a store"),
        (["compare", results], "give NEW, or --commit twice"),
        (["compare", results, results, "--where", "true"], "give stores, not files"),
        (["compare", results, results, "--commit", "a"], "give stores, not files"),
        (["store", "compress", str(tmp_path)], "choose from add, compact"),
        (["store", "add", str(tmp_path / "s")], "give results of `rnnbench bench`"),
        (["store", "add", results, results], "is no folder"),
        (["bench", "--quick", "--store", results], "is no folder"),
    ):
        code, _, err = run(arguments, capsys)
        assert (code, err.count("\n")) == (2, 1)
        assert said in err
    store = tmp_path / "store"
    append(store, rows_of(make_results()))
    code, _, err = run(["report", str(store), "--where", "model = 'x'"], capsys)
    assert code == 2
    assert f"there is nothing in {store} with model = 'x'" in err
    code, _, err = run(["report", str(store), "--by", "machine", "--csv"], capsys)
    assert "choose some rows with --where, without --by" in err
    (path,) = store.glob(FILES)
    path.write_bytes(path.read_bytes()[:-9])
    for arguments in (["report", str(store)], ["store", "add", str(store), results]):
        code, _, err = run(arguments, capsys)
        assert (code, err.count("\n")) == (2, 1)
        assert path.name in err


def test_a_file_of_another_version_is_left_alone(tmp_path, monkeypatch):
    append(tmp_path, rows_of(make_results()))
    monkeypatch.setattr(folder_module, "VERSION", "2")
    with pytest.raises(RnnbenchError, match="is no file of a store of version 2"):
        append(tmp_path, rows_of(make_results()))


def test_without_the_extra_it_says_so_and_nothing_else_needs_it(tmp_path):
    """In a process where neither can be imported; and where both are, neither is."""
    write_made(tmp_path / "made.json")
    for module in ("pyarrow", "duckdb"):
        code = (
            f"import sys; sys.modules['{module}'] = None\n"
            "from rnnbench.__main__ import main\n"
            "main(['store', 'add', 'store', 'made.json'])"
        )
        done = python(code, tmp_path)
        assert done.returncode == 2
        assert f"{module} is not installed, which a store needs: pip install" in done.stderr
    code = (
        "import sys\nfrom rnnbench.__main__ import main\n"
        "for words in (['report', 'made.json'], ['compare', 'made.json', 'made.json'],\n"
        "              ['bench', '--help'], ['store', '--help']):\n"
        "    try: main(words)\n"
        "    except SystemExit as end: assert not end.code, words\n"
        "assert not {'pyarrow', 'duckdb'} & {name.partition('.')[0] for name in sys.modules}"
    )
    done = python(code, tmp_path)
    assert done.returncode == 0, done.stderr


def python(code, cwd, *words):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
    )


# ---- reports


@pytest.fixture
def two_machines(tmp_path):
    """Two machines, three runs, two commits: what is fastest is another thing on each."""
    folder = tmp_path / "results"
    loop = {"form": "loop"}
    pair = ratio(WHERE | loop, 2.0, {"form": "fused"})
    old = made([timed(1e-3), timed(2e-3, **loop), pair], load=1, commit="a" * 40)
    new = made([timed(1.5e-3), timed(3.3e-3, **loop)], load=2, commit="b" * 40, when="2026-01-03")
    other = made([timed(9e-3), timed(4e-3, **loop)], cpu="Other", commit="b" * 40)
    for data in (old, new, other):
        append(folder, rows_of(data))
    return folder


def test_machines_stand_side_by_side(two_machines, capsys):
    code, out, _ = run(["report", str(two_machines), "--by", "machine"], capsys)
    assert code == 0
    assert out.startswith(f"{two_machines}: 7 records of 3 runs on 2 machines\n")
    assert re.search(r"Made Processor, 2 cores +eager, fused +1500 +eager, loop +3300 +2.20", out)
    assert re.search(r"Other, 2 cores +eager, loop +4000 +eager, fused +9000 +2.25", out)
    assert re.search(r"^eager, loop +3300 +4000$", out, re.MULTILINE)
    assert re.search(r"^eager, fused +1500 +9000$", out, re.MULTILINE)
    assert "History" not in out


def test_history_over_commits(two_machines, capsys):
    code, out, _ = run(["report", str(two_machines), "--by", "commit"], capsys)
    assert code == 0
    assert re.search(r"^ +aaaaaaa +bbbbbbb$", out, re.MULTILINE)
    assert re.search(r"Made Processor, 2 cores +eager, fused +1000 +1500$", out, re.MULTILINE)
    assert re.search(r"Other, 2 cores +eager, fused +9000$", out, re.MULTILINE)
    assert "loop / fused in eager" in out
    assert "What is fastest" not in out


def test_no_ratio_is_formed_of_two_runs(tmp_path):
    """The fastest is of one run, and the next of another: their times stand there, and no more."""
    append(tmp_path, rows_of(made([timed(1e-3)], load=1)))
    append(tmp_path, rows_of(made([timed(2e-3, form="loop")], load=2, when="2026-01-02")))
    (best,) = make_store_report(tmp_path).sums.best.rows
    assert (best["p50_s"], best["next"]["p50_s"], best["times"]) == (1e-3, 2e-3, None)
    append(
        tmp_path, rows_of(made([timed(1e-3), timed(3e-3, form="loop")], load=3, when="2026-02-01"))
    )
    (best,) = make_store_report(tmp_path).sums.best.rows
    assert best["times"] == pytest.approx(3)
    assert best["run"] == best["next"]["run"]


def test_a_report_of_a_store_is_that_of_the_newest_run_of_each_machine(two_machines, tmp_path):
    report = rnnbench.report(two_machines)
    assert {m.name for m in report.material.machines} == {
        "Made Processor, 2 cores",
        "Other, 2 cores",
    }
    made_ = next(m for m in report.material.machines if "Made" in m.name)
    assert {row.p50 for row in made_.latencies} == {1.5e-3, 3.3e-3}
    assert made_.ratios == ()  # that one is of the run before
    later = tmp_path / "later"
    append(later, rows_of(made([timed(1e-3)], load=8, when="2026-05-01")))
    both = rnnbench.report(two_machines, later).material.machines
    assert [len(m.latencies) for m in both if "Made" in m.name] == [1]
    path = write_made(tmp_path / "made.json")
    again = tmp_path / "again"
    add_file(again, path)
    assert [c.headline for c in rnnbench.report(again).cards] == [
        c.headline for c in rnnbench.report(path).cards
    ]


def test_the_condition_chooses_what_is_shown(two_machines, capsys):
    where = "form='loop' and cpu = 'Other'"
    code, out, _ = run(["report", str(two_machines), "--by", "machine", "--where", where], capsys)
    assert code == 0
    assert f"1 record of 1 run on 1 machine with {where}" in out
    code, out, _ = run(["report", str(two_machines), "--where", where, "--json"], capsys)
    assert [row["p50_s"] for row in json.loads(out)["latencies"]] == [4e-3]


def test_json_and_markdown_say_the_same(two_machines, capsys):
    code, out, _ = run(["report", str(two_machines), "--by", "machine", "--json"], capsys)
    found = json.loads(out)
    assert (code, found["schema"]) == (0, "rnnbench-report-store-1")
    assert [row["form"] for row in found["best"]] == ["fused", "loop"]
    assert found["totals"]["side_by_side"] == len(found["side_by_side"]) == 2
    code, out, _ = run(["report", str(two_machines), "--by", "commit", "--markdown"], capsys)
    assert out.startswith("### rnnbench report")
    assert re.search(r"^\|[:-]+\|", out, re.MULTILINE)


def test_the_first_rows_of_many_are_in_order(tmp_path):
    sizes_ = [(model, n) for model in ("a", "b") for n in range(1, 41)]
    again = [timed(2e-3, model=model, batch=n) for model, n in sizes_[77:]]
    append(tmp_path, rows_of(made(again, commit="1" * 40, when="2026-01-02")))
    found = [timed(1e-3, model=model, batch=n) for model, n in reversed(sizes_)]
    append(tmp_path, rows_of(made(found)))
    sums = make_store_report(tmp_path).sums
    for view in (sums.best, sums.side_by_side):
        assert [(r["model"], r["batch"]) for r in view.rows] == sizes_[:40]
        assert (view.total, view.more) == (80, 40)
    history = [(r["model"], r["batch"]) for r in sums.history.rows]
    assert history == sizes_[77:] + sizes_[:37]  # those of many commits first
    assert [p["value"] for p in sums.history.rows[0]["points"]] == [1e-3, 2e-3]
    assert sums.history.total == 80


def test_tables_fit_a_terminal(two_machines, monkeypatch):
    monkeypatch.setattr("rnnbench.core.tables.terminal_width", lambda: 80)
    text = str(make_store_report(two_machines))
    tables = [line for line in text.splitlines() if "  " in line]
    assert max(map(len, tables)) <= 80


def test_too_many_rows_are_summed_up(two_machines, monkeypatch, capsys):
    monkeypatch.setattr("rnnbench.benchmarking.store.runs.MOST", 3)
    code, out, err = run(["report", str(two_machines)], capsys)
    assert code == 0
    assert "choose some with --where" in err
    assert "What is fastest on each machine" in out
    assert "History" in out


def test_raw_samples_are_not_read_where_they_are_not_needed(two_machines):
    """Their bytes are spoilt, and the sums are the same."""
    before = str(make_store_report(two_machines))
    for path in two_machines.glob(FILES):
        group = pq.ParquetFile(path).metadata.row_group(0)
        column = next(
            group.column(i)
            for i in range(group.num_columns)
            if group.column(i).path_in_schema.startswith("samples")
        )
        start = column.dictionary_page_offset or column.data_page_offset
        data = bytearray(path.read_bytes())
        data[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
        path.write_bytes(data)
    assert str(make_store_report(two_machines)) == before
    with pytest.raises(RnnbenchError, match="cannot be read"):
        newest_runs(two_machines)


def test_sql_reads_it_without_us(two_machines):
    sql = f"""select model, form, time, commit[:3] as at, versions['torch'] as torch, len(samples)
        from '{two_machines}/*.parquet' where kind = 'latency' and cpu = 'Other' order by p50"""
    assert duckdb.sql(sql).fetchall() == [
        ("gru", "loop", 4, "bbb", "2.13.0", 5),
        ("gru", "fused", 4, "bbb", "2.13.0", 5),
    ]


# ---- compare


def test_two_commits_of_a_store(two_machines, capsys):
    code, out, _ = run(["compare", str(two_machines), "--commit", "aaa", "--commit", "bbb"], capsys)
    assert code == 1
    assert "2 of 2 rows regressed" in out
    found = compare_results(two_machines, two_machines, commits=("a", "b"), where="form = 'loop'")
    (change,) = found.changes
    assert (change.before, change.after) == (2e-3, 3.3e-3)
    assert str(found.old) == f"{two_machines} at a"
    code, _, err = run(["compare", str(two_machines), "--commit", "c", "--commit", "b"], capsys)
    assert code == 2
    assert "choose from bbbbbbbb, aaaaaaaa" in err


def test_two_stores_are_compared_on_the_machine_that_both_have(two_machines, tmp_path):
    other = tmp_path / "other"
    append(other, rows_of(made([timed(1e-3)], load=7, when="2026-03-01")))
    append(other, rows_of(made([timed(1e-3)], cpu="Third", when="2026-04-01")))
    found = compare_results(two_machines, other)
    assert found.same_machine
    (change,) = found.changes
    assert (change.before, change.after) == (1.5e-3, 1e-3)
    file = write_made(tmp_path / "x.json", made([timed(3e-3)]))
    assert compare_results(file, other, across_machines=True).changes


def test_of_a_row_that_was_measured_again_at_a_commit_the_newest_counts(tmp_path):
    append(tmp_path, rows_of(made([timed(1e-3), timed(4e-3, form="loop")], load=1)))
    append(tmp_path, rows_of(made([timed(2e-3)], load=2, when="2026-01-02")))
    found = results_of_commit(tmp_path, "000")
    assert sorted(row.p50 for row in found.latencies) == [2e-3, 4e-3]


# ---- commands


def test_bench_adds_what_it_measures(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(driver, "QUICK", FAST)
    words = ["bench", "gru", "--quick", "--runtime", "eager", "--hidden", "8", "--time", "3"]
    code, _, err = run([*words, "--out", "out", "--store", "results"], capsys)
    assert code == 0
    (path,) = Path("out").glob("*/*.json")
    entries_ = json.loads(path.read_text())["benchmarks"]
    assert f"{len(entries_)} of them are new in results" in err
    rows = ask(Path("results"), None, lambda s: s.rows("select * from records order by name"))
    expected = sorted((e["name"], e["stats"]["data"]) for e in entries_)
    assert [(row["name"], row["samples"]) for row in rows] == expected
    assert {row["versions"]["torch"] for row in rows}
    code, _, err = run(["store", "add", "results", "out"], capsys)
    assert (code, f"0 of {len(entries_)} measurements are new" in err) == (0, True)
    code, _, err = run(["store", "compact", "results"], capsys)
    assert (code, "1 files of results are 1 now" in err) == (0, True)


def test_the_verbs_from_python_have_stores(two_machines, tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "QUICK", FAST)
    sizes_ = {"runtimes": ["eager"], "hidden": [8], "time": [3], "quick": True}
    store = tmp_path / "store"
    found = rnnbench.bench(["gru"], **sizes_, out=tmp_path / "out", store=store)
    assert count(store) == len(found.to_json()["benchmarks"])
    said = rnnbench.report(two_machines, where="form = 'loop' and cpu = 'Other'")
    assert [row.p50 for row in said.material.machines[0].latencies] == [4e-3]
    compared = rnnbench.compare(two_machines, two_machines, commits=("a", "b"))
    assert not compared.ok


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_a_full_disk_is_one_line_and_leaves_the_store_as_it_was(tmp_path):
    append(tmp_path, rows_of(make_results()))
    was = {path: path.read_bytes() for path in tmp_path.iterdir()}
    code = (
        "import json, resource, signal, sys\nfrom pathlib import Path\n"
        "from rnnbench.__main__ import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
        "main(['store', 'add', '.', sys.argv[1]])"
    )
    results = write_made(tmp_path.parent / "more.json", seed=5)
    done = python(code, tmp_path, str(results))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "make room, or choose another folder" in done.stderr
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == was


def test_what_cannot_be_added_is_still_in_its_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(driver, "QUICK", FAST)

    def fail(*_):
        raise RnnbenchError("cannot write results (No space left): make room")

    monkeypatch.setattr("rnnbench.benchmarking.store.adding.add_file", fail)
    words = ["bench", "gru", "--quick", "--runtime", "eager", "--hidden", "8", "--time", "3"]
    code, out, err = run([*words, "--out", "out", "--store", "results"], capsys)
    (path,) = Path("out").glob("*/*.json")
    assert code == 2
    assert "Latency of a call" in out
    assert f"rnnbench store add results {path}" in err


def test_every_column_is_described():
    page = (ROOT / "docs" / "results.md").read_text("utf-8")
    assert {name for name in COLUMNS if f"`{name}`" not in page} == set()
    assert MEASURED
