"""Models that are stored quantised (FP8, MXFP4) as inputs: the merge of what they are decoded to, byte
for byte, whichever of the models it is, and the values of numpy's own evaluation."""

import json
import os

import numpy as np

import harness
import lora_models
import quantised_models as q
import stio
from quantised_case import FP8, METHODS, SHAPES, WEIGHTS, QuantisedCase


class Fp8Test(QuantisedCase):
    def test_the_merge_of_what_it_is_decoded_to(self):
        base = self.body()
        experts = [self.body(base), self.body(base)]
        quantised, decoded = self.fp8("b8", base, shards=3)
        bases = {"8": quantised, "16": self.plain("b16", base), "decoded": self.plain("bd", decoded)}
        e8, of_e8 = self.fp8("e8", experts[0])
        e16 = [self.plain("e%d" % i, x) for i, x in enumerate(experts)]
        ed = self.plain("ed", of_e8)
        for method in METHODS:
            with self.subTest(method=method):
                got = self.same(method, [bases["8"]] + e16, [bases["decoded"]] + e16)
                self.same(method, [bases["16"], e8, e16[1]], [bases["16"], ed, e16[1]])
                self.same(method, [bases["8"], e8, e16[1]], [bases["decoded"], ed, e16[1]])
                with open(os.path.join(got, "config.json"), encoding="utf-8") as f:
                    config = json.load(f)
                self.assertNotIn("quantization_config", config)
                self.assertEqual(config["torch_dtype"], "bfloat16")

    def test_the_values_are_numpys(self):
        base = self.body()
        expert = self.body(base)
        quantised, decoded = self.fp8("b", base)
        e8, of_e8 = self.fp8("e", expert, blocks=(1, None), how="_scale",
                             config={"quant_method": "compressed-tensors"}, scale_type="BF16")
        got = stio.Checkpoint(self.merged("out", "task_arithmetic", quantised, [e8], {"weight": 0.25}))
        for name, x in decoded.items():
            wanted = stio.encode(x + 0.25 * (of_e8[name] - x), "BF16")
            np.testing.assert_array_equal(got.raw(name), wanted, name)
        out = stio.Checkpoint(self.merged("copy", "passthrough", None, [quantised], {}))
        self.assertEqual(set(out.tensors), set(base))
        for name, x in decoded.items():
            self.assertEqual(out.tensors[name].dtype, "BF16")
            np.testing.assert_array_equal(out.values(name), x, name)

    def test_every_way_to_store_scales(self):
        values = self.body()
        activations = {"model.layers.0.self_attn.q_proj.input_scale": ("F32", np.float64(1)),
                       "model.layers.0.self_attn.k_proj.k_scale": ("F32", np.float64(1))}
        ways = {
            "rows": dict(how="_scale", blocks=(1, None), config={"quant_method": "fbgemm_fp8"}),
            "all": dict(how="_scale", blocks=(None, None), flat=True, extra=activations,
                        config={"quant_method": "modelopt", "quant_algo": "FP8"}),
            "f16": dict(how="_scale", blocks=(1, None), scale_type="F16",
                        config={"quant_method": "compressed-tensors"}),
            "e5m2": dict(dtype="F8_E5M2"),
            "ue8m0": dict(how=".scale", scale_type="F8_E8M0"),
            "mxfp8": dict(blocks=(1, 32), config=dict(FP8, weight_block_size=[1, 32])),
            "no config": dict(config={}),
        }
        for name, way in ways.items():
            with self.subTest(name):
                folder, decoded = self.fp8(name.replace(" ", "-"), values, **way)
                out = stio.Checkpoint(self.merged("out", "passthrough", None, [folder], {}))
                self.assertEqual(set(out.tensors), set(values))
                for tensor, x in decoded.items():
                    np.testing.assert_array_equal(out.values(tensor), x, tensor)

    def test_threads_memory_and_cuts_change_nothing(self):
        base, others = self.bodies_of_leaves()
        quantised, _ = self.fp8("b", base)
        experts = [self.fp8("e0", others[0])[0], self.plain("e1", others[1])]
        for method in METHODS:
            with self.subTest(method=method):
                base = None if method == "linear" else quantised
                recipe = harness.recipe(self.path("r.yaml"), method, base, experts, METHODS[method])
                wanted = harness.hash_output(self.merge(recipe, self.path("one-" + method),
                                                        "--threads", "1"))
                self.assertEqual(wanted, harness.hash_output(self.merge(
                    recipe, self.path("four-" + method), "--threads", "4", "--memory", "1GiB")))
                harness.recipe(self.path("r.yaml"), method, base, experts, METHODS[method],
                               split_size="64KiB", unit_size="16MiB")
                self.assertEqual(wanted, harness.hash_output(self.merge(
                    recipe, self.path("cut-" + method))))
        with harness.Cluster(2, self.path("state")) as cluster:
            job = cluster.finish(cluster.submit(recipe, self.path("workers")))
            self.assertEqual(harness.state_of(job), "SUCCEEDED", job)
        self.assertEqual(wanted, harness.hash_output(self.path("workers")))

    def test_adapters_on_a_quantised_base(self):
        base = self.body()
        quantised, decoded = self.fp8("b", base)
        plain = self.plain("bd", decoded)
        adapters = []
        for seed, dora in ((1, False), (2, True)):
            adapter = lora_models.Adapter(seed)
            for name, shape in zip(WEIGHTS, SHAPES):
                adapter.linear(name.removesuffix(".weight"), shape, dora=dora)
            if dora:
                adapter.config["use_dora"] = True
            adapters.append(adapter.save(self.path("a%d" % seed)))
        for method in METHODS:
            with self.subTest(method=method):
                self.same(method, [quantised] + [quantised + "+" + a for a in adapters],
                          [plain] + [plain + "+" + a for a in adapters])

    def test_notes_say_what_is_decoded(self):
        base = self.body()
        folder, _ = self.fp8("b", base)
        adapter = lora_models.Adapter(1).linear(WEIGHTS[0].removesuffix(".weight"), SHAPES[0])
        adapter = folder + "+" + adapter.save(self.path("a"))
        plan = json.loads(self.ok("plan", "--json", harness.recipe(
            self.path("r.yaml"), "task_arithmetic", folder,
            [adapter, self.plain("e", self.body(base))])).out)
        self.assertEqual(plan["warnings"], [])
        # Once, for the base and what adapters are on.
        notes = [n for n in plan["notes"] if "3 tensors stored as F8_E4M3 with scales are decoded" in n]
        self.assertEqual(len(notes), 1, plan["notes"])

    def test_what_is_told_of_how_it_is_stored(self):
        base = self.body()
        folder, _ = self.fp8("b", base)
        rows, _ = self.fp8("e", self.body(base), blocks=(1, None), how="_scale", scale_type="BF16",
                           config={"quant_method": "compressed-tensors"})
        recipe = harness.recipe(self.path("r.yaml"), "task_arithmetic", folder,
                                [rows, self.plain("p", self.body(base))])
        output = self.merge(recipe, self.path("out"))
        wanted = ["FP8 E4M3 with 128x128 blocks (3 tensors), BF16 (2 tensors)",
                  "FP8 E4M3 with a scale a row (3 tensors), BF16 (2 tensors)", "BF16"]
        plan = json.loads(self.ok("plan", recipe, "--json").out)
        for models in (plan["models"], harness.report(output)["models"]):
            self.assertEqual([m["origin"]["stored_as"] for m in models], wanted)
            first, second = [m["origin"]["stored"][0] for m in models[:2]]
            self.assertEqual((first["scales"], first["block"]), ("F32", [128, 128]))
            self.assertEqual((second["scales"], second["block"]), ("BF16", [1, None]))
            self.assertEqual(first["elements"], sum(a * b for a, b in SHAPES))
        text = self.ok("plan", recipe).out
        told = self.ok("report", output).out
        with open(os.path.join(output, "README.md"), encoding="utf-8") as f:
            card = f.read()
        for words in wanted[:2]:
            self.assertIn("  stored as  %s\n" % words, text)
            self.assertIn("  stored as %s\n" % words, told)
            self.assertIn("stored as " + words, card)
        self.assertNotIn("stored as BF16", card)
        self.assertIn(wanted[0], self.ok("report", output, "--html", "-").out)


