"""Adapters that PEFT itself makes, merged by the program and by PEFT's merge_and_unload in float32:
elements agree within BOUND, one rounding of either and float32's own sums. In bfloat16 `lora_dtype`
says what PEFT rounds: of rank 1 outputs are equal, bit for bit, and of higher ranks but for few
elements, off by one rounding. What PEFT cannot be asked for is refused, and the outputs load.

usage: lora_test.py      environment: MERGANSER_BIN, MERGANSER_SOURCE_DIR
"""

import json
import os
import shutil
import subprocess
import sys
import unittest

os.environ["HF_HUB_OFFLINE"] = "1"
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from peft import LoraConfig, PeftModel, get_peft_model  # noqa: E402

import peft_case  # noqa: E402
import stio  # noqa: E402
from accuracy_table import BIN  # noqa: E402

# Of the tensor's greatest magnitude: PEFT sums r products in float32 and rounds the sum, and DoRA's
# lengths are float32 sums of a row.
BOUND = 4 * 2.0**-24

transformers.logging.set_verbosity_error()


def llama(**more):
    return peft_case.llama(attention_bias=True, **more)


def gpt2():
    return peft_case.gpt2(n_positions=16, n_inner=32)


def mixture():
    return transformers.Qwen3MoeForCausalLM(transformers.Qwen3MoeConfig(
        hidden_size=32, intermediate_size=48, moe_intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, num_experts=4, num_experts_per_tok=2,
        vocab_size=64, head_dim=8, tie_word_embeddings=False))


CASES = {
    "linear": (llama, {"target_modules": ["q_proj", "down_proj"]}),
    "conv1d": (gpt2, {"target_modules": ["c_attn", "c_proj", "c_fc"]}),
    "embedding": (llama, {"target_modules": ["embed_tokens", "lm_head"]}),
    "dora": (llama, {"target_modules": ["q_proj", "k_proj", "down_proj"], "use_dora": True}),
    "dora_conv1d": (gpt2, {"target_modules": ["c_attn", "c_proj"], "use_dora": True}),
    "rslora": (llama, {"target_modules": ["v_proj"], "use_rslora": True, "r": 7}),
    "patterns": (llama, {"target_modules": ["q_proj", "v_proj", "o_proj"],
                         "rank_pattern": {"layers.1.self_attn.q_proj": 3, "o_proj": 5},
                         "alpha_pattern": {"^model.layers.0.self_attn.v_proj": 32}}),
    "expression": (llama, {"target_modules": r".*layers\.1\..*(q_proj|up_proj)"}),
    "some_layers": (llama, {"target_modules": ["q_proj"], "layers_to_transform": [1]}),
    "bias": (llama, {"target_modules": ["q_proj"], "bias": "lora_only"}),
    "all_biases": (llama, {"target_modules": ["q_proj"], "bias": "all"}),
    "lora_bias": (llama, {"target_modules": ["q_proj"], "lora_bias": True}),
    "modules_to_save": (llama, {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "norm"]}),
    "target_parameters": (mixture, {"target_modules": ["q_proj"],
                                    "target_parameters": ["mlp.experts.gate_up_proj",
                                                          "mlp.experts.down_proj"]}),
}


class LoraCase(peft_case.PeftCase):
    def train(self, make, options, name="adapter", seed=0):
        """A base and an adapter whose every tensor is random, as PEFT saves both."""
        torch.manual_seed(seed)
        base = make().float()
        base.save_pretrained(self.path("base"))
        model = get_peft_model(base, LoraConfig(**dict({"r": 4, "lora_alpha": 6}, **options)))
        generator = torch.Generator().manual_seed(seed + 1)
        with torch.no_grad():
            for key, value in model.named_parameters():
                if value.requires_grad:
                    value.copy_(torch.randn(value.shape, generator=generator) * 0.1
                                + (value if "magnitude" in key else 0))
        model.save_pretrained(self.path(name))
        return type(base)

    def merge(self, body):
        with open(self.path("r.yaml"), "w", encoding="utf-8") as f:
            json.dump(body, f)
        shutil.rmtree(self.path("ours"), ignore_errors=True)
        self.run_program("merge", "r.yaml", "ours")
        return stio.Checkpoint(self.path("ours"))


