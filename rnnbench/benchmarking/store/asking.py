"""Asks a store with SQL, in DuckDB: nothing but its own files is read, and nothing is written.

The rows are in two views: `records`, each once, and of them `chosen`, those that a condition of the
user's picks. Columns that a question does not name are not read, as the raw samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rnnbench.benchmarking.store.columns import COLUMNS, require
from rnnbench.benchmarking.store.folder import is_store, live_files
from rnnbench.core.errors import RnnbenchError, one_line

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")
MEMORY = "700MB"
"""Of DuckDB: what does not fit makes it slower, or is refused in one line."""
_TRIES = 5


@dataclass(frozen=True)
class Store:
    """A store that can be asked.

    Attributes:
        connection: to DuckDB, which knows the views `records` and `chosen`.
        files: that the views read.
    """

    connection: duckdb.DuckDBPyConnection
    files: tuple[Path, ...]

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """The answer to a SELECT, a row each by the names of its columns."""
        found = self.connection.execute(sql, list(values))
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def number(self, sql: str) -> int:
        """The answer to a SELECT of one number."""
        ((value,),) = self.connection.execute(sql).fetchall()
        return int(value)


def ask(folder: Path, where: str | None, question: Callable[[Store], T]) -> T:
    """The answer to a question; asked again where files were merged meanwhile.

    Args:
        folder: of the store.
        where: an SQL condition on the columns; None for all rows.
        question: asks the store.

    Raises:
        RnnbenchError: there is no store, a file is damaged, or the condition is no condition.
    """
    require()
    import duckdb

    if not is_store(folder):
        raise RnnbenchError(
            f"{folder} is no store: make one with `rnnbench bench --store {folder}`"
        )
    for left in range(_TRIES, 0, -1):
        files = tuple(live_files(folder))
        opened = False
        try:
            with duckdb.connect(":memory:") as connection:
                _open(connection, files)
                opened = True
                if where is not None:
                    _choose(connection, where)
                return question(Store(connection, files))
        except (duckdb.Error, FileNotFoundError) as error:
            if left == 1 or tuple(live_files(folder)) == files:
                raise _explained(folder, error, where if opened else None) from None
            # else a writer has merged them, and what is there now is whole
    raise AssertionError("the last try returns or raises")


def _explained(folder: Path, error: Exception, where: str | None) -> RnnbenchError:
    """What is wrong: the condition, where it was used already, or else a file."""
    import duckdb

    if isinstance(error, duckdb.OutOfMemoryException):
        return RnnbenchError(
            f"the answer needs more than {MEMORY} ({one_line(error)}): choose some with --where"
        )
    if where is not None and not isinstance(error, duckdb.IOException):
        return _no_condition(where, one_line(error))
    return RnnbenchError(
        f"the store {folder} cannot be read ({one_line(error)}): move that file elsewhere, and add "
        "its results again"
    )


def _open(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> None:
    """Makes `records`, and locks everything else."""
    names = [str(path.absolute()) for path in files]
    listed = ", ".join(map(_quoted, names))
    connection.execute(f"set memory_limit = '{MEMORY}'")
    connection.execute("set preserve_insertion_order = false")
    connection.execute(f"set allowed_paths = [{listed}]")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    source = f"read_parquet([{listed}], union_by_name = true)"
    again = connection.execute(f"select count(*) - count(distinct id) from {source}").fetchone()
    if again is not None and again[0]:  # as where files of two stores were put together
        source = f"{source} qualify row_number() over (partition by id order by created) = 1"
    connection.execute(f"create temp view records as select * from {source}")
    connection.execute("create temp view chosen as select * from records")


def _choose(connection: duckdb.DuckDBPyConnection, where: str) -> None:
    """Makes `chosen` anew, of the rows that a condition picks.

    Raises:
        RnnbenchError: it is no condition.
    """
    import duckdb

    sql = f"select * from records where ({where}\n)"
    statements = duckdb.extract_statements(sql)
    if [each.type for each in statements] != [duckdb.StatementType.SELECT]:
        raise _no_condition(where, "it is more than a condition")
    connection.execute(f"create or replace temp view chosen as {sql}")


def _no_condition(where: str, why: str) -> RnnbenchError:
    why = why.rstrip(".!")
    return RnnbenchError(f"--where {where!r}: {why}: the columns are {', '.join(COLUMNS)}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
