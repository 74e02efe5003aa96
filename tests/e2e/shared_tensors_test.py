"""One parameter under several names, and tensors that not every model has: what a merge of such
models holds, against numpy, and what its config says."""

import json
import os

import numpy as np

import harness
import stio

EMBEDDING, HEAD, NORM = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"
RANDOM = ("dare_linear", "dare_ties", "della", "della_linear")


class SharedTensorsTest(harness.Case):
    def setUp(self):
        super().setUp()
        self.random = np.random.default_rng(11)

    def values(self, *shape):
        """What bf16 holds exactly."""
        return stio.decode(stio.encode(self.random.standard_normal(shape), "BF16"), "BF16")

    def body(self, layers=2):
        tensors = {EMBEDDING: self.values(40, 16)}
        for i in range(layers):
            tensors["model.layers.%d.self_attn.q_proj.weight" % i] = self.values(16, 16)
            tensors["model.layers.%d.mlp.up_proj.weight" % i] = self.values(24, 16)
        tensors[NORM] = self.values(16)
        return tensors

    def near(self, tensors):
        return {name: stio.decode(stio.encode(x + 0.1 * self.random.standard_normal(x.shape),
                                              "BF16"), "BF16") for name, x in tensors.items()}

    def model(self, name, tensors, **config):
        stio.save(self.path(name), {n: x if isinstance(x, tuple) else ("F32", x)
                                    for n, x in tensors.items()},
                  config=dict({"model_type": "llama", "architectures": ["LlamaForCausalLM"],
                               "num_hidden_layers": 2, "tie_word_embeddings": True,
                               "torch_dtype": "float32"}, **config))
        return self.path(name)

    def merged(self, method, base, models, parameters=None, **top):
        """Output, its report and config."""
        out = self.path("out")
        self.merge(harness.recipe(self.path("r.yaml"), method, base, models, parameters, **top),
                   out, "--overwrite")
        self.ok("verify", out)
        with open(os.path.join(out, "config.json"), encoding="utf-8") as f:
            return stio.Checkpoint(out), harness.report(out), json.load(f)

    def equal(self, got, wanted, names=None):
        self.assertEqual(set(got.tensors), set(wanted.tensors))
        for name in names or wanted.tensors:
            np.testing.assert_array_equal(got.values(name), wanted.values(name), name)

    def test_a_stored_copy_changes_nothing_but_a_warning(self):
        base = self.body()
        experts = [self.near(base), self.near(base)]
        plain, copies = [], []
        for i, tensors in enumerate([base] + experts):
            plain.append(self.model("plain%d" % i, tensors))
            copies.append(self.model("copy%d" % i, dict(tensors, **{HEAD: tensors[EMBEDDING]})))
        for method, parameters in [(m, {"density": 0.5}) for m in RANDOM + ("ties",)] + [
                (m, {"scope": "model", "rank_topk": 2} if m == "resmerge" else {"scope": "model"})
                for m in ("resmerge", "scf_rkl")] + [("task_arithmetic", {})]:
            with self.subTest(method=method):
                wanted, before, _ = self.merged(method, plain[0], plain[1:], parameters)
                values = {n: wanted.values(n) for n in wanted.tensors}
                self.assertEqual(before["warnings"], [])
                for models in (copies, [copies[0]] + plain[1:], [plain[0]] + copies[1:]):
                    got, after, config = self.merged(method, models[0], models[1:], parameters)
                    self.assertEqual(set(got.tensors), set(values))
                    for name, x in values.items():
                        np.testing.assert_array_equal(got.values(name), x, name)
                    self.assertEqual(len(after["warnings"]), 1, after["warnings"])
                    self.assertIn("heads are tied", after["warnings"][0])
                    self.assertEqual(after["groups"], before["groups"])
                    self.assertIs(config["tie_word_embeddings"], True)

    def test_one_model_passes_with_both_names_byte_for_byte(self):
        tensors = self.body()
        tensors[HEAD] = tensors[EMBEDDING]
        model = self.model("m", tensors)
        got, report, _ = self.merged("passthrough", None, [model])
        self.assertEqual(report["warnings"], [])
        self.equal(got, stio.Checkpoint(model))
        # What is asked of the embedding holds for its copy.
        got, _, _ = self.merged("passthrough", None, [model],
                                {"scale": [{"filter": "embed", "value": 2}, {"value": 1}]})
        for name in (EMBEDDING, HEAD):
            np.testing.assert_array_equal(got.values(name), 2 * tensors[EMBEDDING], name)

    def test_another_head_under_a_tied_config_is_kept(self):
        models, tensors = [], []
        for i in range(2):
            tensors.append(dict(self.body(), **{HEAD: self.values(40, 16)}))
            models.append(self.model("m%d" % i, tensors[i]))
        got, report, config = self.merged("passthrough", None, models[:1])
        self.equal(got, stio.Checkpoint(models[0]))
        self.assertIs(config["tie_word_embeddings"], False)
        self.assertEqual(len(report["warnings"]), 1)
        got, report, config = self.merged("linear", None, models, {"weight": 1})
        for name in (EMBEDDING, HEAD):
            np.testing.assert_allclose(got.values(name), (tensors[0][name] + tensors[1][name]) / 2,
                                       rtol=1e-6, atol=1e-7)
        self.assertIs(config["tie_word_embeddings"], False)
        self.assertIn("other values", report["warnings"][0])

    def test_a_tied_expert_may_store_its_head_alone(self):
        base, expert = self.body(), self.body()
        other = {HEAD if name == EMBEDDING else name: x for name, x in expert.items()}
        b, e, o = self.model("b", base), self.model("e", expert), self.model("o", other)
        wanted = {n: stio.Checkpoint(self.merged("dare_ties", b, [e], {"density": 0.5})[0].folder)
                  .values(n) for n in base}
        got, _, _ = self.merged("dare_ties", b, [o], {"density": 0.5})
        for name, x in wanted.items():
            np.testing.assert_array_equal(got.values(name), x, name)

    def test_slices_with_other_ends_untie(self):
        a, b = self.body(), self.body()
        names = [self.model("a", a), self.model("b", b)]
        with open(self.path("r.yaml"), "w", encoding="utf-8") as f:
            json.dump({"merge_method": "passthrough", "slices": [
                {"sources": [{"model": names[0], "layer_range": [0, 2]}]},
                {"sources": [{"model": names[1], "layer_range": [0, 2]}]}]}, f)
        out = self.merge(self.path("r.yaml"), self.path("out"))
        got = stio.Checkpoint(out)
        np.testing.assert_array_equal(got.values(EMBEDDING), a[EMBEDDING])
        np.testing.assert_array_equal(got.values(HEAD), b[EMBEDDING])
        with open(os.path.join(out, "config.json"), encoding="utf-8") as f:
            self.assertIs(json.load(f)["tie_word_embeddings"], False)
        self.assertIn("tie_word_embeddings", harness.report(out)["warnings"][0])

    def test_families_keep_the_name_that_transformers_keeps(self):
        word = "bert.embeddings.word_embeddings.weight"
        for model_type, kept, copies in (
                ("t5", "shared.weight", ("encoder.embed_tokens.weight",
                                         "decoder.embed_tokens.weight", HEAD)),
                ("bart", "model.shared.weight", ("model.encoder.embed_tokens.weight",
                                                 "model.decoder.embed_tokens.weight", HEAD)),
                ("bert", word, ("cls.predictions.decoder.weight",)),
                ("gpt2", "transformer.wte.weight", (HEAD,)),
                ("bloom", "transformer.word_embeddings.weight", (HEAD,)),
                ("gpt_neox", "gpt_neox.embed_in.weight", ("embed_out.weight",)),
                ("whisper", "model.decoder.embed_tokens.weight", ("proj_out.weight",))):
            with self.subTest(model_type=model_type):
                stored = [self.values(40, 16) for _ in range(3)]
                models = [self.model("%s%d" % (model_type, i),
                                     {n: x for n in (kept,) + copies} | {"w": self.values(4, 4)},
                                     model_type=model_type) for i, x in enumerate(stored)]
                got, report, _ = self.merged("task_arithmetic", models[0], models[1:])
                self.assertEqual(set(got.tensors), {kept, "w"})
                np.testing.assert_allclose(got.values(kept), stored[1] + stored[2] - stored[0],
                                           rtol=1e-5, atol=1e-6)
                self.assertEqual(len(report["warnings"]), len(copies))

    def test_what_the_base_alone_has_is_copied_and_counts_nowhere(self):
        base = self.body()
        experts = [self.model("e%d" % i, self.near(base)) for i in range(2)]
        mask = np.where(np.tril(np.ones((1, 1, 8, 8))) > 0, 0, -np.inf)
        extra = {"mtp.fc.weight": ("BF16", self.values(16, 32)),
                 "mtp.layers.0.mlp.up_proj.weight": ("F32", self.values(24, 16)),
                 "model.rotary_emb.inv_freq": ("F32", self.values(4)),
                 "model.layers.0.attn.bias": ("F32", mask),
                 "model.position_ids": ("I64", np.arange(8)[None])}
        plain, more = self.model("plain", base), self.model("more", dict(base, **extra))
        for method, parameters in (("task_arithmetic", {}), ("ties", {"density": 0.5}),
                                   ("resmerge", {"scope": "model", "rank_topk": 2}),
                                   ("scf_rkl", {"scope": "model"}), ("model_stock", {})):
            with self.subTest(method=method):
                wanted, before, _ = self.merged(method, plain, experts, parameters)
                values = {n: wanted.values(n) for n in wanted.tensors}
                got, after, _ = self.merged(method, more, experts, parameters)
                for name, x in values.items():
                    np.testing.assert_array_equal(got.values(name), x, name)
                source = stio.Checkpoint(more)
                for name in extra:
                    self.assertEqual(got.tensors[name].dtype, source.tensors[name].dtype)
                    np.testing.assert_array_equal(got.raw(name), source.raw(name), name)
                    entry = [t for t in after["tensors"] if t["name"] == name]
                    self.assertEqual(entry[0]["mode"], "copy")
                self.assertEqual(after["groups"], before["groups"])
                self.assertEqual(len(after["warnings"]), 1)
                self.assertIn("copied 5 tensors", after["warnings"][0])

    def test_who_lacks_a_kind_counts_as_unchanged(self):
        tower = {"visual.blocks.%d.w" % i: self.values(8, 8) for i in range(2)}
        base = dict(self.body(), **tower)
        one, two = self.near(base), self.near(base)
        lacking = {n: x for n, x in one.items() if n not in tower}
        unchanged = dict(one, **tower)
        models = {n: self.model(n, t) for n, t in (("base", base), ("two", two),
                                                   ("lacking", lacking), ("same", unchanged))}
        for method, parameters in (("task_arithmetic", {}), ("scf_rkl", {"scope": "model"}),
                                   ("dare_ties", {"density": 0.5})):
            with self.subTest(method=method):
                wanted, _, _ = self.merged(method, models["base"], [models["same"], models["two"]],
                                           parameters)
                values = {n: wanted.values(n) for n in wanted.tensors}
                got, report, _ = self.merged(method, models["base"],
                                             [models["lacking"], models["two"]], parameters)
                for name, x in values.items():
                    np.testing.assert_array_equal(got.values(name), x, name)
                self.assertEqual(len(report["warnings"]), 1)
                self.assertIn("counts as unchanged", report["warnings"][0])

    def test_a_lost_shard_and_a_missing_base_are_errors(self):
        base = dict(self.body(), **{"mtp.layers.%d.w" % i: self.values(8) for i in range(2)})
        some = {n: x for n, x in base.items() if n != "mtp.layers.1.w"}
        none = {n: x for n, x in base.items() if not n.startswith("mtp")}
        b, s, n = self.model("b", base), self.model("s", some), self.model("n", none)
        refuse = lambda *a: harness.run("plan", harness.recipe(self.path("r.yaml"), *a))
        self.assertOneError(refuse("task_arithmetic", b, [s]), 2, "mtp.layers.1.w", "lost")
        self.assertOneError(refuse("linear", None, [b, n], {"weight": 1}), 2, "mtp.layers.0.w",
                            "base_model")
        self.ok("plan", harness.recipe(self.path("r.yaml"), "linear", b, [b, n], {"weight": 1}))

    def test_buffers_are_copied_bit_for_bit(self):
        base = self.body()
        mask = np.where(np.tril(np.ones((8, 8))) > 0, 0, -np.inf)
        buffers = {"text.attn_mask": ("F32", mask), "head.logits_bias": ("BF16", mask[:, :1]),
                   "model.rotary_emb.inv_freq": ("F32", self.values(4) / 3),
                   "model.position_ids": ("I64", np.arange(8)[None])}
        counter = "bn.num_batches_tracked"
        models = [self.model("m%d" % i, dict(tensors, **buffers, **{counter: ("I64", np.array(i))}))
                  for i, tensors in enumerate([base, self.near(base), self.near(base)])]
        source = stio.Checkpoint(models[0])
        for method, has_base, parameters in (
                ("linear", False, {"weight": 1}), ("task_arithmetic", True, {}),
                ("dare_ties", True, {"density": 0.5}), ("resmerge", True, {"scope": "model"}),
                ("scf_rkl", True, {"scope": "model"}), ("karcher", False, {})):
            with self.subTest(method=method):
                got, report, _ = self.merged(method, models[0] if has_base else None,
                                             models[1 if has_base else 0:], parameters,
                                             dtype="bfloat16")
                for name in (*buffers, counter):
                    self.assertEqual(got.tensors[name].dtype, source.tensors[name].dtype)
                    np.testing.assert_array_equal(got.raw(name), source.raw(name), name)
                self.assertEqual(len(report["warnings"]), 1, report["warnings"])
                self.assertIn(counter, report["warnings"][0])
        got, report, _ = self.merged("passthrough", None, models[:1])
        self.equal(got, source)
        self.assertEqual(report["warnings"], [])

    def test_what_must_be_equal_is_held_against_each_other_by_plan(self):
        base = dict(self.body(), **{"table": ("I32", np.arange(9)),
                                    "attn_mask": ("F32", np.array([0, -np.inf]))})
        b = self.model("b", base)
        for name, dtype, values in (("table", "I32", np.arange(9)[::-1]),
                                    ("attn_mask", "F32", np.array([0, -1e4]))):
            e = self.model("e", dict(base, **{name: (dtype, values)}))
            result = harness.run("plan", harness.recipe(self.path("r.yaml"), "ties", b, [e],
                                                        {"density": 0.5}))
            self.assertOneError(result, 2, name, "differs", "'%s'" % e)

    def test_a_base_of_weight_zero_gives_config_and_order(self):
        base, other = self.body(), self.body()
        b = self.model("b", base, rope_theta=1.0)
        o = self.model("o", dict(reversed(other.items())), rope_theta=2.0)
        got, report, config = self.merged(
            "linear", b, [o, b], per_model=[{"weight": 1}, {"weight": 0}])
        self.assertEqual(config["rope_theta"], 1.0)
        self.assertEqual([t["name"] for t in report["tensors"]], list(base))
        for name, x in other.items():
            np.testing.assert_array_equal(got.values(name), x, name)


if __name__ == "__main__":
    harness.main()
