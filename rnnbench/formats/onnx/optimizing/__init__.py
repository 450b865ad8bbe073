"""ONNX -> ONNX, of anybody's file: recurrences become the fused operator, the rest stays.

    loading    reads the file, and refuses what is none
    setting    inputs that are a number, written down
    graph      the nodes of it by the values that they make and read
    branches   those of an If: as graphs, and taken into the graph around them
    algebra/   what the values are, and which are steps of a cell with which weights
    chains     steps that hand their states on: an unrolled loop; loops, stepped: Scan and Loop;
               settled: Loops as converters of TensorFlow write them, in plainer words
    sequences  what steps are fed, as one sequence; reading: what of them is read
    hoisting   what each step computes for itself leaves the steps; joining: steps put together
    emitting   the node, and what is around it; fused: its weights; building: adds nodes
    lengths    a step again and again, against the node
    proving    the file before and after on the same inputs; engines runs them, feeding feeds them
    shapes     the sizes that a file declares, behind what was rewritten
    for_engine the new file in the form that an engine runs
    saving     the file and its external data, whole or not at all

Rewrites, in `passes`: each finds its places, changes the graph, and says what it did or why not.
"""
