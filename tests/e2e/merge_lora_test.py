"""`merganser merge-lora`: several adapters merged into one, held against the merge of their products
in float64 numpy."""

import json
import os
import re
import shutil

import numpy as np

import harness
import lora_files
import lora_models
import methods_oracle
import stio
from lora_models import HIDDEN, LAYER, WIDE, Adapter, attention
from merge_lora_case import MergeLoraCase


class LinearTest(MergeLoraCase):
    def hold(self, adapters, weights, ranks=None, out="out"):
        """The products' weighted sum, factored at full rank."""
        products = self.products(out)
        names = self.changed(adapters)
        self.assertEqual({m + ".weight" for m in products}, set(names))
        for name in names:
            wanted = sum(w * a.changes[name] for w, a in zip(weights, adapters)
                         if name in a.changes)
            self.assertClose(products[name[:-len(".weight")]], wanted, name)
        return products

    def test_is_the_average_of_the_products(self):
        adapters = self.pair()
        self.merge_lora(self.recipe("linear", own=[{"weight": 0.3}, {"weight": 0.9}]))
        self.hold(adapters, (0.25, 0.75))
        config = lora_files.config(self.path("out"))
        # The ranks' sum, and a scale of one.
        self.assertEqual((config["r"], config["lora_alpha"]), (5, 5))
        self.assertEqual(config["rank_pattern"], {})
        report = self.report()
        self.assertEqual({t["rank"] for t in report["tensors"]}, {5})
        self.assertEqual({t["ranks"] for t in report["tensors"]}, {5})
        self.assertGreater(report["kept"], 1 - 1e-12)
        # The average of the factors would be something else: the terms a b of different adapters.
        files = [lora_files.tensors(self.path(x)) for x in "ab"]
        key = "base_model.model.model.layers.0.mlp.up_proj.lora_%s.weight"
        a = 0.25 * np.pad(files[0][key % "A"], ((0, 1), (0, 0))) + 0.75 * files[1][key % "A"]
        b = 0.25 * np.pad(files[0][key % "B"], ((0, 0), (0, 1))) + 0.75 * files[1][key % "B"]
        product = self.products()["model.layers.0.mlp.up_proj"]
        self.assertGreater(np.linalg.norm(b @ a - product) / np.linalg.norm(product), 0.1)

    def test_task_arithmetic_adds_up(self):
        adapters = self.pair()
        self.merge_lora(self.recipe("task_arithmetic", parameters={"lambda": 0.5},
                                    own=[{"weight": 1}, {"weight": -2}]))
        self.hold(adapters, (0.5, -1.0))

    def test_an_adapter_alone_is_what_it_was(self):
        a, _ = self.pair()
        self.merge_lora(self.recipe("linear", ["base+a"], own={"weight": 1}))
        self.hold([a], [1])
        self.assertEqual({t["rank"] for t in self.report()["tensors"]}, {2})

    def test_equal_adapters_have_the_rank_of_one(self):
        a, _ = self.pair()
        shutil.copytree(self.path("a"), self.path("c"))
        self.merge_lora(self.recipe("linear", ["base+a", "base+c"], own={"weight": 1}))
        self.hold([a], [1])
        self.assertEqual({t["rank"] for t in self.report()["tensors"]}, {2})

    def test_a_cut_rank_loses_the_tail_of_the_singular_values(self):
        adapters = self.pair()
        self.merge_lora(self.recipe("linear", own={"weight": 1}), "--rank", 2)
        products = self.products()
        report = {t["name"]: t for t in self.report()["tensors"]}
        for name in self.changed(adapters):
            wanted = sum(0.5 * a.changes[name] for a in adapters)
            sigma = np.linalg.svd(wanted, compute_uv=False)
            total, tail = (sigma ** 2).sum(), (sigma[2:] ** 2).sum()
            error = ((wanted - products[name[:-len(".weight")]]) ** 2).sum()
            self.assertGreater(tail / total, 1e-3)
            self.assertLess(abs(error - tail), 1e-9 * total, name)
            self.assertLess(abs(report[name]["kept"] - (1 - tail / total)), 1e-9)
            self.assertLess(abs(report[name]["delta_norm"] - np.sqrt(total)), 1e-9 * np.sqrt(total))
            np.testing.assert_allclose(report[name]["sigma"], sigma[:2], rtol=1e-9)

    def test_energy_gives_each_module_its_rank(self):
        adapters = self.pair()
        self.merge_lora(self.recipe("linear", own={"weight": 1}), "--energy", 0.9)
        ranks = {}
        for name in self.changed(adapters):
            wanted = sum(0.5 * a.changes[name] for a in adapters)
            squares = np.linalg.svd(wanted, compute_uv=False) ** 2
            ranks[name] = 1 + int(np.argmax(np.cumsum(squares) >= 0.9 * squares.sum()))
        self.assertGreater(len(set(ranks.values())), 1)
        self.assertEqual({t["name"]: t["rank"] for t in self.report()["tensors"]}, ranks)
        self.products()  # whose ranks are held against rank_pattern

    def test_modules_that_some_lack(self):
        a, b = Adapter(5, r=2, alpha=4), Adapter(6, r=3, alpha=3)
        a.linear(LAYER % 0 + "self_attn.q_proj", (HIDDEN, HIDDEN))
        b.linear(LAYER % 0 + "self_attn.q_proj", (HIDDEN, HIDDEN))
        b.linear(LAYER % 1 + "mlp.up_proj", (WIDE, HIDDEN))
        self.write("a", a), self.write("b", b)
        result = self.merge_lora(self.recipe("linear", own={"weight": 1}))
        self.hold([a, b], (0.5, 0.5))
        self.assertIn("note: model base+a: has no product for 1 of 2 modules, "
                      "model.layers.1.mlp.up_proj", result.err)
        config = lora_files.config(self.path("out"))
        self.assertEqual(sorted(config["target_modules"]), sorted(
            name[:-len(".weight")] for name in self.changed([a, b])))
        self.assertEqual(config["r"], 5)
        self.assertEqual(config["rank_pattern"], {"model.layers.1.mlp.up_proj": 3})
        self.assertEqual(config["alpha_pattern"], config["rank_pattern"])

    def test_more_ranks_than_the_matrix_has(self):
        adapters = [self.write(x, attention(seed, r=12, alpha=6)) for x, seed in (("a", 5), ("b", 6))]
        self.merge_lora(self.recipe("linear", own={"weight": 1}))
        self.hold(adapters, (0.5, 0.5))
        ranks = {t["name"]: t["rank"] for t in self.report()["tensors"]}
        self.assertEqual(ranks["model.layers.0.self_attn.v_proj.weight"], 8)
        self.assertEqual(ranks["model.layers.0.self_attn.q_proj.weight"], 16)
        self.merge_lora(self.recipe("linear", own={"weight": 1}), "--rank", 5000)
        self.hold(adapters, (0.5, 0.5))

    def test_several_adapters_of_one_model_and_weights(self):
        a, b = self.pair()
        model = {"model": "base", "lora": [{"path": "a", "weight": 0.5}, {"path": "b", "weight": -1}]}
        body = {"merge_method": "linear", "models": [
            dict(model, parameters={"weight": 1}),
            {"model": "base+b", "parameters": {"weight": 1}}]}
        with open(self.path("r.yaml"), "w", encoding="utf-8") as f:
            json.dump(body, f)
        self.merge_lora("r.yaml")
        self.hold([a, b], (0.25, 0.0), out="out")

    def test_half_precision(self):
        adapters = self.pair()
        for flags, top in ((("--dtype", "bfloat16"), {}), ((), {"out_dtype": "bfloat16"})):
            self.merge_lora(self.recipe("linear", own={"weight": 1}, **top), *flags)
            entries, _ = stio.read_header(self.path("out", lora_files.WEIGHTS))
            self.assertEqual({e.dtype for e in entries.values()}, {"BF16"})
            for name in self.changed(adapters):
                wanted = sum(0.5 * a.changes[name] for a in adapters)
                self.assertClose(self.products()[name[:-len(".weight")]], wanted, name, 2.0 ** 18)

    def test_weights_that_do_not_sum_to_one_are_told(self):
        adapters = self.pair()
        result = self.merge_lora(self.recipe("linear", parameters={"normalize": False},
                                             own={"weight": 1}))
        self.hold(adapters, (1, 1))
        self.assertIn("weights sum to 2", result.err)
        self.assertIn("task_arithmetic", result.err)
        result = self.merge_lora(self.recipe("linear", own={"weight": 1}))
        self.assertNotIn("sum to", result.err)

    def test_base_and_architecture_are_kept(self):
        self.write("a", attention(5, base_model_name_or_path="org/model"))
        self.write("b", attention(6, base_model_name_or_path="org/model"))
        self.merge_lora(self.recipe("linear", own={"weight": 1}))
        config = lora_files.config(self.path("out"))
        self.assertEqual(config["base_model_name_or_path"], "org/model")
        self.assertEqual(config["task_type"], "CAUSAL_LM")
        self.write("b", attention(6, base_model_name_or_path="org/model-b"))
        result = self.merge_lora(self.recipe("task_arithmetic"))
        self.assertEqual(lora_files.config(self.path("out"))["base_model_name_or_path"], "base")
        self.assertRegex(result.err, "warning: .*org/model, org/model-b")

    def test_the_base_is_not_read(self):
        """All of its values may be garbage, and are not so much as looked at."""
        adapters = self.pair()
        path = self.path("base", "model.safetensors")
        entries, _ = stio.read_header(path)
        with open(path, "r+b") as f:
            for entry in entries.values():
                f.seek(entry.offset)
                f.write(b"\xff" * entry.size)  # NaN in every format
        self.merge_lora(self.recipe("linear", own={"weight": 1}))
        self.hold(adapters, (0.5, 0.5))
        self.merge_lora(self.recipe("ties", own={"density": 0.5}), "--rank", 4)


