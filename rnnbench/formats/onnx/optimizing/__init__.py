"""ONNX -> ONNX, of anybody's file: recurrences become the fused operator, the rest stays.

    loading   reads the file, and refuses what is none
    graph     the nodes of it by the values that they make and read
    layouts   which axes of which value a value has, through what only moves them
    forms     what each value is: affine in others, or a polynomial in activations of such
    cells     which of those are one step of an Elman, GRU or LSTM cell, with its weights
    chains    cells that hand their states on to one another: an unrolled loop
    fused     the node that a cell is
    proving   the file before and after on the same inputs; what differs is not made
    saving    the file and its external data, whole or not at all

Rewrites, in `passes`: each finds its places, changes the graph, and says what it did or why not.
"""
