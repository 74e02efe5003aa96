"""Models whose tensors have other names than the base's, or are parts of it: `rename` and
`allow_partial`. What is merged is held, byte for byte, against the merge of the same values under
the base's names."""

import json
import os
import re

import numpy as np

import harness
import stio

METHODS = (("task_arithmetic", {"weight": 1}), ("ties", {"density": 0.5}),
           ("della", {"density": 0.5, "epsilon": 0.1}), ("resmerge", {"rank_topk": 1}))


class NamesCase(harness.Case):
    def setUp(self):
        super().setUp()
        self.random = np.random.default_rng(7)

    def values(self, *shape):
        """What bf16 holds exactly."""
        return stio.decode(stio.encode(self.random.standard_normal(shape), "BF16"), "BF16")

    def near(self, tensors):
        return {name: stio.decode(stio.encode(x + 0.1 * self.random.standard_normal(x.shape),
                                              "BF16"), "BF16") for name, x in tensors.items()}

    def decoder(self, prefix="model.", layers=2, head=True):
        tensors = {prefix + "embed_tokens.weight": self.values(40, 16)}
        for i in range(layers):
            for name, shape in (("self_attn.q_proj", (16, 16)), ("mlp.up_proj", (24, 16)),
                                ("mlp.down_proj", (16, 24))):
                tensors["%slayers.%d.%s.weight" % (prefix, i, name)] = self.values(*shape)
            tensors["%slayers.%d.input_layernorm.weight" % (prefix, i)] = self.values(16)
        tensors[prefix + "norm.weight"] = self.values(16)
        if head:
            tensors["lm_head.weight"] = self.values(40, 16)
        return tensors

    def model(self, name, tensors, shards=1, dtype="BF16", **config):
        stio.save(self.path(name), {n: (dtype, x) for n, x in tensors.items()}, shards=shards,
                  config=dict({"model_type": "llama", "architectures": ["LlamaForCausalLM"],
                               "num_hidden_layers": 2, "tie_word_embeddings": False,
                               "torch_dtype": "bfloat16"}, **config))
        return self.path(name)

    def merged(self, method, base, models, parameters=None, **top):
        """Hashes of the output's weights, its report and config."""
        out = self.path("out")
        self.merge(harness.recipe(self.path("r.yaml"), method, base, models, parameters, **top),
                   out, "--overwrite")
        self.ok("verify", out)
        with open(os.path.join(out, "config.json"), encoding="utf-8") as f:
            return harness.hash_output(out), harness.report(out), json.load(f)

    def refused(self, base, models, *texts, method="task_arithmetic", parameters=None, **top):
        recipe = harness.recipe(self.path("r.yaml"), method, base, models,
                                parameters or {"weight": 1}, **top)
        line = self.assertOneError(harness.run("plan", recipe), 2, *texts)
        self.assertOneError(harness.run("merge", recipe, self.path("refused")), 2, *texts)
        self.assertNoOutput(self.path("refused"))
        return line

    def digest(self, *args, **top):
        plan = self.ok("plan", harness.recipe(self.path("r.yaml"), *args, **top), "--json")
        return json.loads(plan.out)["digest"]


