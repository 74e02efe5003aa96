"""What `merganser merge-lora` takes beside products of linear layers (embeddings, GPT-2's layout, saved
modules), and what it refuses."""

import json
import os
import shutil

import numpy as np

import harness
import lora_files
import lora_models
import stio
from lora_models import HIDDEN, LAYER, ROWS, WIDE, Adapter, attention
from merge_lora_case import UNIT, MergeLoraCase


class KindsTest(MergeLoraCase):
    def test_embeddings_keep_their_kind(self):
        adapters = []
        for name, seed in (("a", 5), ("b", 6)):
            adapter = Adapter(seed, r=2, alpha=4).embedding("model.embed_tokens", ROWS, HIDDEN)
            adapter.linear("lm_head", (ROWS, HIDDEN))
            adapters.append(self.write(name, adapter))
        self.merge_lora(self.recipe("linear", own={"weight": 1}))
        names = set(lora_files.tensors(self.path("out")))
        self.assertIn("base_model.model.model.embed_tokens.lora_embedding_A", names)
        self.assertIn("base_model.model.lm_head.lora_B.weight", names)
        for name in self.changed(adapters):
            wanted = sum(0.5 * a.changes[name] for a in adapters)
            self.assertClose(self.products()[name[:-len(".weight")]], wanted, name)

    def test_conv1d_keeps_its_layout(self):
        tensors = {"transformer.wte.weight": np.zeros((40, 16))}
        for i in range(2):
            tensors["transformer.h.%d.attn.c_attn.weight" % i] = np.ones((16, 48))
            tensors["transformer.h.%d.attn.c_attn.bias" % i] = np.ones(48)
        stio.save(self.path("gpt2"), {n: ("F32", x) for n, x in tensors.items()}, config={
            "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_layer": 2,
            "vocab_size": 40, "tie_word_embeddings": False})
        adapters = []
        for name, seed in (("a", 5), ("b", 6)):
            adapter = Adapter(seed, r=2, alpha=4, fan_in_fan_out=True)
            for i in range(2):
                adapter.linear("transformer.h.%d.attn.c_attn" % i, (48, 16), turned=True)
            adapters.append(self.write(name, adapter))
        self.merge_lora(self.recipe("linear", ["gpt2+a", "gpt2+b"], own={"weight": 1}))
        self.assertIs(lora_files.config(self.path("out"))["fan_in_fan_out"], True)
        for module, product in self.products().items():
            wanted = sum(0.5 * a.changes[module + ".weight"] for a in adapters)
            self.assertClose(product, wanted.T, module)

    def saving(self, seed, head=True, **config):
        adapter = Adapter(seed, r=2, alpha=4, **config)
        adapter.linear(LAYER % 0 + "mlp.up_proj", (WIDE, HIDDEN))
        if head:
            adapter.bring("lm_head.weight", (ROWS, HIDDEN))
            adapter.config["modules_to_save"] = ["lm_head"]
        return adapter

    def test_modules_that_all_save_are_merged_whole(self):
        a, b = self.write("a", self.saving(5)), self.write("b", self.saving(6))
        key = "base_model.model.lm_head.weight"
        self.merge_lora(self.recipe("linear", own=[{"weight": 1}, {"weight": 3}],
                                    out_dtype="float32"))
        self.assertEqual(lora_files.config(self.path("out"))["modules_to_save"], ["lm_head"])
        wanted = 0.25 * a.whole["lm_head.weight"] + 0.75 * b.whole["lm_head.weight"]
        np.testing.assert_allclose(lora_files.tensors(self.path("out"))[key], wanted, rtol=UNIT * 2)
        self.assertEqual(self.report()["saved"], ["lm_head.weight"])
        # By a method of task vectors, to the base.
        recipe = self.recipe("ties", own={"density": 0.3, "weight": 1}, out_dtype="float32")
        self.merge_lora(recipe, "--rank", 64)
        self.merge(recipe, self.path("full"), cwd=self.dir)
        np.testing.assert_array_equal(lora_files.tensors(self.path("out"))[key],
                                      stio.Checkpoint(self.path("full")).values("lm_head.weight"))

    def test_one_that_does_not_save_counts_as_the_base(self):
        a = self.write("a", self.saving(5))
        self.write("b", self.saving(6, head=False))
        result = self.merge_lora(self.recipe("linear", own={"weight": 1}, out_dtype="float32"))
        self.assertIn("model base+b: does not bring lm_head.weight whole", result.err)
        wanted = 0.5 * (a.whole["lm_head.weight"] + self.base["lm_head.weight"])
        np.testing.assert_allclose(
            lora_files.tensors(self.path("out"))["base_model.model.lm_head.weight"], wanted,
            rtol=UNIT * 2)

    def test_a_module_is_saved_with_all_that_is_in_it(self):
        """PEFT replaces the module, not the tensor."""
        self.base["score.weight"], self.base["score.bias"] = np.ones((4, HIDDEN)), np.full(4, 0.5)
        stio.save(self.path("base"), dict({n: ("BF16", x) for n, x in self.base.items()}, **{
            "score.steps": ("I64", np.array([3]))}), config=lora_models.CONFIG)
        for name, seed in (("a", 5), ("b", 6)):
            adapter = self.saving(seed, head=False).bring("score.weight", (4, HIDDEN))
            adapter.config["modules_to_save"] = ["score"]
            self.write(name, adapter)
        self.merge_lora(self.recipe("linear", own={"weight": 1}))
        found = lora_files.tensors(self.path("out"))
        np.testing.assert_array_equal(found["base_model.model.score.bias"], np.full(4, 0.5))
        self.assertEqual({n for n in found if ".score." in n},
                         {"base_model.model.score.weight", "base_model.model.score.bias"})

    def test_weights_that_would_multiply_a_saved_module(self):
        self.write("a", self.saving(5)), self.write("b", self.saving(6))
        self.refused(self.recipe("linear", parameters={"normalize": False}, own={"weight": 1}),
                     "lm_head", "sum to 2", "task_arithmetic")

    def test_what_products_cannot_hold_is_refused_by_name(self):
        self.write("b", attention(6))
        # A trained bias beside the product of its module.
        a = Adapter(5, r=2, alpha=4, bias="lora_only")
        a.linear(LAYER % 0 + "self_attn.q_proj", (HIDDEN, HIDDEN))
        a.bring(LAYER % 0 + "self_attn.q_proj.bias", (HIDDEN,))
        self.write("a", a)
        recipe = self.recipe("linear", own={"weight": 1})
        self.refused(recipe, "model.layers.0.self_attn.q_proj.bias", "whole", "merganser merge")
        # A bias of lora_B.
        a = Adapter(5, r=2, alpha=4, lora_bias=True)
        a.linear(LAYER % 0 + "self_attn.q_proj", (HIDDEN, HIDDEN))
        a.put(LAYER % 0 + "self_attn.q_proj.lora_B.bias", a.values(HIDDEN))
        self.write("a", a)
        self.refused(recipe, "lora_bias", "model.layers.0.self_attn.q_proj", "base+a")

    def test_experts_in_one_parameter_are_refused(self):
        for i in range(2):
            self.base[LAYER % i + "mlp.experts.down_proj"] = np.ones((3, HIDDEN, 8))
        lora_models.save(self.path("base"), self.base)
        adapter = Adapter(5, r=2, alpha=4)
        for i in range(2):
            adapter.experts(LAYER % i + "mlp.experts", "down_proj", 3, HIDDEN, 8)
        self.write("a", adapter)
        self.refused(self.recipe("linear", ["base+a"], own={"weight": 1}), "experts in one parameter",
                     "model.layers.0.mlp.experts", "merganser merge")

    def test_a_head_that_is_the_embedding(self):
        del self.base["lm_head.weight"]
        lora_models.save(self.path("base"), self.base,
                         config=dict(lora_models.CONFIG, tie_word_embeddings=True))
        self.write("a", Adapter(5, r=2, alpha=4).linear("lm_head", (ROWS, HIDDEN)))
        self.refused(self.recipe("linear", ["base+a"], own={"weight": 1}), "lm_head",
                     "model.embed_tokens.weight")


