"""Wrong recipes, checkpoints and flags: one line that says what and where, the right exit
code, and nothing left that looks like an output."""

import json
import os
import struct

import numpy as np

import harness
import stio
from harness import SAMPLE, SAMPLE_BASE

Q = "model.layers.0.self_attn.q_proj.weight"


class Bench:
    """A fresh base and two experts of a few tensors each, to be spoiled by a case."""

    def __init__(self, folder):
        self.dir = folder
        rng = np.random.default_rng(99)
        self.config = {"model_type": "tiny", "architectures": ["Tiny"],
                       "tie_word_embeddings": False, "torch_dtype": "float32"}
        self.base = {
            "model.embed_tokens.weight": ("F32", rng.standard_normal((11, 6))),
            Q: ("F32", rng.standard_normal((6, 6))),
            "model.layers.0.mlp.up_proj.weight": ("F32", rng.standard_normal((9, 6))),
            "model.norm.weight": ("F32", rng.standard_normal(6)),
            "lm_head.weight": ("F32", rng.standard_normal((11, 6))),
            "model.position_ids": ("I64", np.arange(5, dtype=np.int64)),
        }
        self.experts = []
        for _ in range(2):
            self.experts.append({
                name: (dtype, values + 0.1 * rng.standard_normal(values.shape)
                       if dtype == "F32" else values)
                for name, (dtype, values) in self.base.items()})
        self.configs = [dict(self.config) for _ in range(3)]
        self.recipe = {
            "merge_method": "resmerge",
            "base_model": self.path("base"),
            "models": [{"model": self.path("expert_0")}, {"model": self.path("expert_1")}],
        }
        self.text = None         # the recipe's text, if not the JSON of `recipe`
        self.args = []           # behind RECIPE and OUTPUT
        self.output = self.path("output")
        self.command = None      # the whole command line
        self.after = []          # run once the files are there
        self.kept = []           # what the output folder held before

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def write(self):
        for name, tensors, config in zip(("base", "expert_0", "expert_1"),
                                         [self.base] + self.experts, self.configs):
            stio.save(self.path(name), tensors, config=config)
        for action in self.after:
            action()
        text = self.text if self.text is not None else json.dumps(self.recipe, indent=1)
        with open(self.path("recipe.yaml"), "w", encoding="utf-8") as f:
            f.write(text)

    def then(self, action):
        self.after.append(action)

    def weights(self, model="expert_1"):
        return self.path(model, "model.safetensors")


CASES = []


def case(code, *texts):
    """Registers a case: its exit code, and what its line must say; a tuple means any of."""

    def register(function):
        CASES.append((function.__name__, function, code, texts))
        return function

    return register


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


# --- models that are not there, or not what they should be ------------------------------


@case(2, "nothing-here")
def model_folder_missing(b):
    b.recipe["models"][0]["model"] = b.path("nothing-here")


@case(2, "expert_1")
def model_folder_empty(b):
    b.then(lambda: [os.remove(b.path("expert_1", n)) for n in os.listdir(b.path("expert_1"))])


@case(2, "expert_1", "safetensors")
def pickle_only(b):
    b.then(lambda: os.rename(b.weights(), b.path("expert_1", "pytorch_model.bin")))


@case(2, "gs://bucket/model", ("scheme", "file"))
def model_of_unknown_scheme(b):
    b.recipe["models"][0]["model"] = "gs://bucket/model"


@case(2, "expert_1", Q)
def tensor_missing(b):
    del b.experts[1][Q]


@case(2, "expert_0", Q, "[6", "[6, 7]")
def other_shape(b):
    b.experts[0][Q] = ("F32", np.zeros((6, 7)))


@case(2, "expert_1", "model.language_model.")
def prefix_renamed(b):
    b.experts[1] = {n.replace("model.", "model.language_model.", 1): v
                    for n, v in b.experts[1].items()}


@case(2, "expert_0", "model.position_ids")
def float_where_the_base_has_integers(b):
    b.experts[0]["model.position_ids"] = ("F32", np.arange(5.0))


@case(2, "expert_0", ("tie_word_embeddings", "tied"), "lm_head")
def base_tied_expert_not(b):
    b.configs[0]["tie_word_embeddings"] = True
    del b.base["lm_head.weight"]


