"""Wrong recipes, flags and outputs (bad_input_test.py)."""

import json

from bad_input_bench import case

# --- recipes --------------------------------------------------------------------------


@case(2, "nowhere.yaml")
def recipe_file_missing(b):
    b.command = ["merge", b.path("nowhere.yaml"), b.output]


@case(2, "recipe.yaml:")
def recipe_is_no_yaml(b):
    b.text = "merge_method: [resmerge\nmodels: }"


@case(2, "recipe.yaml")
def recipe_is_empty(b):
    b.text = ""


@case(2, "recipe.yaml:2", "merge_metod", "merge_method")
def unknown_top_level_key(b):
    b.text = "base_model: a\nmerge_metod: resmerge\nmodels: [{model: b}]\n"


@case(2, "recipe.yaml", "merge_method")
def method_missing(b):
    del b.recipe["merge_method"]


@case(2, "recipe.yaml", "merge_method", "resmege", "resmerge")
def unknown_method(b):
    b.recipe["merge_method"] = "resmege"


@case(2, "recipe.yaml", "rank_topkk", "rank_topk")
def unknown_parameter(b):
    b.recipe["parameters"] = {"rank_topkk": 1}


@case(2, "rank_topk", "one", ("number", "integer"))
def parameter_of_another_type(b):
    b.recipe["parameters"] = {"rank_topk": "one"}


@case(2, "rank_topk", "0", "1")
def rank_zero(b):
    b.recipe["parameters"] = {"rank_topk": 0}


@case(2, "rank_topk", "1.5")
def rank_not_whole(b):
    b.recipe["parameters"] = {"rank_topk": 1.5}


@case(2, "head_ratio_budget", "-0.1")
def negative_budget(b):
    b.recipe["parameters"] = {"head_ratio_budget": -0.1}


@case(2, "src_beta_min", "src_beta_max")
def beta_range_upside_down(b):
    b.recipe["parameters"] = {"src_beta_min": 1.0, "src_beta_max": 0.5}


@case(2, "head_ratio_budget", ("nan", "NaN"))
def parameter_nan(b):
    b.text = json.dumps(b.recipe)[:-1] + ', "parameters": {head_ratio_budget: .nan}}'


@case(2, "scope", "galaxy", "tensor")
def unknown_scope(b):
    b.recipe["parameters"] = {"scope": "galaxy"}


@case(2, "recipe.yaml", "base_model")
def base_missing_from_recipe(b):
    del b.recipe["base_model"]


@case(2, "recipe.yaml", "models")
def models_missing(b):
    del b.recipe["models"]


@case(2, "recipe.yaml", "models", "list")
def models_not_a_list(b):
    b.recipe["models"] = {"model": b.path("expert_0")}


@case(2, "models[1]", "model")
def model_without_path(b):
    b.recipe["models"][1] = {"parameters": {}}


@case(2, "recipe.yaml", "models")
def only_the_base_is_left(b):
    b.recipe["models"] = [{"model": b.path("base")}]


@case(2, "recipe.yaml", "models", "weight")
def all_weights_zero(b):
    b.recipe["merge_method"] = "task_arithmetic"
    for model in b.recipe["models"]:
        model["parameters"] = {"weight": 0}


@case(2, "weight")
def linear_without_weight(b):
    b.recipe["merge_method"] = "linear"
    del b.recipe["base_model"]


@case(2, "linear", "sum")
def linear_weights_cancel(b):
    b.recipe["merge_method"] = "linear"
    del b.recipe["base_model"]
    for model, weight in zip(b.recipe["models"], (1, -1)):
        model["parameters"] = {"weight": weight}


@case(2, "out_dtype", "bf17", "bfloat16")
def unknown_out_dtype(b):
    b.recipe["out_dtype"] = "bf17"


@case(2, "merge_method", ("twice", "duplicate", "again"))
def key_twice(b):
    b.text = "merge_method: linear\n" + "merge_method: resmerge\nmodels: [{model: a}]\n"


@case(2, "slices", "empty list")
def slices_without_a_slice(b):
    b.recipe["slices"] = []


@case(2, "head_ratio_budget", "empty list")
def gradient_without_a_number(b):
    b.recipe["parameters"] = {"head_ratio_budget": []}


@case(2, "scope", "gradient")
def gradient_of_a_choice(b):
    b.recipe["parameters"] = {"scope": [1, 2]}


@case(2, "recipe.yaml")
def alias_bomb(b):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for i in range(1, 12):
        lines.append("a%d: &a%d [%s]" % (i, i, ", ".join(["*a%d" % (i - 1)] * 9)))
    b.text = "\n".join(lines) + "\n"


@case(2, "recipe.yaml", "1048576")
def recipe_too_large(b):
    b.text = json.dumps(b.recipe) + " " * (1 << 20) + "\n"


# --- flags and outputs ----------------------------------------------------------------


@case(2, "--memory", "8GiBB")
def memory_that_is_no_size(b):
    b.args = ["--memory", "8GiBB"]


@case(2, ("memory", "--memory"), "1")
def memory_far_too_small(b):
    b.args = ["--memory", "1MiB"]


@case(2, "--threads")
def no_threads(b):
    b.args = ["--threads", "0"]


@case(2, "--threads")
def negative_threads(b):
    b.args = ["--threads", "-2"]


@case(2, "--threads")
def threads_not_a_number(b):
    b.args = ["--threads", "many"]


@case(2, "--thread")
def unknown_flag(b):
    b.args = ["--thread", "2"]


@case(2, ("OUTPUT", "output"))
def output_left_out(b):
    b.command = ["merge", b.path("recipe.yaml")]


@case(2, "gs://bucket/x")
def output_of_unknown_scheme(b):
    b.command = ["merge", b.path("recipe.yaml"), "gs://bucket/x"]


@case(2, "output", "--overwrite")
def output_holds_something(b):
    b.kept = ["notes.txt"]


@case(2, "base")
def output_is_an_input(b):
    b.command = ["merge", b.path("recipe.yaml"), b.path("base"), "--overwrite"]


@case(2, "expert_0")
def output_is_an_expert_by_another_name(b):
    b.command = ["merge", b.path("recipe.yaml"), b.path("base", "..", "expert_0") + "/",
                 "--overwrite"]


@case((2, 3), "output")
def output_is_a_file(b):
    b.then(lambda: open(b.output, "w").close())
