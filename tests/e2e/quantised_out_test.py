"""`out_dtype: source`: outputs in the form that the base is stored in (FP8, MXFP4). What comes out is
held against the rules of FORMAT.md, evaluated in numpy on the values that the same merge gives in
float32; what is the base's is the base's, byte for byte."""

import json
import os

import numpy as np

import harness
import lora_models
import quantised_models as q
import stio
from quantised_case import FP8, METHODS, SHAPES, WEIGHTS, QuantisedCase

SOURCE = {"out_dtype": "source"}


class SourceCase(QuantisedCase):
    def merged_to(self, out, method, base, models, parameters=None, args=(), **keys):
        recipe = harness.recipe(self.path("r.yaml"), method, base, models,
                                METHODS[method] if parameters is None else parameters, **keys)
        folder = self.merge(recipe, self.path(out), "--overwrite", *args)
        self.ok("verify", folder)
        return stio.Checkpoint(folder)

    def assert_same_tensors(self, got, wanted):
        """Names, dtypes, shapes and bytes."""
        self.assertEqual({n: (e.dtype, e.shape) for n, e in got.tensors.items()},
                         {n: (e.dtype, e.shape) for n, e in wanted.tensors.items()})
        for name in wanted.tensors:
            np.testing.assert_array_equal(got.raw(name), wanted.raw(name), name)

    def config(self, out):
        with open(os.path.join(out.folder, "config.json"), encoding="utf-8") as f:
            return json.load(f)


# Every way to store scales, as quantised_test has them.
WAYS = {
    "blocks": dict(),
    "rows": dict(how="_scale", blocks=(1, None), config={"quant_method": "fbgemm_fp8"}),
    "all": dict(how="_scale", blocks=(None, None), flat=True,
                config={"quant_method": "modelopt", "quant_algo": "FP8"}),
    "columns": dict(how="_scale", blocks=(None, 1), config={"quant_method": "fbgemm_fp8"}),
    "bf16": dict(how="_scale", blocks=(1, None), scale_type="BF16",
                 config={"quant_method": "compressed-tensors"}),
    "e5m2": dict(dtype="F8_E5M2"),
    "ue8m0": dict(how=".scale", scale_type="F8_E8M0"),
    "powers": dict(config=dict(FP8, scale_fmt="ue8m0")),
    "mxfp8": dict(blocks=(1, 32), config=dict(FP8, weight_block_size=[1, 32])),
}


