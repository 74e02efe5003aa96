"""The sample recipes of tests/data/inputs, over made models that stand where they say: adapters, FP8 and
MXFP4 are planned without a warning and merged, and the plan says what each model is made of."""

import json
import os
import shutil

import numpy as np

import harness
import lora_models
import quantised_models as q
import stio

FOLDER = os.path.join(harness.SOURCE, "tests", "data", "inputs")
FP8 = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]}
EXPERTS = "model.layers.0.mlp.experts.down_proj"
LORA = "LoRA, 8 of 8 modules, r=2, alpha 4, scale 2"
# What the plan says of the models of each, in its order.
WANTED = {
    "lora_experts": ["stored as BF16"] + 3 * [LORA + ", on models/base, stored as BF16"],
    "lora_weights": [
        "stored as BF16",
        "adapters/math: %s, weight 0.7; adapters/chat: %s, weight 0.3, on models/base, stored as BF16"
        % (LORA, LORA), "stored as BF16"],
    "fp8_base": [
        "stored as FP8 E4M3 with 128x128 blocks (14 tensors), BF16 (9 tensors)", "stored as BF16",
        LORA + ", on models/base-fp8, stored as FP8 E4M3 with 128x128 blocks (14 tensors), BF16 (9 "
        "tensors)"],
    "fp8_to_fp8": [],  # those of fp8_base
    "merge_lora": 3 * [LORA + ", on models/base, stored as BF16"],
    "mxfp4": ["stored as MXFP4 with blocks of 32 (1 tensor), BF16 (1 tensor)", "stored as BF16"],
}
WANTED["fp8_to_fp8"] = WANTED["fp8_base"]


class InputSamplesTest(harness.Case):
    def setUp(self):
        super().setUp()
        self.base = lora_models.base_tensors()
        near = np.random.default_rng(7)
        lora_models.save(self.path("models", "base"), self.base)
        lora_models.save(self.path("models", "expert"), {
            n: x + 0.01 * near.standard_normal(x.shape) for n, x in self.base.items()})
        for seed, name in enumerate(("math", "code", "chat")):
            lora_models.attention(seed).save(self.path("adapters", name))
        self.write_fp8()
        self.write_mxfp4()

    def write_fp8(self):
        tensors = {}
        for name, x in self.base.items():
            if ".layers." in name and x.ndim == 2:
                codes, scales, _ = q.fp8(x)
                tensors[name] = ("F8_E4M3", codes)
                tensors[name + "_scale_inv"] = q.stored("F32", scales)
            else:
                tensors[name] = ("BF16", x)
        stio.save(self.path("models", "base-fp8"), tensors,
                  config=dict(lora_models.CONFIG, quantization_config=FP8))

    def write_mxfp4(self):
        config = {"model_type": "gpt_oss", "architectures": ["GptOssForCausalLM"],
                  "num_hidden_layers": 1, "torch_dtype": "bfloat16"}
        x = np.random.default_rng(8).standard_normal((2, 6, 64))  # [experts, rows, groups * 32]
        codes, scales, exact = q.mxfp4(x)
        norm = {"model.norm.weight": ("BF16", np.ones(6))}
        stio.save(self.path("models", "gpt-oss"), dict(norm, **{
            EXPERTS + "_blocks": ("U8", q.pairs(codes).reshape(2, 6, 2, 16)),
            EXPERTS + "_scales": ("U8", scales)}),
                  config=dict(config, quantization_config={"quant_method": "mxfp4"}))
        stio.save(self.path("models", "gpt-oss-expert"), dict(norm, **{
            EXPERTS: ("BF16", exact.transpose(0, 2, 1) + 0.25)}), config=config)

    def test_each_is_planned_and_merged(self):
        names = sorted(name[:-len(".yaml")] for name in os.listdir(FOLDER))
        self.assertEqual(names, sorted(WANTED))
        for name in names:
            with self.subTest(sample=name):
                recipe = shutil.copy(os.path.join(FOLDER, name + ".yaml"), self.dir)
                plan = json.loads(self.ok("plan", recipe, "--json").out)
                self.assertEqual(plan["warnings"], [])
                self.assertEqual([m["origin"]["text"].replace(self.dir + "/", "")
                                  for m in plan["models"]], WANTED[name])
                output = self.merge(recipe, self.path("out-" + name))
                self.ok("verify", output)
                merged = stio.Checkpoint(output)
                if name == "fp8_to_fp8":
                    base = stio.Checkpoint(self.path("models", "base-fp8"))
                    self.assertEqual({n: (e.dtype, e.shape) for n, e in merged.tensors.items()},
                                     {n: (e.dtype, e.shape) for n, e in base.tensors.items()})
                    continue
                self.assertEqual({e.dtype for e in merged.tensors.values()}, {"BF16"})
                if name == "mxfp4":
                    self.assertEqual(merged.tensors[EXPERTS].shape, (2, 64, 6))
                else:
                    self.assertEqual(set(merged.tensors), set(self.base))


if __name__ == "__main__":
    harness.main()
