"""What quantised checkpoints are decoded to, held against torch's own casts and transformers' ways to
dequantise on a CPU, bit for bit; and what is written quantised, against torch's casts and torchao.

usage: quantised_test.py        environment: MERGANSER_BIN, MERGANSER_SOURCE_DIR
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

os.environ["HF_HUB_OFFLINE"] = "1"

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import safetensors.torch  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from torchao.prototype.mx_formats import mx_tensor  # noqa: E402
from transformers.integrations import finegrained_fp8, mxfp4  # noqa: E402

from accuracy_table import BIN  # noqa: E402

FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
       "weight_block_size": [128, 128]}


class QuantisedTest(unittest.TestCase):
    def setUp(self):
        torch.set_num_threads(1)
        torch.manual_seed(3)
        self.dir = tempfile.mkdtemp(prefix="interop-")
        self.addCleanup(shutil.rmtree, self.dir)

    def decoded(self, tensors, **config):
        """The tensors of a checkpoint, as the program passes them through."""
        model = os.path.join(self.dir, "model")
        shutil.rmtree(model, ignore_errors=True)
        os.makedirs(model)
        safetensors.torch.save_file({n: t.contiguous() for n, t in tensors.items()},
                                    os.path.join(model, "model.safetensors"), {"format": "pt"})
        with open(os.path.join(model, "config.json"), "w", encoding="utf-8") as f:
            json.dump(dict({"model_type": "made"}, **config), f)
        return self.passed_through(model)

    def passed_through(self, model):
        return self.merged("out", {"merge_method": "passthrough", "models": [{"model": model}]})

    def merged(self, name, body):
        recipe, out = os.path.join(self.dir, "r.yaml"), os.path.join(self.dir, name)
        with open(recipe, "w", encoding="utf-8") as f:
            json.dump(body, f)
        done = subprocess.run([BIN, "merge", recipe, out, "--overwrite"], capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return safetensors.torch.load_file(os.path.join(out, "model.safetensors"))

    def assertSameBits(self, got, wanted, what):
        self.assertEqual(got.dtype, wanted.dtype, what)
        self.assertEqual(got.shape, wanted.shape, what)
        self.assertTrue(torch.equal(got.contiguous().view(torch.uint8),
                                    wanted.contiguous().view(torch.uint8)), what)

    def random_codes(self, shape, dtype):
        codes = torch.randint(0, 256, shape, dtype=torch.uint8)
        values = codes.view(dtype).to(torch.float32)
        codes[~torch.isfinite(values)] = 1
        return codes.view(dtype)

    def test_every_code_is_torchs(self):
        for dtype in (torch.float8_e4m3fn, torch.float8_e5m2):
            values = torch.arange(256, dtype=torch.uint8).view(dtype)
            finite = values[torch.isfinite(values.to(torch.float32))].reshape(1, -1)
            got = self.decoded({"l.weight": finite, "l.weight_scale": torch.ones(())},
                               dtype="float32", quantization_config={"quant_method": "modelopt"})
            self.assertSameBits(got["l.weight"], finite.to(torch.float32), dtype)

    def test_blocks_are_transformers(self):
        dequantize = finegrained_fp8.Fp8Dequantize(None)._dequantize_one
        for dtype, out, scale_type, shape, grid in (
                (torch.float8_e4m3fn, torch.bfloat16, torch.float32, (256, 384), (2, 3)),
                (torch.float8_e5m2, torch.bfloat16, torch.float32, (256, 384), (2, 3)),
                (torch.float8_e4m3fn, torch.float32, torch.float32, (256, 384), (2, 3)),
                (torch.float8_e4m3fn, torch.float16, torch.float32, (256, 384), (2, 3)),
                (torch.float8_e4m3fn, torch.bfloat16, torch.bfloat16, (2, 128, 256), (2, 1, 2)),
                (torch.float8_e4m3fn, torch.bfloat16, torch.float8_e8m0fnu, (256, 384), (2, 3))):
            codes = self.random_codes(shape, dtype)
            scales = torch.rand(grid) * 0.01 + 1e-4
            if scale_type == torch.float8_e8m0fnu:
                scales = torch.randint(110, 130, grid, dtype=torch.uint8).view(scale_type)
            else:
                scales = scales.to(scale_type)
            name = "l.weight" if len(shape) == 2 else "e.gate_up_proj"
            got = self.decoded({name: codes, name + "_scale_inv": scales},
                               dtype=str(out).split(".")[1], quantization_config=FP8)
            self.assertSameBits(got[name], dequantize(codes, scales, out), (dtype, out, scale_type))

    def test_scales_of_rows_and_of_all(self):
        codes = self.random_codes((7, 33), torch.float8_e4m3fn)
        for scales in (torch.rand(7, 1), torch.rand(7, 1).to(torch.bfloat16), torch.rand(()),
                       torch.rand(1).to(torch.bfloat16)):
            got = self.decoded({"l.weight": codes, "l.weight_scale": scales}, dtype="bfloat16",
                               quantization_config={"quant_method": "compressed-tensors"})
            # As compressed-tensors, in the type of the scales, and as transformers' experts.
            for wanted in ((codes.to(scales.dtype) * scales).to(torch.bfloat16),
                           (codes.to(torch.float32) * scales.to(torch.float32)).to(torch.bfloat16)):
                self.assertSameBits(got["l.weight"], wanted, scales.dtype)

    def test_mxfp4_is_transformers(self):
        for out in (torch.bfloat16, torch.float32):
            blocks = torch.randint(0, 256, (3, 10, 4, 16), dtype=torch.uint8)
            # Down to what is subnormal, up to what is just finite.
            scales = torch.randint(0, 252, (3, 10, 4), dtype=torch.uint8)
            got = self.decoded({"e.gate_up_proj_blocks": blocks, "e.gate_up_proj_scales": scales},
                               dtype=str(out).split(".")[1],
                               quantization_config={"quant_method": "mxfp4"})
            wanted = mxfp4.convert_moe_packed_tensors(blocks, scales, dtype=out)
            self.assertSameBits(got["e.gate_up_proj"], wanted, out)

    def test_pairs_of_deepseek_are_transformers(self):
        dequantize = finegrained_fp8.Fp8Dequantize(None)._dequantize_one
        codes = torch.randint(-128, 128, (6, 48), dtype=torch.int8)
        scales = torch.randint(100, 140, (6, 3), dtype=torch.uint8).view(torch.float8_e8m0fnu)
        got = self.decoded({"l.weight": codes, "l.scale": scales}, dtype="bfloat16",
                           quantization_config=FP8)
        self.assertSameBits(got["l.weight"], dequantize(codes, scales, torch.bfloat16), "pairs")

    def assertLoadsAlike(self, folder, tensors, quantization):
        """What transformers loads of a model whose weights are replaced, without an accelerator, is
        what the program passes through, and what it loads of that."""
        safetensors.torch.save_file(tensors, os.path.join(folder, "model.safetensors"),
                                    {"format": "pt"})
        config = os.path.join(folder, "config.json")
        with open(config, encoding="utf-8") as f:
            body = json.load(f)
        with open(config, "w", encoding="utf-8") as f:
            json.dump(dict(body, quantization_config=quantization), f)
        load = transformers.AutoModelForCausalLM.from_pretrained
        theirs = load(folder, dtype="auto").state_dict()
        ours = self.passed_through(folder)
        out = os.path.join(self.dir, "out")
        with open(os.path.join(out, "config.json"), encoding="utf-8") as f:
            self.assertNotIn("quantization_config", json.load(f))
        merged = load(out, dtype="auto").state_dict()
        self.assertEqual(set(merged), set(theirs))
        for tensors in (ours, merged):
            for name, tensor in tensors.items():
                self.assertSameBits(tensor, theirs[name], name)
        self.assertWritesAlike(folder)
        return ours

    def assertWritesAlike(self, folder):
        """A merge into the base's own form has its tensors by name, dtype and shape; transformers
        loads of it what the program reads."""
        load = transformers.AutoModelForCausalLM.from_pretrained
        expert = load(os.path.join(self.dir, "out"), dtype="auto")
        for parameter in expert.parameters():
            parameter.data += torch.randn_like(parameter) * 0.05 * parameter.float().std()
        expert.save_pretrained(os.path.join(self.dir, "expert"))
        recipe = {"merge_method": "task_arithmetic", "base_model": folder,
                  "models": [{"model": os.path.join(self.dir, "expert")}],
                  "parameters": {"weight": 0.5}}
        written = self.merged("written", dict(recipe, out_dtype="source"))
        base = safetensors.torch.load_file(os.path.join(folder, "model.safetensors"))
        self.assertEqual({n: (t.dtype, t.shape) for n, t in written.items()},
                         {n: (t.dtype, t.shape) for n, t in base.items()})
        theirs = load(os.path.join(self.dir, "written"), dtype="auto").state_dict()
        for name, tensor in self.passed_through(os.path.join(self.dir, "written")).items():
            self.assertSameBits(tensor, theirs[name], name)
        # And that is the merge, up to the few bits of the form.
        exact = self.merged("exact", dict(recipe, out_dtype="float32"))
        changed = 0
        for name, tensor in exact.items():
            if name in written:
                continue
            error = (theirs[name].float() - tensor).norm() / tensor.norm()
            self.assertLess(error, 0.2, name)
            changed += 1
        self.assertTrue(changed or any("_scale_inv" in name for name in written))
        return written, exact

    def written(self, base, shape):
        """A merge of a base of one weight with a random expert: in the base's form, and as float32."""
        self.decoded(base, dtype="bfloat16", quantization_config=FP8)
        expert = os.path.join(self.dir, "expert")
        os.makedirs(expert)
        safetensors.torch.save_file({"l.weight": torch.randn(shape).to(torch.bfloat16)},
                                    os.path.join(expert, "model.safetensors"), {"format": "pt"})
        with open(os.path.join(expert, "config.json"), "w", encoding="utf-8") as f:
            json.dump({"model_type": "made"}, f)
        recipe = {"merge_method": "task_arithmetic", "base_model": os.path.join(self.dir, "model"),
                  "models": [{"model": expert}], "parameters": {"weight": 0.5}}
        written = self.merged("written", dict(recipe, out_dtype="source"))
        return written, self.merged("exact", dict(recipe, out_dtype="float32"))["l.weight"]

    def test_pairs_are_torchaos(self):
        """MXFP4 as torchao makes it of the merged values, by OCP's rule."""
        codes = torch.randint(-128, 128, (6, 480), dtype=torch.int8)
        scales = torch.randint(120, 130, (6, 30), dtype=torch.uint8).view(torch.float8_e8m0fnu)
        written, exact = self.written({"l.weight": codes, "l.scale": scales}, (6, 960))
        scales, codes = mx_tensor.to_mx(exact, torch.float4_e2m1fn_x2, 32)
        self.assertSameBits(written["l.scale"], scales.reshape(6, 30), "scales")
        self.assertSameBits(written["l.weight"].view(torch.uint8),
                            codes.view(torch.uint8).reshape(6, 480), "codes")

    def test_codes_are_torchs_casts(self):
        """x / s as torch rounds it, with the scale that was written."""
        codes = self.random_codes((256, 384), torch.float8_e4m3fn)
        written, exact = self.written(
            {"l.weight": codes, "l.weight_scale_inv": torch.rand(2, 3) * 0.01 + 1e-4}, (256, 384))
        tiles = exact.reshape(2, 128, 3, 128)
        scales = tiles.abs().amax(dim=(1, 3)) / 448
        self.assertSameBits(written["l.weight_scale_inv"], scales, "scales")
        wanted = (tiles / scales[:, None, :, None]).clamp(-448, 448).reshape(256, 384)
        self.assertSameBits(written["l.weight"], wanted.to(torch.float8_e4m3fn), "codes")

    def test_gpt_oss_loads_as_it_is_decoded(self):
        config = transformers.GptOssConfig(
            hidden_size=64, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=2, head_dim=32, vocab_size=64, num_local_experts=3,
            num_experts_per_tok=1, layer_types=["full_attention"], dtype="bfloat16")
        folder = os.path.join(self.dir, "gpt-oss")
        transformers.GptOssForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
        tensors = safetensors.torch.load_file(os.path.join(folder, "model.safetensors"))
        names = [n for n in tensors if n.endswith(("experts.gate_up_proj", "experts.down_proj"))]
        self.assertEqual(len(names), 2)
        for name in names:
            experts, groups, rows = tensors[name].shape[0], tensors[name].shape[1] // 32, \
                tensors.pop(name).shape[2]
            tensors[name + "_blocks"] = torch.randint(0, 256, (experts, rows, groups, 16),
                                                      dtype=torch.uint8)
            tensors[name + "_scales"] = torch.randint(110, 130, (experts, rows, groups),
                                                      dtype=torch.uint8)
        ours = self.assertLoadsAlike(folder, tensors, {"quant_method": "mxfp4"})
        self.assertTrue(set(names) <= set(ours))

    def test_a_model_loads_as_it_is_decoded(self):
        config = transformers.LlamaConfig(
            hidden_size=128, intermediate_size=256, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=2, vocab_size=64, dtype="bfloat16")
        folder = os.path.join(self.dir, "llama")
        transformers.LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
        tensors = safetensors.torch.load_file(os.path.join(folder, "model.safetensors"))
        for name in [n for n in tensors if "_proj.weight" in n]:
            weight = tensors[name].float()
            rows, cols = weight.shape[0] // 128, weight.shape[1] // 128
            tiles = weight.reshape(rows, 128, cols, 128)
            scales = tiles.abs().amax(dim=(1, 3)) / 448
            tensors[name] = (tiles / scales[:, None, :, None]).reshape(weight.shape).to(
                torch.float8_e4m3fn)
            tensors[name + "_scale_inv"] = scales
        self.assertLoadsAlike(folder, tensors, FP8)


if __name__ == "__main__":
    unittest.main(verbosity=2)