@case(2, "expert_0", ("quantization_config", "quantised", "quantized"), "gptq")
def quantised(b):
    b.configs[1]["quantization_config"] = {"quant_method": "gptq", "bits": 4}


@case(2, "expert_0", "config.json")
def config_is_no_json(b):
    def spoil():
        with open(b.path("expert_0", "config.json"), "w", encoding="utf-8") as f:
            f.write("{")
    b.then(spoil)


def spoil_header(b, change, model="expert_1"):
    """Replaces the header by what `change` makes of its dict, or of its bytes."""

    def spoil():
        path = b.weights(model)
        with open(path, "rb") as f:
            raw = f.read()
        (length,) = struct.unpack("<Q", raw[:8])
        text = change(raw[8:8 + length])
        with open(path, "wb") as f:
            f.write(struct.pack("<Q", len(text)) + text + raw[8 + length:])

    b.then(spoil)


def spoil_entry(b, name, **fields):
    def change(text):
        head = json.loads(text)
        head[name].update(fields)
        return json.dumps(head).encode()

    spoil_header(b, change)


@case(2, "expert_1/model.safetensors", "4")
def file_of_four_bytes(b):
    b.then(lambda: open(b.weights(), "wb").write(b"\1\2\3\4"))


@case(2, "expert_1/model.safetensors", "18446744073709551615")
def header_length_beyond_the_file(b):
    def spoil():
        with open(b.weights(), "r+b") as f:
            f.write(b"\xff" * 8)
    b.then(spoil)


@case(2, "expert_1/model.safetensors")
def header_is_no_json(b):
    spoil_header(b, lambda text: b"{" + text)


@case(2, "expert_1/model.safetensors")
def file_cut_short(b):
    b.then(lambda: os.truncate(b.weights(), os.path.getsize(b.weights()) - 8))


@case(2, "expert_1/model.safetensors")
def bytes_behind_the_last_tensor(b):
    def spoil():
        with open(b.weights(), "ab") as f:
            f.write(b"x")
    b.then(spoil)


@case(2, "expert_1/model.safetensors", "F17", Q)
def unknown_stored_dtype(b):
    spoil_entry(b, Q, dtype="F17")


@case(2, "expert_1/model.safetensors", Q)
def size_does_not_match_shape(b):
    spoil_entry(b, Q, shape=[6, 5])


@case(2, "expert_1/model.safetensors", Q)
def negative_shape(b):
    spoil_entry(b, Q, shape=[-6, -6])


@case(2, "expert_1/model.safetensors", Q)
def shape_overflows(b):
    spoil_entry(b, Q, shape=[1 << 62, 1 << 62])


@case(2, "expert_1/model.safetensors", "model.norm.weight")
def tensor_twice_in_a_header(b):
    spoil_header(b, lambda text: text.rstrip()[:-1] +
                 b',"model.norm.weight":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}')


def shard(b, change):
    """Cuts expert_1 in two files and lets `change` edit the index."""

    def action():
        folder = b.path("expert_1")
        for name in os.listdir(folder):
            os.remove(os.path.join(folder, name))
        stio.save(folder, b.experts[1], 2, b.configs[2])
        path = os.path.join(folder, stio.INDEX)
        with open(path, encoding="utf-8") as f:
            index = json.load(f)
        change(index["weight_map"])
        with open(path, "w", encoding="utf-8") as f:
            json.dump(index, f)

    b.then(action)


@case(2, "expert_1", "model-00009-of-00002.safetensors")
def index_names_a_file_that_is_not_there(b):
    shard(b, lambda m: m.update({Q: "model-00009-of-00002.safetensors"}))


@case(2, "expert_1", "lm_head.weight")
def index_names_the_wrong_file(b):
    def swap(weight_map):
        files = sorted(set(weight_map.values()))
        weight_map["lm_head.weight"] = next(
            f for f in files if f != weight_map["lm_head.weight"])
    shard(b, swap)


@case(2, "expert_1", "../base/model.safetensors")
def index_leaves_its_folder(b):
    shard(b, lambda m: m.update({Q: "../base/model.safetensors"}))


@case(2, "expert_1", "no.such.tensor")
def index_names_a_tensor_that_no_file_has(b):
    shard(b, lambda m: m.update({"no.such.tensor": sorted(set(m.values()))[0]}))


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


# --- what only running can find -------------------------------------------------------