class Fp8OutTest(SourceCase):
    def wanted(self, name, merged, base, way):
        scales = name.replace(".weight", ".scale") if way.get("how") == ".scale" else \
            name + way.get("how", "_scale_inv")
        dtype, scale_type = way.get("dtype", "F8_E4M3"), way.get("scale_type", "F32")
        codes, stored = q.written(merged, base.raw(name), base.raw(scales),
                                  way.get("blocks", (128, 128)), dtype, scale_type,
                                  way.get("config", {}).get("scale_fmt") == "ue8m0")
        return {name: codes, scales: stored}

    def test_by_the_rules_in_every_form(self):
        values = self.body()
        experts = [self.plain("e%d" % i, self.body(values)) for i in range(2)]
        # One that has changed one matrix alone, and of that a corner.
        for name, way in WAYS.items():
            with self.subTest(name):
                folder, decoded = self.fp8("b-" + name, values, shards=2, **way)
                corner = {n: x.copy() for n, x in decoded.items()}
                corner[WEIGHTS[0]][3:5, 7:9] += 0.5
                near = self.plain("near", {n: stio.decode(stio.encode(x, "BF16"), "BF16")
                                           for n, x in corner.items()})
                base = stio.Checkpoint(folder)
                for models in (experts, [near]):
                    got = self.merged_to("got", "task_arithmetic", folder, models, **SOURCE)
                    exact = self.merged_to("exact", "task_arithmetic", folder, models,
                                           out_dtype="float32")
                    self.assertEqual({n: (e.dtype, e.shape) for n, e in got.tensors.items()},
                                     {n: (e.dtype, e.shape) for n, e in base.tensors.items()})
                    for weight in WEIGHTS:
                        merged = exact.raw(weight)
                        for tensor, bytes_ in self.wanted(weight, merged, base, way).items():
                            np.testing.assert_array_equal(got.raw(tensor), bytes_, tensor)
                    config, was = self.config(got), self.config(base)
                    self.assertEqual(config.get("quantization_config"),
                                     was.get("quantization_config"))
                    self.assertEqual(config["torch_dtype"], "bfloat16")
                # Of the last: what the expert left alone is the base's.
                np.testing.assert_array_equal(got.raw(WEIGHTS[2]), base.raw(WEIGHTS[2]))
                told = {t["name"]: t for t in harness.report(got.folder)["tensors"]}
                self.assertEqual(told[WEIGHTS[2]]["blocks_kept"], told[WEIGHTS[2]]["blocks"])
                self.assertEqual(told[WEIGHTS[2]]["rounding_error"], 0)
                self.assertLess(told[WEIGHTS[0]]["blocks_kept"], told[WEIGHTS[0]]["blocks"])
                error = told[WEIGHTS[0]]["rounding_error"]
                self.assertGreater(error, 0)
                self.assertLess(error, 0.1)
                self.assertEqual(told[WEIGHTS[0]]["dtype"], way.get("dtype", "F8_E4M3"))

    def test_a_base_with_itself_is_the_base(self):
        values = self.body()
        for name, way in WAYS.items():
            with self.subTest(name):
                folder, _ = self.fp8("b-" + name, values, shards=3, **way)
                base = stio.Checkpoint(folder)
                self.assert_same_tensors(
                    self.merged_to("one", "passthrough", None, [folder], {}, **SOURCE), base)
                copy, _ = self.fp8("c-" + name, values, **way)
                self.assert_same_tensors(
                    self.merged_to("two", "linear", None, [folder, copy], {"weight": 0.5},
                                   max_shard_size="20KB", **SOURCE), base)
                for method in ("ties", "resmerge"):
                    self.assert_same_tensors(
                        self.merged_to("three", method, folder, [copy], **SOURCE), base)

    def test_the_reported_error_is_what_was_lost(self):
        values = self.body()
        folder, _ = self.fp8("b", values)
        expert = self.plain("e", self.body(values))
        got = self.merged_to("got", "task_arithmetic", folder, [expert], **SOURCE)
        exact = self.merged_to("exact", "task_arithmetic", folder, [expert], out_dtype="float32")
        told = {t["name"]: t for t in harness.report(got.folder)["tensors"]}
        for name in WEIGHTS:
            scales = got.raw(name + "_scale_inv")
            read = q.TABLES["F8_E4M3"][got.raw(name)].astype(np.float64) * \
                q.spread(scales, got.raw(name).shape, 128, 128)
            merged = exact.values(name)
            error = np.sqrt(np.sum((read - merged) ** 2) / np.sum(merged ** 2))
            self.assertAlmostEqual(told[name]["rounding_error"], error, delta=1e-9)

    def test_other_tensors_are_as_in_the_base(self):
        values = self.body()
        extra = {"model.layers.0.self_attn.q_proj.input_scale": ("F32", np.float64(0.25)),
                 "model.layers.0.self_attn.rotary_emb.inv_freq": ("F32", np.ones(5)),
                 "model.layers.0.self_attn.k_proj.k_scale": ("BF16", np.float64(1.5))}
        way = dict(how="_scale", blocks=(None, None), flat=True, extra=extra,
                   config={"quant_method": "modelopt", "quant_algo": "FP8"})
        folder, _ = self.fp8("b", values, **way)
        expert = self.plain("e", self.body(values))
        base = stio.Checkpoint(folder)
        got = self.merged_to("got", "task_arithmetic", folder, [expert], **SOURCE)
        self.assertEqual({n: (e.dtype, e.shape) for n, e in got.tensors.items()},
                         {n: (e.dtype, e.shape) for n, e in base.tensors.items()})
        for name in ("model.layers.0.self_attn.q_proj.input_scale",
                     "model.layers.0.self_attn.k_proj.k_scale"):
            np.testing.assert_array_equal(got.raw(name), base.raw(name), name)

    def test_what_the_base_alone_has_is_copied_as_it_is(self):
        """Layers that predict further tokens, which experts were trained without."""
        values = self.body()
        own = "model.layers.2.eh_proj.weight"
        codes, scales, _ = q.fp8(self.random.standard_normal((70, 130)))
        folder, _ = self.fp8("b", values, extra={
            own: ("F8_E4M3", codes), own + "_scale_inv": q.stored("F32", scales)})
        base = stio.Checkpoint(folder)
        expert = self.plain("e", self.body(values))
        got = self.merged_to("got", "task_arithmetic", folder, [expert], **SOURCE)
        self.assertEqual({n: (e.dtype, e.shape) for n, e in got.tensors.items()},
                         {n: (e.dtype, e.shape) for n, e in base.tensors.items()})
        for name in (own, own + "_scale_inv"):
            np.testing.assert_array_equal(got.raw(name), base.raw(name), name)

    def test_threads_memory_cuts_and_workers_change_nothing(self):
        base, others = self.bodies_of_leaves()
        folder, _ = self.fp8("b", base, config=dict(FP8, scale_fmt="ue8m0"))
        models = [self.plain("e", others[0]), self.fp8("e8", others[1])[0]]
        for method in ("linear", "ties", "resmerge"):
            with self.subTest(method=method):
                of = None if method == "linear" else folder
                inputs = [folder] + models if of is None else models
                one = self.merged_to("one", method, of, inputs, args=("--threads", "1"), **SOURCE)
                for out, keys, args in (
                        ("four", {}, ("--threads", "4", "--memory", "1GiB")),
                        ("cut", {"split_size": "64KiB", "unit_size": "16KiB",
                                 "max_shard_size": "300KB"}, ())):
                    other = self.merged_to(out, method, of, inputs, args=args, **SOURCE, **keys)
                    self.assert_same_tensors(other, one)
        recipe = harness.recipe(self.path("r.yaml"), method, folder, models, METHODS[method],
                                split_size="64KiB", unit_size="16KiB", **SOURCE)
        with harness.Cluster(2, self.path("state")) as cluster:
            job = cluster.finish(cluster.submit(recipe, self.path("workers")))
            self.assertEqual(harness.state_of(job), "SUCCEEDED", job)
        self.assert_same_tensors(stio.Checkpoint(self.path("workers")), one)

    def test_what_is_written_is_read_as_it_was_meant(self):
        values = self.body()
        folder, _ = self.fp8("b", values)
        got = self.merged_to("got", "task_arithmetic", folder, [self.plain("e", self.body(values))],
                             **SOURCE)
        plain = self.merged_to("plain", "passthrough", None, [got.folder], {})
        self.assert_same_tensors(
            self.merged_to("again", "passthrough", None, [got.folder], {}, **SOURCE), got)
        for name in WEIGHTS:
            scales = q.spread(got.raw(name + "_scale_inv"), got.raw(name).shape, 128, 128)
            read = (q.TABLES["F8_E4M3"][got.raw(name)] * scales).astype(np.float32)
            np.testing.assert_array_equal(plain.raw(name), stio.f32_to_bf16(read), name)

    def test_an_adapter_baked_into_its_base(self):
        folder, _ = self.fp8("b", self.body())
        adapter = lora_models.Adapter(1).linear(WEIGHTS[0].removesuffix(".weight"), SHAPES[0])
        adapter = adapter.save(self.path("a"))
        bake = ("bake", "%s+%s" % (folder, adapter))
        self.ok(*bake, self.path("got"), "--out-dtype", "source")
        self.ok(*bake, self.path("exact"), "--out-dtype", "float32")
        self.ok(*bake, self.path("plain"), "--out-dtype", "bfloat16")
        base, got = stio.Checkpoint(folder), stio.Checkpoint(self.path("got"))
        exact = stio.Checkpoint(self.path("exact")).raw(WEIGHTS[0])
        for tensor, bytes_ in self.wanted(WEIGHTS[0], exact, base, {}).items():
            np.testing.assert_array_equal(got.raw(tensor), bytes_, tensor)
        for name in set(base.tensors) - {WEIGHTS[0], WEIGHTS[0] + "_scale_inv"}:
            np.testing.assert_array_equal(got.raw(name), base.raw(name), name)
        # What it is can be told of the full form alone.
        told = ("--adapter", adapter, "--base", folder)
        self.ok("verify", self.path("plain"), *told)
        self.assertOneError(harness.run("verify", self.path("got"), *told), 3, WEIGHTS[0],
                            "--out-dtype bfloat16")

    def test_plans_say_what_it_does(self):
        values = self.body()
        plain = self.plain("p", values)
        expert = self.plain("e", self.body(values))
        plan = json.loads(self.ok("plan", "--json", harness.recipe(
            self.path("r.yaml"), "task_arithmetic", plain, [expert], METHODS["task_arithmetic"],
            **SOURCE)).out)
        self.assertTrue([n for n in plan["notes"] if "out_dtype" in n and "changes nothing" in n],
                        plan["notes"])
        folder, _ = self.fp8("b", values)
        plan = json.loads(self.ok("plan", "--json", harness.recipe(
            self.path("r.yaml"), "task_arithmetic", folder, [expert], METHODS["task_arithmetic"],
            **SOURCE)).out)
        dtypes = {t["name"]: t["dtype"] for t in plan["tensors"]}
        self.assertEqual({dtypes[name] for name in WEIGHTS}, {"F8_E4M3"})
        self.assertEqual(dtypes["model.norm.weight"], "BF16")


