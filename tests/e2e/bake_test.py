"""`merganser bake` writes base plus adapter as a full model, and `verify --adapter` proves that a
model is that."""

import os
import subprocess

import numpy as np

import harness
import lora_files
import stio

LAYERS = (("self_attn.q_proj", (24, 16)), ("mlp.up_proj", (32, 16)), ("mlp.down_proj", (16, 32)))


class BakeCase(harness.Case):
    dtype = "BF16"

    def setUp(self):
        super().setUp()
        self.random = np.random.default_rng(5)
        normal = self.random.standard_normal
        self.tensors = {"model.embed_tokens.weight": normal((40, 16))}
        for i in range(2):
            for name, shape in LAYERS:
                self.tensors["model.layers.%d.%s.weight" % (i, name)] = 0.1 * normal(shape)
            self.tensors["model.layers.%d.input_layernorm.weight" % i] = normal(16)
        self.tensors["model.norm.weight"] = normal(16)
        self.tensors["lm_head.weight"] = normal((40, 16))
        self.base = self.save("base", self.tensors)

    def save(self, name, tensors, dtype=None, shards=1):
        stio.save(self.path(name), {n: (dtype or self.dtype, x) for n, x in tensors.items()},
                  shards=shards,
                  config={"model_type": "llama", "architectures": ["LlamaForCausalLM"],
                          "num_hidden_layers": 2, "vocab_size": 40,
                          "tie_word_embeddings": False, "torch_dtype": "bfloat16"})
        return self.path(name)

    def adapter(self, name, rank=4, alpha=8, layers=(0, 1), modules=("q_proj", "up_proj"), **more):
        factors = {}
        for tensor, values in self.tensors.items():
            module = tensor[:-len(".weight")]
            if module.rsplit(".", 1)[-1] in modules and any(
                    ".%d." % i in module for i in layers):
                m, n = values.shape
                factors[module] = (0.3 * self.random.standard_normal((rank, n)),
                                   0.3 * self.random.standard_normal((m, rank)))
        return lora_files.save(self.path(name), factors, rank, alpha, **more)

    def expected(self, adapters):
        """float64 values of base plus adapters (folder, weight)."""
        base = stio.Checkpoint(self.base)
        out = {name: base.values(name) for name in base.tensors}
        for folder, weight in adapters:
            for module, product in lora_files.products(folder).items():
                out[module + ".weight"] = out[module + ".weight"] + weight * product
        return out

    def assertModel(self, folder, adapters, dtype=None):
        made, expected = stio.Checkpoint(folder), self.expected(adapters)
        self.assertEqual(set(made.tensors), set(expected))
        for name, values in expected.items():
            dtype_of = dtype or self.dtype
            self.assertEqual(made.tensors[name].dtype, dtype_of)
            # Rounded to float32 on the way.
            once = values.astype(np.float32).astype(np.float64)
            want = stio.decode(stio.encode(once, dtype_of), dtype_of)
            np.testing.assert_array_equal(made.values(name), want, name)


class BakeTest(BakeCase):
    def test_a_full_model(self):
        adapter = self.adapter("lora")
        self.ok("bake", "%s+%s" % (self.base, adapter), self.path("out"), "--verify")
        self.assertModel(self.path("out"), [(adapter, 1)])
        self.ok("bake", self.base, self.path("again"), "--lora", adapter, "--threads", 1)
        self.assertEqual(harness.hash_output(self.path("again")),
                         harness.hash_output(self.path("out")))
        self.assertTrue(os.path.exists(self.path("out", "config.json")))
        self.assertEqual(harness.report(self.path("out"))["format"], 1)

    def test_several_with_weights(self):
        one = self.adapter("one")
        two = self.adapter("two", rank=3, modules=("up_proj", "down_proj"), layers=(1,))
        self.ok("bake", self.base, self.path("out"), "--lora", one + ":0.5", "--lora", two,
                "--out-dtype", "float32")
        self.assertModel(self.path("out"), [(one, 0.5), (two, 1)], "F32")

    def test_resume_and_overwrite_are_those_of_a_merge(self):
        adapter = self.adapter("lora")
        self.ok("bake", "%s+%s" % (self.base, adapter), self.path("out"))
        done = self.ok("bake", "%s+%s" % (self.base, adapter), self.path("out"), "--resume")
        self.assertIn("holds this merge already", done.out)
        self.assertOneError(harness.run("bake", self.base, self.path("out"), "--lora", adapter), 2,
                            "--overwrite")
        self.assertOneError(harness.run("bake", self.base, self.path("new"), "--lora",
                                        self.path("none")), 2, "none")
        self.assertFalse(os.path.exists(self.path("new")))


