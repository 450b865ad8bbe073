"""What the values of a graph are, and which of them are steps of a cell with which weights.

constants   what is worked out from constants alone
layouts     which axes of which value a value has, through what only moves them
matrices    weights as expressions that are compared without a product
forms       the normal form of a value: affine, and products of activations
form_rules  what each operator does to the forms of its arguments
formulas    an Elman, GRU or LSTM cell in these forms
cells       its weights, and its states before and after
"""
