"""Which matrices of a model are stored [in, out], told by what is added to their outputs, or by the
router beside fused experts; and methods that work on rows evaluated with the outputs' rows.

A tensor of 2 dimensions is told by its bias, one of 3 by its bias or by "gate.weight" in the same
block: its longer name is what the test models have.
"""

import re

import numpy as np

from oracle_deltas import Wanted


def _layer(name):
    found = re.match(r"^(?:.*?\.)??\d+(?=\.)", name)
    return found.group(0) if found else ""


def _by_shapes(name, shapes):
    """True: [in, out]; False: [out, in]; None: the shapes do not tell."""
    *stack, rows, cols = shapes[name]
    stem = name[:-len(".weight")] + ".bias" if name.endswith(".weight") else name + "_bias"
    bias = shapes.get(stem)
    if rows != cols and bias in ([*stack, rows], [*stack, cols]):
        return bias == [*stack, cols]
    if len(stack) == 1 and rows != cols:
        for other, shape in shapes.items():
            if _layer(other) == _layer(name) and len(shape) == 2 and shape[0] == stack[0]:
                hidden = shape[1]
                if hidden in (rows, cols):
                    return (cols == hidden) == ("down" in name)
    return None


def by_column(base):
    """Names of those that are stored [in, out]. `base`: name -> array."""
    shapes = {name: list(values.shape) for name, values in base.items()}
    clear = {name: _by_shapes(name, shapes) for name, shape in shapes.items()
             if len(shape) == 2 or (len(shape) == 3 and "experts" in name)}
    out = {name for name, told in clear.items() if told}
    for name, told in clear.items():
        if told is None and shapes[name][-1] == shapes[name][-2]:
            others = [t for n, t in clear.items() if t is not None and
                      _layer(n) == _layer(name) and len(shapes[n]) == len(shapes[name])]
            if others and all(others):
                out.add(name)
    return out


def turn(model, names):
    return {name: np.swapaxes(values, -1, -2) if name in names else values
            for name, values in model.items()}


def turn_back(wanted, names):
    return {name: Wanted(np.swapaxes(w.value, -1, -2),
                         [(np.swapaxes(where, -1, -2), np.swapaxes(value, -1, -2))
                          for where, value in w.others], w.bar) if name in names else w
            for name, w in wanted.items()}