class RefusedTest(MergeLoraCase):
    def setUp(self):
        super().setUp()
        self.pair()

    def test_a_full_model_among_the_adapters(self):
        lora_models.save(self.path("full"), lora_models.base_tensors(seed=2))
        for method in ("linear", "task_arithmetic"):
            self.refused(self.recipe(method, ["base+a", "full"], own={"weight": 1}), "model full",
                         "full model", "extract-lora")
        self.refused(self.recipe("linear", ["base", "base"], own={"weight": 1}), "no adapter")

    def test_the_base_among_the_adapters_adds_nothing(self):
        self.merge_lora(self.recipe("linear", ["base", "base+a"], own={"weight": 1}))
        for module, product in self.products().items():
            wanted = lora_files.products(self.path("a"))[module] / 2
            self.assertClose(product, wanted, module)

    def test_adapters_on_two_bases(self):
        lora_models.save(self.path("other"), lora_models.base_tensors(seed=2))
        self.refused(self.recipe("linear", ["base+a", "other+b"], own={"weight": 1}), "other+b",
                     "on one base")
        self.refused(self.recipe("ties", ["base+a", "other+b"], own={"weight": 1}), "other+b",
                     "on one base", flags=("--rank", 4))

    def test_an_adapter_of_another_shape(self):
        wide = Adapter(7, r=2, alpha=4).linear(LAYER % 0 + "self_attn.q_proj", (HIDDEN, HIDDEN + 1))
        self.write("b", wide)
        self.refused(self.recipe("linear", own={"weight": 1}), "adapter 'b'", "[2, 17]", "[16, 16]")

    def test_a_base_with_an_adapter_itself(self):
        self.refused(self.recipe("ties", ["base+a+b"], own={"weight": 1}, base="base+a"),
                     "base_model", "bake", flags=("--rank", 4))

    def test_methods_without_task_vectors(self):
        for method, parameters in (("slerp", {"t": 0.5}), ("karcher", None)):
            models = ["base+a"] if method == "slerp" else ["base+a", "base+b"]
            self.refused(self.recipe(method, models, parameters), "merge_method", method,
                         "task_arithmetic", flags=("--rank", 4))

    def test_slices_and_scopes(self):
        body = {"merge_method": "linear", "slices": [{"sources": [
            {"model": "base+a", "layer_range": [0, 2], "parameters": {"weight": 1}}]}]}
        with open(self.path("r.yaml"), "w", encoding="utf-8") as f:
            json.dump(body, f)
        self.refused("r.yaml", "slices")
        self.refused(self.recipe("resmerge", parameters={"scope": "layer"}), "scope",
                     flags=("--rank", 4))

    def test_adapters_that_come_to_nothing(self):
        shutil.copytree(self.path("a"), self.path("c"))
        self.refused(self.recipe("task_arithmetic", ["base+a", "base+c"],
                                 own=[{"weight": 1}, {"weight": -1}]), "no product")

    def test_flags(self):
        recipe = self.recipe("linear", own={"weight": 1})
        self.refused(recipe, "--rank", flags=("--rank", 0))
        self.refused(recipe, "--energy", flags=("--energy", 1.5))
        self.refused(recipe, "--dtype", flags=("--dtype", "int8"))
        self.refused(recipe, "--memory", "or more", flags=("--memory", "100MiB"))
        self.refused("nothing.yaml", "nothing.yaml")

    def test_something_is_there(self):
        recipe = self.recipe("linear", own={"weight": 1})
        self.merge_lora(recipe)
        before = sorted(os.listdir(self.path("out")))
        self.assertOneError(harness.run("merge-lora", recipe, self.path("out"), cwd=self.dir), 2,
                            "something is there")
        self.assertEqual(sorted(os.listdir(self.path("out"))), before)

    def test_a_damaged_adapter(self):
        path = self.path("b", lora_files.WEIGHTS)
        entries, _ = stio.read_header(path)
        with open(path, "r+b") as f:
            f.seek(entries["base_model.model.model.layers.1.mlp.up_proj.lora_B.weight"].offset)
            f.write(np.array([np.nan], np.float32).tobytes())
        for method, flags in (("linear", ()), ("ties", ("--rank", 4))):
            self.refused(self.recipe(method, own={"weight": 1}), "layers.1.mlp.up_proj.lora_B.weight",
                         "NaN", flags=flags, code=3)


if __name__ == "__main__":
    harness.main()