class RenameTest(NamesCase):
    RENAMINGS = {
        "a prefix": lambda name: "policy." + name,
        "two wrappers": lambda name: "module._orig_mod." + name,
        "a wrapper within": lambda name: name.replace("mlp.", "_checkpoint_wrapped_module.mlp."),
        "a wrapper of one layer": lambda name: name.replace("layers.1.", "layers.1._orig_mod."),
        "another naming": lambda name: name.replace("model.layers", "transformer.h").replace(
            "model.", "transformer."),
        "a newer layout": lambda name: name.replace("model.", "model.language_model."),
    }

    def test_the_bytes_are_those_of_models_with_the_names_of_the_base(self):
        base = self.decoder()
        experts = [self.near(base), self.near(base)]
        b = self.model("b", base)
        plain = [self.model("e%d" % i, tensors) for i, tensors in enumerate(experts)]
        for method, parameters in METHODS:
            wanted, before, config = self.merged(method, b, plain, parameters)
            for what, rename in self.RENAMINGS.items():
                with self.subTest(method=method, renaming=what):
                    renamed = self.model("r", {rename(n): x for n, x in experts[1].items()}, 3)
                    models = [plain[0], renamed]
                    if method == "task_arithmetic":
                        self.refused(b, models, "model '%s'" % renamed, "`rename: auto`")
                    got, after, changed = self.merged(method, b, models, parameters, rename="auto")
                    self.assertEqual(got, wanted)
                    self.assertEqual(changed, config)
                    self.assertEqual(after["warnings"], before["warnings"])
                    notes = [n for n in after["notes"] if "taken under the names of" in n]
                    self.assertEqual(len(notes), 1, after["notes"])
                    self.assertIn("model '%s'" % renamed, notes[0])
                    self.assertRegex(notes[0], r"\d+ tensors (of model|begin|have)")

    def test_a_base_with_a_prefix(self):
        base = self.decoder("bert.", head=False)
        expert = self.near(base)
        b, e = self.model("b", base), self.model("e", expert)
        wanted, _, _ = self.merged("ties", b, [e], {"density": 0.5})
        bare = self.model("bare", {n[len("bert."):]: x for n, x in expert.items()})
        got, report, _ = self.merged("ties", b, [bare], {"density": 0.5}, rename="auto")
        self.assertEqual(got, wanted)
        self.assertTrue(any("begin with 'bert.'" in note for note in report["notes"]))

    def test_without_a_base_it_is_the_first_model_whose_names_are_taken(self):
        tensors = [self.decoder() for _ in range(3)]
        models = [self.model("m%d" % i, one) for i, one in enumerate(tensors)]
        wanted, _, _ = self.merged("linear", None, models, {"weight": 1})
        renamed = [self.model("r%d" % i, {"policy." + n: x for n, x in one.items()})
                   for i, one in enumerate(tensors)]
        got, report, _ = self.merged("linear", None, models[:1] + renamed[1:], {"weight": 1},
                                     rename="auto")
        self.assertEqual(got, wanted)
        # Wrapped alike, they are told of together.
        self.assertEqual(len(report["notes"]), 1, report["notes"])
        self.assertIn("models '%s', '%s': taken under" % tuple(renamed[1:]), report["notes"][0])
        self.merged("linear", None, renamed[:1] + models[1:], {"weight": 1}, rename="auto")
        self.assertEqual(set(stio.Checkpoint(self.path("out")).tensors),
                         {"policy." + n for n in tensors[0]})

    def test_slices(self):
        base = self.decoder(layers=4)
        other = self.near(base)
        b, e = self.model("b", base), self.model("e", other)
        renamed = self.model("r", {"policy." + n: x for n, x in other.items()})

        def recipe(second, **top):
            body = {"merge_method": "linear", "parameters": {"weight": 1}, "slices": [
                {"sources": [{"model": b, "layer_range": [0, 2]},
                             {"model": second, "layer_range": [2, 4]}]},
                {"sources": [{"model": second, "layer_range": [1, 2]}]}]}
            body.update(top)
            with open(self.path("s.yaml"), "w", encoding="utf-8") as f:
                json.dump(body, f)
            return self.path("s.yaml")

        self.merge(recipe(e), self.path("one"))
        self.merge(recipe(renamed, rename="auto"), self.path("two"))
        self.assertEqual(harness.hash_output(self.path("one")),
                         harness.hash_output(self.path("two")))

    def test_workers_read_what_is_called_otherwise(self):
        base = self.decoder()
        expert = self.near(base)
        b, e = self.model("b", base), self.model("e", expert)
        wanted, _, _ = self.merged("task_arithmetic", b, [e], {"weight": 1})
        renamed = self.model("r", {"policy." + n: x for n, x in expert.items()}, 2)
        recipe = harness.recipe(self.path("r.yaml"), "task_arithmetic", b, [renamed], {"weight": 1},
                                rename="auto")
        with harness.Cluster(2, self.path("state")) as cluster:
            cluster.finish(cluster.submit(recipe, self.path("by_workers")))
        self.assertEqual(harness.hash_output(self.path("by_workers")), wanted)

    def test_what_fits_is_as_it_was_and_the_digest_tells_what_was_asked(self):
        base = self.decoder()
        b, e = self.model("b", base), self.model("e", self.near(base))
        plain, _, _ = self.merged("task_arithmetic", b, [e], {"weight": 1})
        args = ("task_arithmetic", b, [e], {"weight": 1})
        digest = self.digest(*args)
        for top in ({"rename": "auto"}, {"allow_partial": True}):
            got, report, _ = self.merged("task_arithmetic", b, [e], {"weight": 1}, **top)
            self.assertEqual(got, plain)
            self.assertEqual((report["notes"], report["warnings"]), ([], []))
            self.assertNotEqual(self.digest(*args, **top), digest)
        for top in ({"rename": "none"}, {"allow_partial": False}):
            self.assertEqual(self.digest(*args, **top), digest)

    def test_two_renamings_and_two_names_are_refused(self):
        base = self.decoder()
        b = self.model("b", base)
        both = {"actor." + n: x for n, x in self.near(base).items()}
        both.update({"critic." + n: x for n, x in self.near(base).items()})
        self.refused(b, [self.model("both", both)], "two renamings fit", "'actor.'", "'critic.'",
                     rename="auto")
        name = "model.layers.0.mlp.up_proj.weight"
        twice = {"actor." + n: x for n, x in self.near(base).items()}
        twice[name] = base[name]
        self.refused(b, [self.model("twice", twice)], "two names land on one",
                     "'actor.%s' " % name, "'%s'" % name, rename="auto")


