"""A results store: every measurement of every run and machine, in a folder of Parquet files.

    results ──rows──▶ rows ──folder.append──▶ FOLDER/records-*.parquet ──asking.ask──▶ answers

`columns` says what a row holds, `rows` makes them of a results file, `folder` writes files whole
and merges small ones, `asking` reads them with DuckDB, `runs` makes results of them again, `views`
sums them up, `adding` takes in files. A row is never changed. Needs the extra `store`; nothing of
that is imported before it is used.
"""
