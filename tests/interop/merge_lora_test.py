"""Merged adapters beside PEFT's add_weighted_adapter: ours load in PEFT and are what its exact ways
(`cat`, `svd`) make of the products; its `linear` averages factors instead, and is something else.
Needs torch, transformers and peft (tests/run.sh --full installs them in an environment of its own).

usage: merge_lora_test.py      environment: MERGANSER_BIN, MERGANSER_SOURCE_DIR
"""

import json
import os
import unittest

os.environ["HF_HUB_OFFLINE"] = "1"

import peft  # noqa: E402
import torch  # noqa: E402

from peft_case import PeftCase, gpt2, llama  # noqa: E402


class MergeLoraTest(PeftCase):
    def adapters(self, make, *configs):
        """A base on disk and an adapter a config, "a", "b", ..., as PEFT saves them."""
        make().save_pretrained(self.path("base"))
        for name, config in zip("abc", configs):
            model = self.load("base")
            peft.get_peft_model(model, peft.LoraConfig(
                init_lora_weights=False, **config)).save_pretrained(self.path(name))

    def merge(self, method, own, *flags, base=False, names="ab", **parameters):
        body = {"merge_method": method, "parameters": parameters, "models": [
            {"model": "base+" + name, "parameters": mine} for name, mine in zip(names, own)]}
        if base:
            body["base_model"] = "base"
        with open(self.path("r.yaml"), "w", encoding="utf-8") as f:
            json.dump(body, f)
        self.run_program("merge-lora", "r.yaml", "ours", *flags)

    def peft_model(self, names="ab"):
        """The base with the adapters, and with ours, which PEFT loads without a word."""
        model = peft.PeftModel.from_pretrained(self.load("base"), self.path(names[0]),
                                               adapter_name=names[0])
        for name in names[1:]:
            model.load_adapter(self.path(name), adapter_name=name)
        with self.complete():
            result = model.load_adapter(self.path("ours"), adapter_name="ours")
        self.assertEqual(list(result.unexpected_keys), [])
        return model

    def deltas(self, model, adapter):
        """module -> what PEFT adds to its weight for this adapter."""
        return {name: module.get_delta_weight(adapter).detach().double()
                for name, module in model.named_modules()
                if isinstance(module, peft.tuners.lora.LoraLayer)
                and (adapter in module.lora_A or adapter in module.lora_embedding_A)}

    def distance(self, one, other):
        """The largest relative one of a module."""
        self.assertEqual(set(one), set(other))
        return max(((one[n] - other[n]).norm() / other[n].norm()).item() for n in other)

    def test_linear_is_the_average_of_products_as_cat_and_svd_have_it(self):
        modules = ["q_proj", "v_proj", "down_proj"]
        self.adapters(llama, dict(r=4, lora_alpha=8, target_modules=modules),
                      dict(r=4, lora_alpha=2, target_modules=modules))
        self.merge("linear", [{"weight": 0.3}, {"weight": 0.7}])
        model = self.peft_model()
        ours = self.deltas(model, "ours")
        products = [self.deltas(model, name) for name in "ab"]
        average = {n: 0.3 * products[0][n] + 0.7 * products[1][n] for n in products[0]}
        self.assertLess(self.distance(ours, average), 1e-6)
        weighted = dict(adapters=["a", "b"], weights=[0.3, 0.7])
        model.add_weighted_adapter(adapter_name="cat", combination_type="cat", **weighted)
        model.add_weighted_adapter(adapter_name="svd", combination_type="svd", svd_rank=8, **weighted)
        model.add_weighted_adapter(adapter_name="factors", combination_type="linear", **weighted)
        self.assertLess(self.distance(ours, self.deltas(model, "cat")), 1e-6)
        self.assertLess(self.distance(ours, self.deltas(model, "svd")), 1e-5)
        # The trap: the product of averages is not the average of products.
        self.assertGreater(self.distance(self.deltas(model, "factors"), average), 0.3)

    def test_ranks_modules_and_scales_that_differ(self):
        self.adapters(llama, dict(r=4, lora_alpha=8, target_modules=["q_proj", "up_proj"],
                                  rank_pattern={"layers.1.*q_proj": 2}, use_rslora=True),
                      dict(r=3, lora_alpha=5, target_modules=["q_proj", "down_proj"]))
        self.merge("task_arithmetic", [{"weight": 0.5}, {"weight": -2}], base=True)
        model = self.peft_model()
        products = [self.deltas(model, name) for name in "ab"]
        names = set(products[0]) | set(products[1])
        wanted = {n: sum(w * p[n] for w, p in zip((0.5, -2), products) if n in p) for n in names}
        self.assertLess(self.distance(self.deltas(model, "ours"), wanted), 1e-6)
        with open(self.path("ours/adapter_config.json"), encoding="utf-8") as f:
            config = json.load(f)
        self.assertGreater(len(config["rank_pattern"]), 0)

    def test_a_cut_rank_is_pefts_svd(self):
        modules = ["q_proj", "o_proj"]
        self.adapters(llama, dict(r=4, target_modules=modules), dict(r=6, target_modules=modules))
        self.merge("linear", [{"weight": 0.5}, {"weight": 0.5}], "--rank", 3)
        model = self.peft_model()
        model.add_weighted_adapter(adapters=["a", "b"], weights=[0.5, 0.5], adapter_name="svd",
                                   combination_type="svd", svd_rank=3)
        self.assertLess(self.distance(self.deltas(model, "ours"), self.deltas(model, "svd")), 1e-4)

    def test_ties_is_pefts_ties_of_the_products(self):
        modules = ["q_proj", "o_proj"]  # square, so that one rank is full for all
        self.adapters(llama, dict(r=4, target_modules=modules), dict(r=6, target_modules=modules))
        self.merge("ties", [{"weight": 1, "density": 0.5}] * 2, "--rank", 32, base=True)
        model = self.peft_model()
        model.add_weighted_adapter(adapters=["a", "b"], weights=[1.0, 1.0], adapter_name="theirs",
                                   combination_type="ties_svd", svd_rank=32, density=0.5)
        self.assertLess(self.distance(self.deltas(model, "ours"), self.deltas(model, "theirs")), 1e-4)

    def test_gpt2_and_embeddings(self):
        modules = ["c_attn", "wte"]
        self.adapters(gpt2, dict(r=4, target_modules=modules, fan_in_fan_out=True),
                      dict(r=2, target_modules=modules, fan_in_fan_out=True))
        self.merge("linear", [{"weight": 1}, {"weight": 1}])
        model = self.peft_model()
        products = [self.deltas(model, name) for name in "ab"]
        wanted = {n: (products[0][n] + products[1][n]) / 2 for n in products[0]}
        self.assertEqual(len(wanted), 3)
        self.assertLess(self.distance(self.deltas(model, "ours"), wanted), 1e-6)

    def test_saved_modules_and_what_the_model_says(self):
        """Logits with the merged adapter are those of the merged full model."""
        for name, r in (("a", 4), ("b", 2)):
            if name == "a":
                llama().save_pretrained(self.path("base"))
            model = peft.get_peft_model(self.load("base"), peft.LoraConfig(
                r=r, target_modules=["q_proj", "up_proj"], modules_to_save=["lm_head"],
                init_lora_weights=False))
            with torch.no_grad():
                head = model.base_model.model.lm_head.modules_to_save["default"].weight
                head += 0.1 * torch.randn_like(head)
            model.save_pretrained(self.path(name))
        self.merge("linear", [{"weight": 0.4}, {"weight": 0.6}])
        self.run_program("merge", "r.yaml", "full")
        ours = peft.PeftModel.from_pretrained(self.load("base"), self.path("ours"))
        full = self.load("full")
        tokens = torch.arange(24).reshape(2, 12)
        with torch.no_grad():
            found, wanted, base = (m(tokens).logits for m in (ours, full, self.load("base")))
        self.assertLess((found - wanted).abs().max().item(), 1e-4)
        self.assertGreater((base - wanted).abs().max().item(), 1e-2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
