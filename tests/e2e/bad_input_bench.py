"""Fresh models and a recipe for wrong inputs (bad_input_test.py): cases spoil one thing."""

import json
import os

import numpy as np

import stio

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
