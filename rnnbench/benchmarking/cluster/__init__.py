"""`bench` on many machines: the plan once on each kind of node, each node with a results file.

    Plan ──groups──▶ sweep ──item──▶ work (on the node) ──line──▶ records: a journal for each node

`groups` says what stays on one node, `kinds` which nodes are alike, `work` measures there,
`steadiness` says whether the node can be believed, `records` keeps the journals and makes results
files of them, `run` puts it together.
"""
