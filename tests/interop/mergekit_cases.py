"""The recipes on which Merganser is held against mergekit: every method that both have and that
is deterministic there, with its defaults, its parameters one by one, values per model,
gradients over the layers, filters on tensor names, and slices.

What draws at random in mergekit (dare, della) is compared where nothing is drawn: density 1.
"""

import dataclasses
import os

SOURCE = os.environ.get(
    "MERGANSER_SOURCE_DIR",
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
EXPERTS = os.path.join(SOURCE, "tests", "data", "experts")
BASE = os.path.join(EXPERTS, "base")
ADD = os.path.join(EXPERTS, "expert_add")
SORT = os.path.join(EXPERTS, "expert_sort")
PARITY = os.path.join(EXPERTS, "expert_parity")
LAYERS = 6

# A setting that depends on the tensor's name, as mergekit's own examples write it.
BY_NAME = [{"filter": "self_attn", "value": 0.9}, {"filter": "mlp", "value": 0.4}, {"value": 0.6}]
# One that depends on name and layer.
BY_NAME_AND_LAYER = [{"filter": "self_attn", "value": [0, 0.5, 0.3, 0.7, 1]},
                     {"filter": "mlp", "value": [1, 0.5, 0.7, 0.3, 0]},
                     {"value": 0.5}]


@dataclasses.dataclass
class Case:
    name: str
    recipe: dict

    @property
    def method(self):
        return self.recipe["merge_method"]


def recipe(method, models, base=None, shared=None, **per_model):
    """`models`: folders. `per_model`: a parameter's values, one a model (None: not set)."""
    entries = []
    for i, model in enumerate(models):
        own = {key: values[i] for key, values in per_model.items() if values[i] is not None}
        entries.append({"model": model, "parameters": own} if own else {"model": model})
    body = {"merge_method": method, "models": entries}
    if base is not None:
        body["base_model"] = base
    if shared:
        body["parameters"] = shared
    return body


def sliced(method, slices, base=None, shared=None):
    """`slices`: lists of (model, first layer, end layer, parameters), or such a list and the
    slice's own parameters."""
    body = {"merge_method": method, "slices": []}
    for item in slices:
        sources, own = item if isinstance(item, tuple) else (item, None)
        entry = {"sources": [
            {"model": model, "layer_range": [first, end], **({"parameters": p} if p else {})}
            for model, first, end, p in sources]}
        if own:
            entry["parameters"] = own
        body["slices"].append(entry)
    if base is not None:
        body["base_model"] = base
    if shared:
        body["parameters"] = shared
    return body


ALL = (ADD, SORT, PARITY)
PAIR = (ADD, SORT)


def linear():
    yield "equal", recipe("linear", ALL, weight=[1, 1, 1])
    yield "weights", recipe("linear", ALL, weight=[0.2, 0.5, 1.3])
    yield "not_normalized", recipe("linear", ALL, shared={"normalize": False},
                                   weight=[0.3, 0.3, 0.45])
    yield "negative_weight", recipe("linear", ALL, weight=[1.5, -0.7, 0.4])
    yield "weight_zero", recipe("linear", ALL, weight=[1, 0, 2])
    yield "base_as_a_model", recipe("linear", (BASE,) + PAIR, weight=[2, 1, 1])
    yield "one_model", recipe("linear", (SORT,), weight=[0.7])
    yield "common_weight", recipe("linear", ALL, shared={"weight": 0.5})
    yield "gradient", recipe("linear", ALL, weight=[[0.1, 1], [1, 0.3, 0.7], 0.5])
    yield "filter", recipe("linear", ALL, weight=[BY_NAME, 1, [{"filter": "norm", "value": 3},
                                                               {"value": 0.2}]])
    yield "no_match_falls_back", recipe(
        "linear", PAIR, shared={"weight": 0.25},
        weight=[[{"filter": "mlp", "value": 1}], [{"filter": "q_proj", "value": 0.75}]])
    yield "gradient_of_one", recipe("linear", PAIR, weight=[[0.3], 1])
    yield "star_matches_all", recipe("linear", PAIR, weight=[
        [{"filter": "*", "value": 0.3}, {"filter": "mlp", "value": 5}], 1])
    yield "slices", sliced("linear", [
        [(ADD, 0, 3, {"weight": 1}), (SORT, 0, 3, {"weight": [1, 2]})],
        ([(PARITY, 3, 6, {"weight": 0.5}), (SORT, 3, 6, None)], {"weight": [0.2, 0.6, 1]})])
    yield "other_layers", sliced("linear", [
        [(ADD, 0, 3, {"weight": 1}), (SORT, 3, 6, {"weight": 3})],
        [(SORT, 3, 6, {"weight": 1}), (PARITY, 0, 3, {"weight": 3})]])
    yield "slice_of_one_layer", sliced("linear", [
        [(ADD, 0, 1, {"weight": [1, 2]}), (SORT, 0, 1, {"weight": 1})],
        [(ADD, 1, 6, {"weight": [1, 2, 0.5]}), (SORT, 1, 6, {"weight": 1})]])


def task_arithmetic():
    yield "default", recipe("task_arithmetic", ALL, BASE, weight=[1, 1, 1])
    yield "weights", recipe("task_arithmetic", ALL, BASE, weight=[0.3, 0.9, -0.4])
    yield "lambda", recipe("task_arithmetic", ALL, BASE, {"lambda": 0.6}, weight=[1, 0.5, 0.25])
    yield "normalize", recipe("task_arithmetic", ALL, BASE, {"normalize": True},
                              weight=[1, 0.5, 0.25])
    yield "normalize_zero_sum", recipe("task_arithmetic", PAIR, BASE, {"normalize": True},
                                       weight=[1, -1])
    yield "base_listed", recipe("task_arithmetic", (BASE,) + PAIR, BASE, weight=[None, 1, 1])
    yield "gradient_and_filter", recipe(
        "task_arithmetic", ALL, BASE, {"lambda": [1, 0.5]},
        weight=[[0, 0.25, 1], BY_NAME, BY_NAME_AND_LAYER])
    yield "global_filter", recipe(
        "task_arithmetic", PAIR, BASE,
        {"lambda": BY_NAME, "normalize": [{"filter": "mlp", "value": True}, {"value": False}]},
        weight=[1, 0.5])
    yield "slices", sliced("task_arithmetic", [
        [(BASE, 0, 2, None), (ADD, 0, 2, {"weight": 1}), (SORT, 0, 2, {"weight": 0.5})],
        [(BASE, 2, 6, None), (PARITY, 2, 6, {"weight": [0.2, 1]})]], BASE)


def gta(method, consensus):
    """What the methods of one family share; `density` is what they may leave at 1."""
    yield "density_1", recipe(method, ALL, BASE, weight=[1, 1, 1])
    yield "density_1_weights", recipe(method, ALL, BASE, {"lambda": 0.7}, weight=[0.5, 1.2, -0.3],
                                      density=[1, 1, 1])
    yield "density_1_normalize", recipe(method, ALL, BASE, {"normalize": True},
                                        weight=[0.5, 1.2, 0.3])
    yield "density_1_not_normalized", recipe(method, ALL, BASE,
                                             {"normalize": False, "rescale": True},
                                             weight=[0.5, 1.2, 0.3])
    yield "density_1_gradient", recipe(method, ALL, BASE, weight=[[1, 0.2], BY_NAME, 0.5])
    yield "density_1_weight_zero", recipe(method, ALL, BASE, weight=[1, 0, [0, 0.5]])
    if consensus:
        yield "int8_mask", recipe(method, ALL, BASE, {"int8_mask": True}, weight=[1, 1, 1])
        yield "opposed_weights", recipe(method, PAIR, BASE, weight=[1, -1])


def ties():
    yield from gta("ties", True)
    for density in (0.2, 0.5, 0.9):
        yield "density_%g" % density, recipe("ties", ALL, BASE, weight=[1] * 3,
                                             density=[density] * 3)
    yield "density_tiny", recipe("ties", ALL, BASE, weight=[1, 1, 1], density=[0.0001] * 3)
    yield "density_per_model", recipe("ties", ALL, BASE, weight=[1, 0.5, 0.3],
                                      density=[0.1, 0.3, 0.7])
    yield "common_density", recipe("ties", ALL, BASE, {"weight": 1, "density": 0.3})
    yield "rescale", recipe("ties", ALL, BASE, {"rescale": True}, weight=[1, 1, 1],
                            density=[0.2, 0.4, 0.6])
    yield "rescale_not_normalized", recipe("ties", ALL, BASE,
                                           {"rescale": True, "normalize": False, "lambda": 0.5},
                                           weight=[1, 0.5, 0.7], density=[0.2, 0.4, 0.6])
    yield "one_model", recipe("ties", (ADD,), BASE, weight=[1], density=[0.3])
    yield "one_model_rescaled", recipe("ties", (SORT,), BASE, {"rescale": True}, weight=[1],
                                       density=[0.1])
    yield "gradient_and_filter", recipe(
        "ties", ALL, BASE, weight=[[0.5, 1], BY_NAME, 1],
        density=[[0.2, 0.9], BY_NAME, [{"filter": "norm", "value": 1}, {"value": [0.5, 0.1]}]])
    yield "slices", sliced("ties", [
        ([(BASE, 0, 4, None), (ADD, 0, 4, {"weight": 1}), (SORT, 0, 4, {"weight": 0.5})],
         {"density": [0.2, 0.8]}),
        [(BASE, 4, 6, None), (ADD, 4, 6, {"weight": 1, "density": 0.5}),
         (PARITY, 4, 6, {"weight": 0.7})]], BASE, {"density": 0.4})


def breadcrumbs(method):
    yield from gta(method, method.endswith("ties"))
    yield "density_0.9", recipe(method, ALL, BASE, weight=[1] * 3, density=[0.9] * 3)
    yield "gamma", recipe(method, ALL, BASE, weight=[1] * 3, density=[0.5] * 3, gamma=[0.05] * 3)
    yield "gamma_zero", recipe(method, ALL, BASE, weight=[1] * 3, density=[0.5] * 3,
                               gamma=[0] * 3)
    yield "gamma_gives_way", recipe(method, ALL, BASE, weight=[1] * 3, density=[0.95] * 3,
                                    gamma=[0.1] * 3)
    yield "per_model", recipe(method, ALL, BASE, {"lambda": 0.8}, weight=[1, 0.5, 0.3],
                              density=[0.2, 0.6, 0.9], gamma=[0.01, 0.002, 0.1])
    yield "one_model", recipe(method, (ADD,), BASE, weight=[1], density=[0.3], gamma=[0.05])
    yield "rescale", recipe(method, ALL, BASE, {"rescale": True, "normalize": True},
                            weight=[1, 0.5, 0.3], density=[0.4] * 3, gamma=[0.02] * 3)
    yield "gradient_and_filter", recipe(
        method, PAIR, BASE, weight=[1, BY_NAME], density=[[0.3, 0.9], BY_NAME],
        gamma=[0.01, [0.02, 0]])


def dare(method):
    yield from gta(method, method.endswith("ties"))
    yield "rescale_off", recipe(method, ALL, BASE, {"rescale": False}, weight=[1, 0.5, 0.25])
    yield "density_0", recipe(method, ALL, BASE, weight=[1, 0.5, 0.25], density=[0, 1, 1])


def della(method):
    yield from gta(method, method == "della")
    yield "epsilon", recipe(method, ALL, BASE, {"rescale": False}, weight=[1, 0.5, 0.25],
                            epsilon=[0.1, 0.2, 0.3])
    yield "density_0", recipe(method, ALL, BASE, weight=[1, 0.5, 0.25], density=[0, 1, 1])


def sce():
    yield "default", recipe("sce", ALL, BASE)
    yield "two_models", recipe("sce", PAIR, BASE)
    yield "int8_mask", recipe("sce", ALL, BASE, {"int8_mask": True})
    for topk in (0, 0.1, 0.5, 0.9):
        yield "topk_%g" % topk, recipe("sce", ALL, BASE, {"select_topk": topk})
    yield "topk_gradient", recipe("sce", ALL, BASE, {"select_topk": [0.2, 1]})
    yield "topk_filter", recipe("sce", ALL, BASE, {"select_topk": BY_NAME})
    yield "one_model", recipe("sce", (ADD,), BASE)


def slerp():
    for t in (0, 0.3, 0.5, 1):
        yield "t_%g" % t, recipe("slerp", (BASE, ADD), BASE, {"t": t})
    yield "base_not_listed", recipe("slerp", (PARITY,), BASE, {"t": 0.4})
    yield "base_listed_last", recipe("slerp", (PARITY, BASE), BASE, {"t": 0.4})
    yield "gradient", recipe("slerp", (BASE, SORT), BASE, {"t": [0, 1]})
    yield "name_and_layer", recipe("slerp", (ADD, SORT), ADD, {"t": BY_NAME_AND_LAYER})
    yield "slices", sliced("slerp", [[(ADD, 0, LAYERS, None), (SORT, 0, LAYERS, None)]], ADD,
                           {"t": BY_NAME_AND_LAYER})


def nuslerp():
    yield "no_base", recipe("nuslerp", PAIR, weight=[0.4, 0.6])
    yield "base", recipe("nuslerp", PAIR, BASE, weight=[0.4, 0.6])
    yield "weights_not_one", recipe("nuslerp", PAIR, BASE, weight=[1, 3])
    yield "weights_cancel", recipe("nuslerp", PAIR, BASE, weight=[1, -1])
    yield "weight_zero", recipe("nuslerp", PAIR, BASE, weight=[1, 0])
    yield "from_one_to_the_other", recipe("nuslerp", PAIR, weight=[[1, 0], [0, 1]])
    for flatten, rows in ((False, False), (False, True), (True, True)):
        for base in (None, BASE):
            yield "flatten_%s_row_wise_%s_%s" % (flatten, rows, "base" if base else "none"), \
                recipe("nuslerp", PAIR, base,
                       {"nuslerp_flatten": flatten, "nuslerp_row_wise": rows},
                       weight=[0.3, 0.5])
    yield "gradient_and_filter", recipe("nuslerp", PAIR, BASE, weight=[[0.1, 1], BY_NAME])


def multislerp():
    yield "no_base", recipe("multislerp", ALL, weight=[1, 1, 1])
    yield "base", recipe("multislerp", ALL, BASE, weight=[1, 1, 1])
    yield "weights", recipe("multislerp", ALL, BASE, weight=[0.2, 0.5, 0.9])
    yield "weights_no_base", recipe("multislerp", ALL, weight=[0.2, 0.5, 0.9])
    yield "not_normalized", recipe("multislerp", ALL, BASE, {"normalize_weights": False},
                                   weight=[0.2, 0.5, 0.9])
    yield "eps", recipe("multislerp", ALL, BASE, {"eps": 0.001}, weight=[1, 2, 1])
    yield "weight_zero", recipe("multislerp", ALL, BASE, weight=[1, 0, 2])
    yield "two", recipe("multislerp", PAIR, BASE, weight=[1, 2])
    yield "one", recipe("multislerp", (SORT,), BASE, weight=[1])
    yield "gradient_and_filter", recipe("multislerp", ALL, BASE,
                                        weight=[[0.1, 1], BY_NAME, BY_NAME_AND_LAYER])


def karcher():
    yield "default", recipe("karcher", ALL)
    yield "two", recipe("karcher", PAIR)
    yield "one", recipe("karcher", (ADD,))
    yield "base_as_a_model", recipe("karcher", (BASE,) + ALL)
    yield "one_step", recipe("karcher", ALL, shared={"max_iter": 1})
    yield "no_step", recipe("karcher", ALL, shared={"max_iter": 0})
    yield "coarse", recipe("karcher", ALL, shared={"tol": 0.01})
    yield "many_steps", recipe("karcher", ALL, shared={"max_iter": 50, "tol": 0.0001})


def model_stock():
    yield "two", recipe("model_stock", PAIR, BASE)
    yield "three", recipe("model_stock", ALL, BASE)
    yield "filter_wise", recipe("model_stock", ALL, BASE, {"filter_wise": True})
    yield "filter_wise_by_name", recipe(
        "model_stock", ALL, BASE,
        {"filter_wise": [{"filter": "mlp", "value": True}, {"value": False}]})


def nearswap():
    for t in (0.0001, 0.001, 0.01):
        yield "t_%g" % t, recipe("nearswap", (ADD,), BASE, {"t": t})
    yield "gradient", recipe("nearswap", (SORT,), BASE, {"t": [0.0001, 0.003]})
    yield "filter", recipe("nearswap", (SORT,), BASE, {"t": [
        {"filter": "mlp", "value": 0.001}, {"value": 0}]})


def ram(method):
    yield "default", recipe(method, ALL, BASE)
    yield "two", recipe(method, PAIR, BASE)
    yield "one", recipe(method, (PARITY,), BASE)
    for epsilon in (0.0005, 0.002, 0.0):
        yield "epsilon_%g" % epsilon, recipe(method, ALL, BASE, {"epsilon": epsilon})
    yield "epsilon_gradient", recipe(method, ALL, BASE, {"epsilon": [0.0001, 0.002]})
    if method == "ramplus_tl":
        yield "r_alpha", recipe(method, ALL, BASE, {"r": 0.5, "alpha": 0.9, "epsilon": 0.002})
        yield "r_alpha_wide", recipe(method, ALL, BASE, {"r": 0.3, "alpha": 100, "epsilon": 0.002})


def passthrough():
    yield "one", recipe("passthrough", (ADD,))
    yield "scale", recipe("passthrough", (ADD,), scale=[0.3])
    yield "scale_by_name", recipe("passthrough", (SORT,), scale=[
        [{"filter": "o_proj", "value": 0}, {"filter": "down_proj", "value": [0.5, 1.5]},
         {"value": 1}]])
    yield "stacked_layers", sliced("passthrough", [
        [(BASE, 0, 4, None)], [(ADD, 2, 6, None)]])
    yield "stacked_scaled", sliced("passthrough", [
        [(SORT, 0, 3, None)], [(ADD, 1, 5, {"scale": [{"filter": "o_proj", "value": 0},
                                                      {"value": 0.9}]})],
        [(PARITY, 4, 6, None)]])


def arcee_fusion():
    for name, model in (("add", ADD), ("sort", SORT), ("parity", PARITY)):
        yield name, recipe("arcee_fusion", (model,), BASE)


FAMILIES = {
    "linear": linear(),
    "task_arithmetic": task_arithmetic(),
    "ties": ties(),
    "breadcrumbs": breadcrumbs("breadcrumbs"),
    "breadcrumbs_ties": breadcrumbs("breadcrumbs_ties"),
    "dare_linear": dare("dare_linear"),
    "dare_ties": dare("dare_ties"),
    "della": della("della"),
    "della_linear": della("della_linear"),
    "sce": sce(),
    "slerp": slerp(),
    "nuslerp": nuslerp(),
    "multislerp": multislerp(),
    "karcher": karcher(),
    "model_stock": model_stock(),
    "nearswap": nearswap(),
    "ram": ram("ram"),
    "ramplus_tl": ram("ramplus_tl"),
    "passthrough": passthrough(),
    "arcee_fusion": arcee_fusion(),
}
CASES = [Case(name, body) for family in FAMILIES.values() for name, body in family]