class PackedExpertsTest(NamesCase):
    EXPERTS = 4

    def mixture(self):
        tensors = self.decoder()
        for i in range(2):
            for name in list(tensors):
                if name.startswith("model.layers.%d.mlp." % i):
                    del tensors[name]
            mlp = "model.layers.%d.mlp." % i
            tensors[mlp + "gate.weight"] = self.values(self.EXPERTS, 16)
            for e in range(self.EXPERTS):
                for word, shape in (("gate", (10, 16)), ("up", (10, 16)), ("down", (16, 10))):
                    tensors["%sexperts.%d.%s_proj.weight" % (mlp, e, word)] = self.values(*shape)
        return tensors

    def packed(self, tensors, transposed=False):
        out = {n: x for n, x in tensors.items() if ".experts." not in n}
        for i in range(2):
            at = "model.layers.%d.mlp.experts." % i

            def of(word, at=at):
                return np.stack([tensors["%s%d.%s_proj.weight" % (at, e, word)]
                                 for e in range(self.EXPERTS)])

            up, down = np.concatenate([of("gate"), of("up")], axis=1), of("down")
            out[at + "gate_up_proj"] = up.swapaxes(1, 2) if transposed else up
            out[at + "down_proj"] = down.swapaxes(1, 2) if transposed else down
        return out

    def test_packed_experts_are_read_one_by_one(self):
        base = self.mixture()
        experts = [self.near(base), self.near(base)]
        b = self.model("b", base)
        plain = [self.model("e%d" % i, tensors) for i, tensors in enumerate(experts)]
        for method, parameters in METHODS:
            with self.subTest(method=method):
                wanted, before, _ = self.merged(method, b, plain, parameters)
                # In another dtype, which holds the same values, and behind a prefix as well.
                packed = [self.model("p0", self.packed(experts[0]), 2),
                          self.model("p1", {"policy." + n: x for n, x in
                                            self.packed(experts[1]).items()}, dtype="F32")]
                got, after, _ = self.merged(method, b, packed, parameters, rename="auto")
                self.assertEqual(got, wanted)
                self.assertEqual(after["warnings"], before["warnings"])
                self.assertEqual(len(after["notes"]), len(before["notes"]) + 2)
        self.refused(b, packed[:1], "4 tensors pack 24 of experts", "`rename: auto`")

    def test_what_cannot_be_taken_apart_is_refused(self):
        base = self.mixture()
        b = self.model("b", base)
        packed = self.model("p", self.packed(self.near(base)))
        other = self.model("t", self.packed(self.near(base), transposed=True))
        for top in ({}, {"rename": "auto"}):
            self.refused(b, [other], "'model.layers.0.mlp.experts.gate_up_proj' of [4, 16, 20]",
                         "transposed", **top)
            self.refused(packed, [b], "packs its experts", "as base_model", **top)