class DeltaMethodsTest(MergeLoraCase):
    METHODS = {
        "ties": ({}, [{"weight": 0.7, "density": 0.4}, {"weight": 1.2, "density": 0.6}]),
        "dare_linear": ({"seed": 9}, [{"weight": 0.7, "density": 0.4},
                                      {"weight": 1.2, "density": 0.6}]),
        "dare_ties": ({"seed": 4, "rescale": False}, [{"weight": 1, "density": 0.5}] * 2),
        "breadcrumbs": ({}, [{"weight": 1, "density": 0.8, "gamma": 0.05}] * 2),
        "della": ({"seed": 2}, [{"weight": 1, "density": 0.5, "epsilon": 0.2}] * 2),
        "sce": ({"select_topk": 0.5}, None),
        "ram": ({}, None),
        "task_arithmetic": ({"lambda": 0.3}, [{"weight": 1}, {"weight": 2}]),
    }

    def wanted(self, method, adapters, parameters, own, name):
        """The method's merged delta: its result on a base of zeros."""
        zero = {name: np.zeros(self.base[name].shape)}
        models = [{name: self.delta(a, name)} for a in adapters]
        return methods_oracle.merge(method, zero, models, parameters, own)[name].value

    def test_full_rank_is_the_method_on_the_products(self):
        adapters = self.pair()
        for method, (parameters, own) in self.METHODS.items():
            with self.subTest(method=method):
                self.merge_lora(self.recipe(method, parameters=parameters, own=own), "--rank", 64)
                products = self.products()
                for name in self.changed(adapters):
                    wanted = self.wanted(method, adapters, parameters, own, name)
                    self.assertClose(products[name[:-len(".weight")]], wanted, name, 64)

    def test_a_cut_rank_loses_the_tail(self):
        adapters = self.pair()
        parameters, own = self.METHODS["ties"]
        self.merge_lora(self.recipe("ties", parameters=parameters, own=own), "--rank", 3)
        report = {t["name"]: t for t in self.report()["tensors"]}
        for name in self.changed(adapters):
            wanted = self.wanted("ties", adapters, parameters, own, name)
            sigma = np.linalg.svd(wanted, compute_uv=False)
            total, tail = (sigma ** 2).sum(), (sigma[3:] ** 2).sum()
            error = ((wanted - self.products()[name[:-len(".weight")]]) ** 2).sum()
            self.assertLess(abs(error - tail), 1e-7 * total, name)
            self.assertLess(abs(report[name]["kept"] - (1 - tail / total)), 1e-7)
            self.assertGreater(tail / total, 1e-3)

    def test_is_what_the_full_merge_adds_to_the_base(self):
        """Baked onto the base, at full rank, it is the merge of the full models."""
        self.pair()
        self.write("one", attention(8, r=1, alpha=1))  # nothing is left behind its head
        for method, models in (("dare_ties", ("base+a", "base+b")),
                               ("resmerge", ("base+a", "base+b", "base+one")),
                               ("model_stock", ("base+a", "base+b", "base+one"))):
            with self.subTest(method=method):
                parameters, own = self.METHODS.get(method, ({}, None))
                recipe = self.recipe(method, models, parameters, own, out_dtype="float32")
                self.merge_lora(recipe, "--rank", 64)
                shutil.rmtree(self.path("full"), ignore_errors=True)
                shutil.rmtree(self.path("baked"), ignore_errors=True)
                self.merge(recipe, self.path("full"), cwd=self.dir)
                self.ok("bake", "base+out", self.path("baked"), "--out-dtype", "float32",
                        cwd=self.dir)
                full, baked = stio.Checkpoint(self.path("full")), stio.Checkpoint(self.path("baked"))
                moved = 0
                for name in full.tensors:
                    wanted = full.values(name)
                    np.testing.assert_allclose(baked.values(name), wanted, rtol=0, atol=4e-6)
                    moved += int(np.abs(wanted - self.base[name]).max() > 1e-4)
                self.assertEqual(moved, 8)

    def test_rank_must_be_said(self):
        self.pair()
        self.refused(self.recipe("ties", own={"density": 0.5}), "--rank", "missing", "ties")
        self.refused(self.recipe("ties", own={"density": 0.5}), "--rank", "missing",
                     flags=("--energy", 0.9))

    def test_dora_is_merged_as_what_it_adds(self):
        a, b = Adapter(5, r=2, alpha=4, use_dora=True), Adapter(6, r=3, alpha=3)
        module = LAYER % 0 + "mlp.up_proj"
        a.linear(module, (WIDE, HIDDEN), dora=True)
        b.linear(module, (WIDE, HIDDEN))
        self.write("a", a), self.write("b", b)
        w0 = self.base[module + ".weight"]
        full = lora_models.adapted(self.base, [(a, 1)], False)[module + ".weight"]
        wanted = 0.5 * (full - w0) + 0.5 * b.changes[module + ".weight"]
        recipe = self.recipe("linear", own={"weight": 1})
        self.refused(recipe, "--rank", "missing")
        self.merge_lora(recipe, "--rank", 64)
        error = np.linalg.norm(self.products()[module] - wanted) / np.linalg.norm(wanted)
        self.assertLess(error, 1e-5)

    def test_products_that_are_rounded(self):
        """lora_dtype: each is rounded to it before the sum, which is no sum of factors any more."""
        a, b = (self.write(x, attention(seed, r=2, alpha=4, dtype="BF16"))
                for x, seed in (("a", 5), ("b", 6)))
        recipe = self.recipe("linear", own={"weight": 1}, lora_dtype="bfloat16")
        self.refused(recipe, "--rank", "missing")
        self.merge_lora(recipe, "--rank", 64)
        for name in self.changed([a, b]):
            rounded = [stio.decode(stio.encode(x.changes[name], "BF16"), "BF16") for x in (a, b)]
            wanted, exact = sum(rounded) / 2, (a.changes[name] + b.changes[name]) / 2
            product = self.products()[name[:-len(".weight")]]
            # Near ties float32 on the way to bfloat16 may round otherwise, once in thousands.
            self.assertClose(product, wanted, name, 2.0 ** 9)
            self.assertGreater(np.linalg.norm(product - exact), 2.0 ** -10 * np.linalg.norm(exact))


class SampleTest(MergeLoraCase):
    def test_the_sample_recipe_does_what_it_says(self):
        """tests/data/inputs/merge_lora.yaml, by the command in it."""
        source = os.path.join(harness.SOURCE, "tests", "data", "inputs", "merge_lora.yaml")
        with open(source, encoding="utf-8") as f:
            commands = re.findall(r"^#  +merganser (.*)$", f.read(), re.MULTILINE)
        self.assertEqual(len(commands), 1)
        lora_models.save(self.path("models", "base"), self.base)
        adapters = [self.write(os.path.join("adapters", name), attention(seed))
                    for seed, name in enumerate(("math", "code", "chat"))]
        shutil.copy(source, self.dir)
        result = self.ok(*commands[0].split(), cwd=self.dir)
        self.assertNotIn("warning", result.err)
        products = lora_files.products(self.path("adapters", "merged"))
        for name in self.changed(adapters):
            wanted = sum(w * a.changes[name] for w, a in zip((0.5, 0.3, 0.2), adapters))
            self.assertClose(products[name[:-len(".weight")]], wanted, name)


if __name__ == "__main__":
    harness.main()
