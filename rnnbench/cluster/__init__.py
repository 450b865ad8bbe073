"""Work on many machines at once, with Ray: the extra `ray`.

`engine` starts Ray here or connects to it, `nodes` says what there is and chooses, `parcels`
carries files by their content, `sweep` gives each node one of its `jobs` at a time and outlives
what dies, `tasks` shares cores. Ray is imported where one of them is used, and nowhere else.
"""