def poke(tensors, name, at, value):
    dtype, values = tensors[name]
    values = values.copy()
    values[at] = value
    tensors[name] = (dtype, values)


@case(3, "expert_1", Q, ("nan", "NaN"), ("[2, 3]", "15"))
def nan_in_a_spectral_tensor(b):
    poke(b.experts[1], Q, (2, 3), np.nan)


@case(3, "expert_0", "model.norm.weight", ("nan", "NaN"), "4")
def nan_in_a_mean_tensor(b):
    poke(b.experts[0], "model.norm.weight", 4, np.nan)


@case(3, "base", Q, ("inf", "Inf"))
def infinity_in_the_base(b):
    poke(b.base, Q, (0, 0), np.inf)


@case(3, "expert_0", "lm_head.weight", ("inf", "Inf"))
def infinity_under_linear(b):
    b.recipe["merge_method"] = "linear"
    del b.recipe["base_model"]
    for model in b.recipe["models"]:
        model["parameters"] = {"weight": 1}
    poke(b.experts[0], "lm_head.weight", (1, 1), -np.inf)


@case(3, "model.position_ids", "expert_1")
def integers_that_differ(b):
    poke(b.experts[1], "model.position_ids", 2, 7)


@case(3, "model.norm.weight", "3", ("F16", "70000"), ("too large", "overflow"))
def overflow_of_the_output_dtype(b):
    for tensors in [b.base] + b.experts:
        poke(tensors, "model.norm.weight", 3, 70000.0)
    b.recipe["out_dtype"] = "float16"


class BadInputTest(harness.Case):
    def check(self, function, code, texts):
        folder = self.path(function.__name__)
        os.makedirs(folder)
        bench = Bench(folder)
        function(bench)
        bench.write()
        if bench.kept:
            os.makedirs(bench.output)
            for name in bench.kept:
                open(os.path.join(bench.output, name), "w").close()
        inputs = {m: harness.hash_output(bench.path(m)) for m in ("base", "expert_0", "expert_1")}
        command = bench.command or ["merge", bench.path("recipe.yaml"), bench.output] + bench.args
        # Relative outputs, were any made of a URI, would land here.
        aside = bench.path("aside")
        os.makedirs(aside)
        result = harness.run(*command, cwd=aside, timeout=60 if not harness.SLOW else 300)
        codes = code if isinstance(code, tuple) else (code,)
        self.assertIn(result.code, codes, str(result))
        line = self.assertOneError(result, result.code, *texts)
        print("%s: %s" % (function.__name__, line))
        self.assertEqual(result.out, "", "stdout of a failed merge")
        if os.path.isdir(bench.output):
            self.assertEqual(harness.leftovers(bench.output), bench.kept)
        self.assertEqual(harness.leftovers(aside), [])
        for model, hashes in inputs.items():
            self.assertEqual(harness.hash_output(bench.path(model)), hashes, model)
            self.assertNotIn(".merganser", os.listdir(bench.path(model)))

    def test_a_good_recipe_passes(self):
        # The ground that every case stands on: unspoiled, the files merge.
        folder = self.path("good")
        os.makedirs(folder)
        bench = Bench(folder)
        bench.write()
        self.merge(bench.path("recipe.yaml"), bench.output)
        self.assertEqual(harness.weight_files(bench.output), ["model.safetensors"])

    def test_messages_name_what_was_found_and_expected(self):
        bench_dir = self.path("both")
        os.makedirs(bench_dir)
        bench = Bench(bench_dir)
        bench.recipe["parameters"] = {"rank_topk": "one"}
        bench.write()
        result = harness.run("merge", bench.path("recipe.yaml"), bench.output)
        self.assertOneError(result, 2, "found", "expected")

    def test_plan_refuses_what_merge_refuses(self):
        recipe = harness.recipe(self.path("r.yaml"), "resmerge", SAMPLE_BASE, SAMPLE,
                                {"rank_topk": 0})
        told = [self.assertOneError(harness.run(*command), 2, "rank_topk")
                for command in (("plan", recipe), ("merge", recipe, self.path("out")))]
        self.assertEqual(*told)


def _add_cases():
    for name, function, code, texts in CASES:
        def test(self, function=function, code=code, texts=texts):
            self.check(function, code, texts)
        setattr(BadInputTest, "test_" + name, test)


_add_cases()

if __name__ == "__main__":
    harness.main()