class Mxfp4OutTest(SourceCase):
    NAMES = ("model.layers.0.mlp.experts.gate_up_proj", "model.layers.0.mlp.experts.down_proj")

    def experts(self, near=None):
        return {name: q.bf16(self.random.standard_normal(shape) * (0.05 if near else 1) +
                             (near[name] if near else 0))
                for name, shape in zip(self.NAMES, ((3, 64, 24), (3, 32, 70)))}

    def packed(self, name, values):
        tensors, codes_of = {"model.norm.weight": ("BF16", np.ones(64))}, {}
        for n, x in values.items():
            turned = x.transpose(0, 2, 1)
            codes, scales, _ = q.mxfp4(turned)
            codes_of[n] = codes, scales
            shape = turned.shape[:2] + (turned.shape[2] // 32, 16)
            tensors[n + "_blocks"] = ("U8", q.pairs(codes).reshape(shape))
            tensors[n + "_scales"] = ("U8", scales)
        return self.save(name, tensors, model_type="gpt_oss", architectures=["GptOssForCausalLM"],
                         quantization_config={"quant_method": "mxfp4"}), codes_of

    def test_blocks_of_gpt_oss(self):
        values = self.experts()
        folder, codes_of = self.packed("b", values)
        base = stio.Checkpoint(folder)
        self.assert_same_tensors(
            self.merged_to("self", "passthrough", None, [folder], {}, **SOURCE), base)
        plain = {n: ("BF16", x) for n, x in self.experts(values).items()}
        expert = self.save("e", dict(plain, **{"model.norm.weight": ("BF16", np.ones(64))}),
                           model_type="gpt_oss", architectures=["GptOssForCausalLM"])
        for method in ("task_arithmetic", "ties", "resmerge"):
            with self.subTest(method=method):
                got = self.merged_to("got", method, folder, [expert], **SOURCE)
                exact = self.merged_to("exact", method, folder, [expert], out_dtype="float32")
                self.assertEqual({n: (e.dtype, e.shape) for n, e in got.tensors.items()},
                                 {n: (e.dtype, e.shape) for n, e in base.tensors.items()})
                for n, (codes, scales) in codes_of.items():
                    merged = np.ascontiguousarray(exact.raw(n).transpose(0, 2, 1))
                    codes, scales = q.written(merged, codes, scales, (1, 32), "F4", "U8")
                    shape = got.tensors[n + "_blocks"].shape
                    np.testing.assert_array_equal(got.raw(n + "_blocks"),
                                                  q.pairs(codes).reshape(shape), n)
                    np.testing.assert_array_equal(got.raw(n + "_scales"), scales, n)
        self.assertEqual(self.config(got)["quantization_config"], {"quant_method": "mxfp4"})
        told = {t["name"]: t for t in harness.report(got.folder)["tensors"]}
        self.assertEqual(told[self.NAMES[0]]["dtype"], "MXFP4")
        self.assertEqual(told[self.NAMES[0]]["blocks"], 3 * 24 * 2)

    def test_pairs_of_deepseek(self):
        names = ["layers.0.ffn.experts.%d.w1.weight" % e for e in range(2)]
        values = {n: q.bf16(self.random.standard_normal((5, 96))) for n in names}
        tensors, codes_of = {"norm.weight": ("BF16", np.ones(96))}, {}
        for n, x in values.items():
            codes, scales, _ = q.mxfp4(x)
            codes_of[n] = codes, scales
            tensors[n] = ("I8", q.pairs(codes).view(np.int8))
            tensors[n.replace(".weight", ".scale")] = ("F8_E8M0", scales)
        folder = self.save("v4", tensors, model_type="deepseek_v4", quantization_config=FP8)
        base = stio.Checkpoint(folder)
        self.assert_same_tensors(
            self.merged_to("self", "passthrough", None, [folder], {}, **SOURCE), base)
        near = {n: ("BF16", x + 0.1 * self.random.standard_normal(x.shape))
                for n, x in values.items()}
        expert = self.save("e", dict(near, **{"norm.weight": ("BF16", np.ones(96))}),
                           model_type="deepseek_v4")
        got = self.merged_to("got", "task_arithmetic", folder, [expert], **SOURCE)
        exact = self.merged_to("exact", "task_arithmetic", folder, [expert], out_dtype="float32")
        for n, (codes, scales) in codes_of.items():
            codes, scales = q.written(exact.raw(n), codes, scales, (1, 32), "F4", "F8_E8M0")
            np.testing.assert_array_equal(got.raw(n), q.pairs(codes).view(np.int8), n)
            np.testing.assert_array_equal(got.raw(n.replace(".weight", ".scale")), scales, n)


class StackTest(SourceCase):
    def stack(self, *models):
        slices = [{"sources": [{"model": m, "layer_range": [0, 2]}]} for m in models]
        with open(self.path("s.yaml"), "w", encoding="utf-8") as f:
            json.dump({"merge_method": "passthrough", "slices": slices, "out_dtype": "source"}, f)
        return harness.run("merge", self.path("s.yaml"), self.path("stack"), "--overwrite")

    def layers(self, name, fp8=True, **way):
        shapes = {"model.layers.%d.mlp.up_proj.weight" % i: (129, 130) for i in range(2)}
        values = {n: q.bf16(self.random.standard_normal(s)) for n, s in shapes.items()}
        tensors = {"model.embed_tokens.weight": ("BF16", np.ones((4, 130)))}
        for n, x in values.items():
            if not fp8:
                tensors[n] = ("BF16", x)
                continue
            codes, stored, _ = q.fp8(x)
            tensors[n] = ("F8_E4M3", codes)
            tensors[n + "_scale_inv"] = q.stored("F32", stored)
        config = {"quantization_config": FP8} if fp8 else {}
        return self.save(name, tensors, num_hidden_layers=2, **config)

    def test_layers_keep_their_own_bytes(self):
        one, two = self.layers("one"), self.layers("two")
        result = self.stack(one, two)
        self.assertEqual(result.code, 0, result.err)
        got = stio.Checkpoint(self.path("stack"))
        for layer in range(4):
            of = stio.Checkpoint(one if layer < 2 else two)
            for end in ("", "_scale_inv"):
                np.testing.assert_array_equal(
                    got.raw("model.layers.%d.mlp.up_proj.weight%s" % (layer, end)),
                    of.raw("model.layers.%d.mlp.up_proj.weight%s" % (layer % 2, end)))

    def test_layers_of_another_form_are_refused(self):
        result = self.stack(self.layers("one"), self.layers("plain", fp8=False))
        self.assertNotEqual(result.code, 0)
        for words in ("out_dtype", "another form", "out_dtype: bfloat16"):
            self.assertIn(words, result.err)


if __name__ == "__main__":
    harness.main()
