"""How `bench` measures.

    Plan ──items──▶ Item ──measure──▶ Measured ──record──▶ benchmarks/results/*.json

`sampling` times one callable, `paired` two of them in turns, `coldstart` what comes before the
first steady call; `roofline` and `machine` say what the machine is; `artifacts` makes what is
measured. `benchmarks/` and the command share all of it.
"""