class PartsTest(NamesCase):
    MULTIMODAL = {"model_type": "qwen2_vl", "architectures": ["Qwen2VLForConditionalGeneration"]}
    TEXT = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}

    def tower(self, prefix="model.visual."):
        tensors = {prefix + "patch_embed.proj.weight": self.values(8, 12)}
        for i in range(6):
            tensors["%sblocks.%d.attn.qkv.weight" % (prefix, i)] = self.values(24, 8)
            tensors["%sblocks.%d.mlp.fc1.weight" % (prefix, i)] = self.values(16, 8)
        tensors[prefix + "merger.mlp.0.weight"] = self.values(16, 8)
        return tensors

    def test_a_text_expert_of_a_multimodal_base(self):
        text, tower = self.decoder("model.language_model."), self.tower()
        expert = self.near(text)
        # The same values as models of text alone.
        tb, te = self.model("tb", text), self.model("te", expert)
        b = self.model("b", dict(tower, **text), **self.MULTIMODAL)
        e = self.model("e", {n.replace("language_model.", ""): x for n, x in expert.items()},
                       **self.TEXT)
        self.refused(b, [e], "model_type is 'qwen2', expected 'qwen2_vl'",
                     "they share 11 of 25 tensors", "lacks 14", "`allow_partial: true`",
                     "`rename: auto`")
        for method, parameters in METHODS:
            with self.subTest(method=method):
                self.merged(method, tb, [te], parameters)
                wanted = stio.Checkpoint(self.path("out"))
                wanted = {n: wanted.values(n) for n in wanted.tensors}
                _, report, config = self.merged(method, b, [e], parameters, rename="auto",
                                                allow_partial=True)
                got = stio.Checkpoint(self.path("out"))
                self.assertEqual(set(got.tensors), set(wanted) | set(tower))
                for name, x in {**wanted, **tower}.items():
                    np.testing.assert_array_equal(got.values(name), x, name)
                self.assertEqual(config["model_type"], "qwen2_vl")
                warnings = "\n".join(report["warnings"])
                self.assertIn("`allow_partial`", warnings)
                self.assertIn("copied 14 tensors bit for bit", warnings)
                self.assertEqual(len(report["warnings"]), 2)

    def test_encoders_with_other_heads(self):
        body = self.decoder("bert.", head=False)
        masked = dict(body, **{"cls.predictions.bias": self.values(40),
                               "cls.predictions.transform.dense.weight": self.values(16, 16)})
        expert = self.near(body)
        classifier = dict(expert, **{"bert.pooler.dense.weight": self.values(16, 16),
                                     "classifier.weight": self.values(3, 16)})
        kind = {"model_type": "bert", "architectures": ["BertForMaskedLM"]}
        b = self.model("b", masked, **kind)
        e = self.model("e", classifier, **dict(
            kind, architectures=["BertForSequenceClassification"]))
        line = self.refused(b, [e], "architectures is", "`allow_partial: true`")
        self.assertRegex(line, r"share 10 of 12 .* lacks 2.* has 2")
        _, report, config = self.merged("task_arithmetic", b, [e], {"weight": 1}, allow_partial=True)
        got = stio.Checkpoint(self.path("out"))
        self.assertEqual(set(got.tensors), set(masked))
        self.assertEqual(config["architectures"], ["BertForMaskedLM"])
        for name in masked:
            wanted = masked[name] if name.startswith("cls.") else None
            if wanted is not None:
                np.testing.assert_array_equal(got.values(name), wanted, name)
        left_out = [w for w in report["warnings"] if "left out 2 tensors" in w]
        self.assertEqual(len(left_out), 1, report["warnings"])
        self.assertIn("1 'bert.pooler.dense.weight', 1 'classifier.weight'", left_out[0])

    def test_damaged_models_are_no_parts(self):
        text, tower = self.decoder(), self.tower("visual.")
        b = self.model("b", dict(tower, **text), **self.MULTIMODAL)
        for gone in ("model.layers.1.", "model.layers.0.mlp.up_proj", "model.norm",
                     "model.embed_tokens"):
            with self.subTest(gone=gone):
                damaged = {n: x for n, x in self.near(text).items() if not n.startswith(gone)}
                e = self.model("e", damaged, **self.TEXT)
                self.refused(b, [e], "tensor '" + gone, "is missing", allow_partial=True)
                self.assertIsNone(re.search("allow_partial", self.refused(b, [e], "")))


if __name__ == "__main__":
    harness.main()
