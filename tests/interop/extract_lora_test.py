"""Extracted adapters in the hands of PEFT, and what PEFT makes of adapters in ours. Needs torch,
transformers and peft (tests/run.sh --full installs them in an environment of its own).

usage: extract_lora_test.py      environment: MERGANSER_BIN, MERGANSER_SOURCE_DIR
"""

import json
import os
import unittest

os.environ["HF_HUB_OFFLINE"] = "1"

import peft  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

from peft_case import PeftCase, gpt2, llama  # noqa: E402


class ExtractLoraTest(PeftCase):
    def save(self, name, model):
        model.save_pretrained(self.path(name))
        return self.path(name)

    def pair(self, make, change):
        """A base on disk, and a model that `change(name, parameter)` made of it."""
        model = make()
        base = self.save("base", model)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                change(name, parameter)
        return base, self.save("model", model)

    def merged(self, base, adapter):
        """What PEFT makes of both; nothing may be missing, unexpected or fresh."""
        with self.complete():
            model = peft.PeftModel.from_pretrained(self.load(base), adapter)
        return model.merge_and_unload()

    def assertClose(self, one, other, tolerance=1e-5):
        found, wanted = dict(one.named_parameters()), dict(other.named_parameters())
        self.assertEqual(set(found), set(wanted))
        for name in wanted:
            self.assertLess((found[name] - wanted[name]).abs().max().item(), tolerance, name)

    def test_full_rank_gives_the_model(self):
        def change(name, parameter):
            if parameter.dim() == 2 and "layers" in name:
                parameter += 0.02 * torch.randn_like(parameter)
        base, model = self.pair(llama, change)
        self.run_program("extract-lora", base, model, self.path("lora"), "--rank", 64)
        self.assertClose(self.merged(base, self.path("lora")), self.load(model))

    def test_ranks_that_differ(self):
        """Each layer has its own, by energy: merge_and_unload gives base plus product."""
        def change(name, parameter):
            if name.endswith("proj.weight"):
                rank = 1 + sum(map(ord, name)) % 3
                parameter += torch.randn(parameter.shape[0], rank) @ torch.randn(
                    rank, parameter.shape[1])
        base, model = self.pair(llama, change)
        self.run_program("extract-lora", base, model, self.path("lora"), "--rank", 8, "--energy", "0.999999")
        with open(self.path("lora/adapter_config.json"), encoding="utf-8") as f:
            self.assertEqual(len(set(json.load(f)["rank_pattern"].values())), 2)
        self.assertClose(self.merged(base, self.path("lora")), self.load(model), 1e-2)
        # And with the energy all but a rounding kept.
        self.run_program("extract-lora", base, model, self.path("all"), "--rank", 8)
        self.assertClose(self.merged(base, self.path("all")), self.load(model), 1e-4)

    def test_saved_modules_embeddings_and_head(self):
        def change(name, parameter):
            parameter += 0.02 * torch.randn_like(parameter)
        base, model = self.pair(llama, change)
        self.run_program("extract-lora", base, model, self.path("lora"), "--rank", 64, "--save-modules",
            "--modules", "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj,embed_tokens,"
            "lm_head")
        self.assertClose(self.merged(base, self.path("lora")), self.load(model))
        # Without --modules embedding and head are saved whole.
        self.run_program("extract-lora", base, model, self.path("saved"), "--rank", 64, "--save-modules")
        self.assertClose(self.merged(base, self.path("saved")), self.load(model))

    def test_conv1d(self):
        def change(name, parameter):
            if parameter.dim() == 2 and ".h." in name:
                parameter += 0.02 * torch.randn_like(parameter)
        base, model = self.pair(gpt2, change)
        self.run_program("extract-lora", base, model, self.path("lora"), "--rank", 64)
        self.assertClose(self.merged(base, self.path("lora")), self.load(model))

    def test_what_peft_merged_verifies(self):
        """In float32 and in bf16, where PEFT rounds as it goes; then a change is found."""
        for dtype in (torch.float32, torch.bfloat16):
            with self.subTest(dtype=dtype):
                base = self.save("base-%s" % dtype, llama().to(dtype))
                model = peft.get_peft_model(
                    transformers.AutoModelForCausalLM.from_pretrained(base, dtype=dtype),
                    peft.LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj", "up_proj"],
                                    rank_pattern={"q_proj": 2}, init_lora_weights=False))
                adapter = self.path("adapter-%s" % dtype)
                model.save_pretrained(adapter)
                full = model.merge_and_unload()
                merged = self.save("merged-%s" % dtype, full)
                self.run_program("verify", merged, "--adapter", adapter, "--base", base)
                self.run_program("bake", "%s+%s" % (base, adapter), self.path("baked-%s" % dtype))
                self.run_program("verify", self.path("baked-%s" % dtype), "--adapter", adapter, "--base", base)
                with torch.no_grad():
                    full.model.layers[1].mlp.down_proj.weight[3, 4] += 1
                changed = self.save("changed-%s" % dtype, full)
                with self.assertRaisesRegex(AssertionError, "layers.1.mlp.down_proj.weight"):
                    self.run_program("verify", changed, "--adapter", adapter, "--base", base)


if __name__ == "__main__":
    unittest.main(verbosity=2)
