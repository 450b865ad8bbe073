"""What can go wrong with a file: one hazard per file, with the same few names.

* `SEVERITY`: `error` (wrong or refused), `warning`, or `note`, unless a finding says another;
* `REMEDY`: what to do;
* `find(flow, recurrences)`: yields (where, what, severity or "").
"""

Found = tuple[str, str, str]