class Mxfp4Test(QuantisedCase):
    NAMES = ("model.layers.0.mlp.experts.gate_up_proj", "model.layers.0.mlp.experts.down_proj")

    def experts(self, near=None):
        """Of the bfloat16 form: [experts, in, out]."""
        return {name: q.bf16(self.random.standard_normal(shape) * (0.05 if near else 1) +
                             (near[name] if near else 0))
                for name, shape in zip(self.NAMES, ((3, 64, 24), (3, 32, 70)))}

    def model(self, name, values, packed):
        tensors, decoded = {"model.norm.weight": ("BF16", np.ones(64))}, dict(values)
        for n, x in values.items():
            if not packed:
                tensors[n] = ("BF16", x)
                continue
            turned = x.transpose(0, 2, 1)  # [experts, rows, groups * 32]
            codes, scales, exact = q.mxfp4(turned)
            shape = turned.shape[:2] + (turned.shape[2] // 32, 16)
            tensors[n + "_blocks"] = ("U8", q.pairs(codes).reshape(shape))
            tensors[n + "_scales"] = ("U8", scales)
            decoded[n] = q.bf16(exact.transpose(0, 2, 1))
        config = {"quantization_config": {"quant_method": "mxfp4"}} if packed else {}
        return self.save(name, tensors, model_type="gpt_oss",
                         architectures=["GptOssForCausalLM"], **config), decoded

    def test_a_base_of_blocks_and_transposed_experts(self):
        base = self.experts()
        packed, decoded = self.model("b4", base, True)
        # Twice: a model that is the base by its place is none of the experts.
        plain, expert = [self.model(name, decoded, False)[0] for name in ("bd", "ed")]
        experts = [self.model("e%d" % i, self.experts(base), False)[0] for i in range(2)]
        for method in METHODS:
            with self.subTest(method=method):
                self.same(method, [packed] + experts, [plain] + experts)
                self.same(method, [plain, packed, experts[0]], [plain, expert, experts[0]])
        out = stio.Checkpoint(self.merged("out", "passthrough", None, [packed], {}))
        for name, x in decoded.items():
            np.testing.assert_array_equal(out.values(name), x, name)

    def test_pairs_of_deepseek(self):
        values = {"layers.0.ffn.experts.%d.w1.weight" % e: self.random.standard_normal((5, 96))
                  for e in range(2)}
        tensors, decoded = {"norm.weight": ("BF16", np.ones(96))}, {}
        for n, x in values.items():
            codes, scales, exact = q.mxfp4(x)
            tensors[n] = ("I8", q.pairs(codes).view(np.int8))
            tensors[n.replace(".weight", ".scale")] = ("F8_E8M0", scales)
            decoded[n] = q.bf16(exact)
        folder = self.save("v4", tensors, model_type="deepseek_v4", quantization_config=FP8)
        out = stio.Checkpoint(self.merged("out", "passthrough", None, [folder], {}))
        self.assertEqual(set(out.tensors), set(decoded) | {"norm.weight"})
        for name, x in decoded.items():
            np.testing.assert_array_equal(out.values(name), x, name)


    def test_what_is_told_of_how_they_are_stored(self):
        packed, _ = self.model("b4", self.experts(), True)
        plan = json.loads(self.ok("plan", "--json", harness.recipe(
            self.path("r.yaml"), "passthrough", None, [packed])).out)
        self.assertEqual(plan["models"][0]["origin"]["text"],
                         "stored as MXFP4 with blocks of 32 (2 tensors), BF16 (1 tensor)")


class DamagedTest(QuantisedCase):
    """What shows only when it is read."""

    def refused(self, change, *parts):
        name = WEIGHTS[0]
        codes, scales, _ = q.fp8(self.body()[name])
        codes, scales = codes.copy(), scales.astype(np.float64)
        change(codes, scales)
        folder = self.save("m", {name: ("F8_E4M3", codes), name + "_scale_inv": ("F32", scales),
                                 "model.norm.weight": ("BF16", np.ones(130))},
                           quantization_config=FP8)
        recipe = harness.recipe(self.path("r.yaml"), "linear", None, [folder], {"weight": 1})
        result = harness.run("merge", recipe, self.path("out"), "--overwrite")
        self.assertNotEqual(result.code, 0)
        for part in ("m/model.safetensors", name) + parts:
            self.assertIn(part, result.err)
        self.assertEqual(harness.weight_files(self.path("out")), [])

    def test_values_and_scales_that_are_no_numbers(self):
        def code(codes, scales):
            codes[3, 5] = 0x7F
        self.refused(code, "element %d is NaN" % (3 * 130 + 5))
        for value, what in ((np.nan, "NaN"), (np.inf, "infinite"), (-1, "negative"), (0, "zero")):
            def scale(codes, scales):
                scales[1, 0] = value
            self.refused(scale, "scale 2 of tensor", what)


if __name__ == "__main__":
    harness.main()