class LoraTest(LoraCase):
    def unloaded(self, kind, name="adapter"):
        base = kind.from_pretrained(self.path("base"), dtype=torch.float32)
        merged = PeftModel.from_pretrained(base, self.path(name)).merge_and_unload()
        merged.save_pretrained(self.path("theirs"))
        return stio.Checkpoint(self.path("theirs"))

    def hold(self, ours, theirs):
        self.assertEqual(sorted(ours.tensors), sorted(theirs.tensors))
        changed, base = 0, stio.Checkpoint(self.path("base"))
        for name in theirs.tensors:
            a, b = ours.values(name), theirs.values(name)
            self.assertEqual(a.shape, b.shape, name)
            size = abs(b).max() if b.size else 0
            self.assertLessEqual(abs(a - b).max() if b.size else 0, BOUND * size, name)
            changed += int((a != base.values(name)).any())
        return changed

    def test_as_peft_merges_it(self):
        for name, (make, options) in CASES.items():
            with self.subTest(case=name):
                kind = self.train(make, options)
                theirs = self.unloaded(kind)
                for model, base in (("base+adapter", None), ("adapter", "base")):
                    body = {"merge_method": "task_arithmetic" if base else "passthrough",
                            "models": [{"model": model}], "out_dtype": "float32"}
                    if base:
                        body.update({"base_model": base, "parameters": {"weight": 1}})
                    self.assertGreater(self.hold(self.merge(body), theirs), 0)
                kind.from_pretrained(self.path("ours"))
                for folder in ("base", "adapter", "theirs"):
                    shutil.rmtree(self.path(folder))

    def test_several_adapters_as_peft_adds_them(self):
        options = {"target_modules": ["q_proj", "down_proj"]}
        kind = self.train(llama, options, "a")
        self.train(llama, dict(options, r=3), "b", seed=0)
        model = PeftModel.from_pretrained(kind.from_pretrained(self.path("base"), dtype=torch.float32),
                                          self.path("a"), adapter_name="a")
        model.load_adapter(self.path("b"), adapter_name="b")
        model.add_weighted_adapter(["a", "b"], [0.5, 0.75], "both", combination_type="cat")
        model.set_adapter("both")
        model.merge_and_unload().save_pretrained(self.path("theirs"))
        ours = self.merge({"merge_method": "passthrough", "out_dtype": "float32", "models": [{
            "model": {"model": "base", "lora": [{"path": "a", "weight": 0.5},
                                                {"path": "b", "weight": 0.75}]}}]})
        self.assertGreater(self.hold(ours, stio.Checkpoint(self.path("theirs"))), 0)

    def test_initialisations_that_change_the_base_are_refused(self):
        for init in ("pissa", "olora"):
            self.train(llama, {"target_modules": ["q_proj"], "init_lora_weights": init})
            with open(self.path("r.yaml"), "w", encoding="utf-8") as f:
                json.dump({"merge_method": "passthrough", "models": ["base+adapter"]}, f)
            done = subprocess.run([BIN, "plan", "r.yaml"], cwd=self.dir, text=True,
                                  capture_output=True, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn("path_initial_model_for_weight_conversion", done.stderr)


# What PEFT does with a base of 16 bits: the type in which the adapter is stored, whether PEFT loads
# it as float32 (its default), safe_merge, and the lora_dtype that says the same.
HALVES = {
    "float32 adapter": ("float32", True, False, "float32"),
    "16-bit adapter, loaded as float32": ("base", True, False, "float32"),
    "16-bit adapter": ("base", False, False, "base"),
    "16-bit adapter, safe_merge": ("base", False, True, "base"),
    "float32 adapter, safe_merge": ("float32", True, True, "base"),
}
HALF_CASES = {
    "linear": (lambda: llama(hidden_size=256, intermediate_size=512),
               {"target_modules": ["q_proj", "down_proj"]}),
    "conv1d": (gpt2, {"target_modules": ["c_attn", "c_fc"]}),
    "embedding": (llama, {"target_modules": ["embed_tokens"]}),
    "lora_bias": (llama, {"target_modules": ["q_proj"], "lora_bias": True}),
}
# Of the elements of tensors that an adapter changes. Sums of several ranks have an order of torch's
# own, and a sum of weight and product as float32 is rounded on its way to 16 bits.
LEAST_EQUAL = 0.999


def step(values, dtype):
    """The distance of neighbours of `dtype` at `values`."""
    digits, least = {"bfloat16": (8, -126), "float16": (11, -14)}[dtype]
    exponent = np.maximum(np.frexp(np.abs(values))[1] - 1, least)
    return np.ldexp(1.0, exponent - digits + 1)


class HalfTest(LoraCase):
    def train_half(self, make, options, dtype, stored, r):
        torch.manual_seed(3)
        base = make().to(getattr(torch, dtype))
        base.save_pretrained(self.path("base"))
        model = get_peft_model(base, LoraConfig(**dict({"r": r, "lora_alpha": 1.4 * r}, **options)))
        generator = torch.Generator().manual_seed(4)
        with torch.no_grad():
            for value in model.parameters():
                if value.requires_grad:
                    new = torch.randn(value.shape, generator=generator) * 0.1
                    value.data = new.to(getattr(torch, dtype if stored == "base" else stored))
        model.save_pretrained(self.path("adapter"))
        return type(base)

    def unloaded_half(self, kind, dtype, autocast, safe):
        base = kind.from_pretrained(self.path("base"), dtype=getattr(torch, dtype))
        model = PeftModel.from_pretrained(base, self.path("adapter"), autocast_adapter_dtype=autocast)
        model.merge_and_unload(safe_merge=safe).save_pretrained(self.path("theirs"))
        return stio.Checkpoint(self.path("theirs"))

    def share(self, ours, theirs, dtype):
        """Of the elements of tensors that the adapter changes, those that are equal; the others are
        within one rounding."""
        base, equal, all_of_them = stio.Checkpoint(self.path("base")), 0, 0
        self.assertEqual(sorted(ours.tensors), sorted(theirs.tensors))
        for name in theirs.tensors:
            a, b, w = ours.values(name), theirs.values(name), base.values(name)
            self.assertEqual(ours.tensors[name].dtype, theirs.tensors[name].dtype, name)
            if not (b != w).any():
                np.testing.assert_array_equal(a, b, name)
                continue
            largest = np.maximum(np.maximum(abs(a), abs(b)), np.maximum(abs(w), abs(b - w)))
            self.assertTrue((abs(a - b) <= step(largest, dtype)).all(), name)
            equal += int((a == b).sum())
            all_of_them += a.size
        self.assertGreater(all_of_them, 0)
        return equal / all_of_them

    def hold(self, dtype, how, name, r):
        """The share of equal elements."""
        (stored, autocast, safe, says), (make, options) = HALVES[how], HALF_CASES[name]
        says = "base" if name == "embedding" else says  # PEFT rounds their products always
        kind = self.train_half(make, options, dtype, stored, r)
        theirs = self.unloaded_half(kind, dtype, autocast, safe)
        found = {key: self.share(self.merge({"merge_method": "passthrough", "out_dtype": dtype,
                                             "models": ["base+adapter"], "lora_dtype": key}),
                                 theirs, dtype) for key in ("float32", dtype)}
        share = found[dtype if says == "base" else says]
        self.assertGreaterEqual(share, 1 if says == "base" and r == 1 else LEAST_EQUAL)
        self.assertGreater(share, min(found.values()), "the other one is another rounding")
        for folder in ("base", "adapter", "theirs"):
            shutil.rmtree(self.path(folder))
        return says, share

    def test_lora_dtype_says_what_peft_rounds(self):
        shares = {}
        for dtype, names in (("bfloat16", list(HALF_CASES)), ("float16", ["linear"])):
            for how, (stored, _, safe, _) in HALVES.items():
                for name in names:
                    # safe_merge adds the product of a bias in the adapter's type.
                    if name == "lora_bias" and safe and stored == "float32":
                        continue
                    for r in (1, 6):
                        with self.subTest(dtype=dtype, how=how, case=name, r=r):
                            says, share = self.hold(dtype, how, name, r)
                            shares.setdefault((dtype, says, r), []).append(share)
        for key, values in sorted(shares.items()):
            print("base %s, lora_dtype %s, rank %d: %.6f to %.6f of the elements equal" %
                  (key + (min(values), max(values))))


if __name__ == "__main__":
    unittest.main()