class VerifyTest(BakeCase):
    def setUp(self):
        super().setUp()
        self.lora = self.adapter("lora")
        self.ok("bake", "%s+%s" % (self.base, self.lora), self.path("out"))

    def verify(self, model, adapter=None, base=None):
        return harness.run("verify", model, "--adapter", adapter or self.lora, "--base",
                           base or self.base)

    def changed(self, name, **values):
        tensors = stio.Checkpoint(self.path("out"))
        out = {n: tensors.values(n) for n in tensors.tensors}
        for key, change in values.items():
            change(out[key.replace("__", ".")])
        return self.save(name, out, shards=2)

    def test_what_was_baked(self):
        result = self.verify(self.path("out"))
        self.assertEqual(result.code, 0, result)
        self.assertIn("4 tensors with the adapter, 1792 of 1792 elements exact; 7 others are the "
                      "base's", result.out)

    def test_what_peft_would_write(self):
        """One rounding more: the product is rounded to bf16 before it is added."""
        base = stio.Checkpoint(self.base)
        tensors = {n: base.values(n) for n in base.tensors}
        for module, product in lora_files.products(self.lora).items():
            name = module + ".weight"
            tensors[name] = tensors[name] + stio.decode(stio.encode(product, "BF16"), "BF16")
        result = self.verify(self.save("peft", tensors))
        self.assertEqual(result.code, 0, result)
        self.assertIn("off by rounding", result.out)

    def test_a_change_anywhere_is_found(self):
        def up(x):
            x[3, 4] += 1

        def norm(x):
            x[2] += 1
        for name, change, texts in (
                ("model.layers.1.mlp.up_proj.weight", up, ("(base plus adapter)",)),
                ("model.layers.1.mlp.down_proj.weight", up, ("(the base's own)",)),
                ("model.norm.weight", norm, ("(the base's own)",))):
            with self.subTest(name=name):
                model = self.changed("changed", **{name.replace(".", "__"): change})
                self.assertOneError(self.verify(model), 3, name, "1 of ", "1 of 11 tensors", *texts)
                subprocess.run(["rm", "-r", model], check=True)

    def test_another_adapter_or_base(self):
        other = self.adapter("other")
        self.assertOneError(self.verify(self.path("out"), adapter=other), 3, "4 of 11 tensors")
        self.assertOneError(self.verify(self.base), 3, "4 of 11 tensors")
        self.assertOneError(self.verify(self.path("out"), base=self.path("out")), 3,
                            "4 of 11 tensors")

    def test_the_other_way_round(self):
        """What is extracted of what was baked is the adapter: the model is verified against it."""
        self.base = self.save("wide", self.tensors, "F32")
        self.ok("bake", "%s+%s" % (self.base, self.lora), self.path("full"))
        self.ok("extract-lora", self.base, self.path("full"), self.path("found"), "--rank", 4)
        products = lora_files.products(self.lora)
        for module, product in lora_files.products(self.path("found")).items():
            np.testing.assert_allclose(product, products[module], atol=1e-5)
        self.ok("bake", "%s+%s" % (self.base, self.path("found")), self.path("once"))
        self.ok("verify", self.path("once"), "--adapter", self.path("found"), "--base", self.base)

    def test_flags(self):
        self.assertOneError(harness.run("verify", self.path("out"), "--adapter", self.lora), 2,
                            "--base")
        self.assertOneError(harness.run("verify", self.path("out"), "--base", self.base), 2,
                            "--adapter")


if __name__ == "__main__":
    harness.main()
