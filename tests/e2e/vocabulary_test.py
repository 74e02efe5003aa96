"""Models whose vocabularies differ: rows of embeddings, heads and their biases go by token, not by
number; rows that a model lacks come from those that have them; and the output's rows, its
tokenizer and its config.json fit together. Held against numpy in float64."""

import json
import os

import numpy as np

import harness
import stio

HIDDEN = 8
LETTERS = [chr(97 + i) for i in range(10)]


def numbered(tokens):
    return {token: number for number, token in enumerate(tokens)}


def load(folder):
    checkpoint = stio.Checkpoint(folder)
    return {name: checkpoint.values(name) for name in checkpoint.tensors}


class VocabularyCase(harness.Case):
    """Each model: its tokens in the order of their rows, behind them `padding` rows of none."""

    def model(self, name, tokens, seed, padding=0, base=None, dtype="F32", tokenizer=True,
              tied=False, bias=False, added=()):
        """`base`: another model's rows by token, from which this one's are a small way off."""
        random = np.random.default_rng(seed)
        rows = len(tokens) + padding
        out = {}
        for tensor in ["model.embed_tokens.weight"] + ([] if tied else ["lm_head.weight"]):
            values = random.standard_normal((rows, HIDDEN)) * 0.1
            if base is not None:
                for row, token in enumerate(tokens):
                    if token in base["numbers"]:
                        values[row] = (base["tensors"][tensor][base["numbers"][token]] +
                                       random.standard_normal(HIDDEN) * 0.01)
            out[tensor] = values
        if bias:
            out["lm_head.bias"] = random.standard_normal(rows) * 0.1
        for tensor, shape in (("model.layers.0.self_attn.q_proj.weight", (HIDDEN, HIDDEN)),
                              ("model.norm.weight", (HIDDEN,))):
            out[tensor] = random.standard_normal(shape) * 0.1
        folder = self.path(name)
        os.makedirs(folder, exist_ok=True)
        stio.save(folder, {key: (dtype, value) for key, value in out.items()}, config={
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN,
            "num_hidden_layers": 1, "intermediate_size": 2 * HIDDEN, "num_attention_heads": 2,
            "vocab_size": rows, "tie_word_embeddings": tied, "eos_token_id": 0})
        if tokenizer:
            special = [{"id": tokens.index(token), "content": token, "single_word": False,
                        "lstrip": False, "rstrip": False, "normalized": False, "special": True}
                       for token in added]
            with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as f:
                json.dump({"version": "1.0", "added_tokens": special, "model": {
                    "type": "WordLevel", "unk_token": tokens[0], "vocab": numbered(
                        [token for token in tokens if token not in added])}}, f)
        return {"folder": folder, "numbers": numbered(tokens), "tensors": load(folder)}

    def merge_of(self, base, experts, *lines, method="task_arithmetic", args=(), out="out"):
        text = "merge_method: %s\nbase_model: %s\nmodels:\n" % (method, base["folder"])
        for expert in experts:
            text += "  - {model: %s, parameters: {weight: 0.5}}\n" % expert["folder"]
        with open(self.path("r.yaml"), "w", encoding="utf-8") as f:
            f.write(text + "".join(line + "\n" for line in lines))
        self.result = self.ok("merge", self.path("r.yaml"), self.path(out), "--overwrite", *args)
        self.ok("verify", self.path(out))
        return load(self.path(out))

    def row(self, model, tensor, token):
        return model["tensors"][tensor][model["numbers"][token]]

    def expected(self, base, experts, tensor, token):
        """base + 0.5 * sum of differences; what a model lacks is the base's, else the mean."""
        have = [m for m in [base] + experts if token in m["numbers"]]
        fill = (self.row(base, tensor, token) if token in base["numbers"] else
                sum(self.row(m, tensor, token) for m in have) / len(have))
        rows = [self.row(m, tensor, token) if token in m["numbers"] else fill
                for m in [base] + experts]
        return rows[0] + 0.5 * sum(row - rows[0] for row in rows[1:])

    def check(self, merged, tokens, base, experts, tensors=("model.embed_tokens.weight",
                                                            "lm_head.weight"), tolerance=1e-6):
        for tensor in tensors:
            for number, token in enumerate(tokens):
                np.testing.assert_allclose(merged[tensor][number],
                                           self.expected(base, experts, tensor, token),
                                           atol=tolerance, err_msg="%s %s" % (tensor, token))

    def config(self, folder="out"):
        with open(self.path(folder, "config.json"), encoding="utf-8") as f:
            return json.load(f)

    def tokens(self, folder="out"):
        with open(self.path(folder, "tokenizer.json"), encoding="utf-8") as f:
            tokenizer = json.load(f)
        found = dict(tokenizer["model"]["vocab"])
        found.update({token["content"]: token["id"] for token in tokenizer["added_tokens"]})
        return found


class RowsTest(VocabularyCase):
    def test_an_expert_with_tokens_at_the_end(self):
        base = self.model("base", LETTERS, 1)
        more = self.model("more", LETTERS + ["<x>", "<y>"], 2, base=base)
        same = self.model("same", LETTERS, 3, base=base)
        merged = self.merge_of(base, [more, same])
        self.assertEqual(merged["lm_head.weight"].shape, (10, HIDDEN))
        self.check(merged, LETTERS, base, [more, same])
        self.assertIn("'<x>'", self.result.err)
        self.assertIn("left out", self.result.err)
        self.assertEqual(self.config()["vocab_size"], 10)

    def test_a_base_with_more_tokens_keeps_them(self):
        base = self.model("base", LETTERS + ["<x>", "<y>"], 1)
        less = self.model("less", LETTERS, 2, base=base)
        merged = self.merge_of(base, [less])
        self.check(merged, LETTERS + ["<x>", "<y>"], base, [less])
        for row in (10, 11):
            np.testing.assert_array_equal(merged["lm_head.weight"][row],
                                          base["tensors"]["lm_head.weight"][row])

    def test_without_tokenizers_rows_go_by_number(self):
        base = self.model("base", LETTERS, 1, tokenizer=False)
        more = self.model("more", LETTERS + ["<x>"], 2, base=base, tokenizer=False)
        merged = self.merge_of(base, [more])
        self.check(merged, LETTERS, base, [more])
        self.assertIn("by their numbers", self.result.err)

    def test_padding_on_either_side(self):
        for padding in ((0, 6), (6, 0), (2, 6)):
            base = self.model("base", LETTERS, 1, padding=padding[0])
            more = self.model("more", LETTERS, 2, padding=padding[1], base=base)
            merged = self.merge_of(base, [more])
            self.assertEqual(merged["lm_head.weight"].shape, (10 + padding[0], HIDDEN))
            self.check(merged, LETTERS, base, [more])

    def test_other_numbers_are_matched_by_token(self):
        base = self.model("base", LETTERS, 1)
        turned = self.model("turned", list(reversed(LETTERS)) + ["<x>"], 2, base=base)
        merged = self.merge_of(base, [turned])
        self.check(merged, LETTERS, base, [turned])

    def test_equal_sizes_are_matched_by_token_where_a_tokenizer_is_asked_for(self):
        base = self.model("base", LETTERS, 1)
        turned = self.model("turned", list(reversed(LETTERS)), 2, base=base)
        merged = self.merge_of(base, [turned], "tokenizer_source: base")
        self.check(merged, LETTERS, base, [turned])
        # Without, by their numbers, as before: the report says what differs.
        merged = self.merge_of(base, [turned])
        embedding = "model.embed_tokens.weight"
        np.testing.assert_allclose(
            merged[embedding],
            0.5 * (base["tensors"][embedding] + turned["tensors"][embedding]), atol=1e-6)
        self.assertIn("token", self.result.err)

    def test_tied_heads_and_biases(self):
        base = self.model("base", LETTERS, 1, tied=True)
        more = self.model("more", LETTERS + ["<x>"], 2, base=base, tied=True)
        merged = self.merge_of(base, [more])
        self.check(merged, LETTERS, base, [more], ["model.embed_tokens.weight"])
        base = self.model("base", LETTERS, 1, bias=True)
        more = self.model("more", LETTERS + ["<x>"], 2, base=base, bias=True)
        merged = self.merge_of(base, [more])
        self.check(merged, LETTERS, base, [more],
                   ["model.embed_tokens.weight", "lm_head.weight", "lm_head.bias"])

    def test_every_method_takes_them(self):
        base = self.model("base", LETTERS, 1)
        more = self.model("more", LETTERS + ["<x>"], 2, base=base)
        other = self.model("other", ["<y>"] + LETTERS, 3, base=base)
        for method in ("ties", "dare_ties", "resmerge", "scf_rkl", "sce", "breadcrumbs"):
            merged = self.merge_of(base, [more, other], "parameters: {density: 0.5}"
                                   if method != "resmerge" else "", method=method)
            self.assertEqual(merged["lm_head.weight"].shape, (10, HIDDEN), method)
            self.assertTrue(np.isfinite(merged["lm_head.weight"]).all(), method)

    def test_other_sides_that_differ_are_still_refused(self):
        base = self.model("base", LETTERS, 1)
        more = self.model("more", LETTERS, 2, base=base)
        tensors = dict(more["tensors"])
        tensors["model.norm.weight"] = np.zeros(HIDDEN + 1)
        with open(os.path.join(more["folder"], "config.json"), encoding="utf-8") as f:
            config = json.load(f)
        stio.save(more["folder"], {k: ("F32", v) for k, v in tensors.items()}, config=config)
        with open(self.path("r.yaml"), "w", encoding="utf-8") as f:
            f.write("merge_method: linear\nmodels: [%s, %s]\nparameters: {weight: 1}\n"
                    % (base["folder"], more["folder"]))
        result = harness.run("plan", self.path("r.yaml"))
        self.assertOneError(result, 2, "model.norm.weight", "[9]", "[8]")


class TokenizerSourceTest(VocabularyCase):
    def setUp(self):
        super().setUp()
        self.base = self.model("base", LETTERS, 1)
        self.x = self.model("x", LETTERS + ["<x>", "<z>"], 2, base=self.base,
                            added=("<x>", "<z>"))
        self.y = self.model("y", LETTERS + ["<y>", "<z>"], 3, base=self.base,
                            added=("<y>", "<z>"))

    def test_the_tokenizer_of_a_model_brings_its_rows(self):
        merged = self.merge_of(self.base, [self.x, self.y], "tokenizer_source: %s"
                               % self.x["folder"])
        tokens = LETTERS + ["<x>", "<z>"]
        self.check(merged, tokens, self.base, [self.x, self.y])
        self.assertEqual(self.tokens(), numbered(tokens))
        self.assertEqual(self.config()["vocab_size"], 12)

    def test_union_has_all_tokens(self):
        for source in ("tokenizer_source: union", "tokenizer: {source: union}"):
            merged = self.merge_of(self.base, [self.x, self.y], source)
            tokens = LETTERS + ["<x>", "<z>", "<y>"]
            self.assertEqual(self.tokens(), numbered(tokens))
            self.check(merged, tokens, self.base, [self.x, self.y])
            self.assertEqual(self.config()["vocab_size"], 13)
        # A token that one model alone has is that model's, whatever the weights are.
        np.testing.assert_allclose(merged["lm_head.weight"][12],
                                   self.row(self.y, "lm_head.weight", "<y>"), atol=1e-7)

    def test_union_keeps_padding_and_uses_it(self):
        base = self.model("base", LETTERS, 1, padding=6)
        merged = self.merge_of(base, [self.x, self.y], "tokenizer_source: union")
        self.assertEqual(merged["lm_head.weight"].shape, (16, HIDDEN))
        tokens = LETTERS + ["<x>", "<z>", "<y>"]
        self.check(merged, tokens, base, [self.x, self.y])
        np.testing.assert_array_equal(merged["lm_head.weight"][13:],
                                      base["tensors"]["lm_head.weight"][13:])

    def test_rules_for_single_tokens(self):
        x, y = self.x, self.y
        merged = self.merge_of(self.base, [x, y], """
tokenizer:
  source: union
  pad_to_multiple_of: 8
  tokens:
    <x>: {source: {kind: zero}}
    <z>: {source: %s, force: true}
    <y>: {source: {kind: model_token, model: %s, token: a}}
    b: {source: {kind: model_token, model: %s, token_id: 3}, force: true}
""" % (x["folder"], self.base["folder"], y["folder"]))
        numbers = self.tokens()
        self.assertEqual(merged["lm_head.weight"].shape, (16, HIDDEN))
        self.assertEqual(self.config()["vocab_size"], 16)
        for tensor in ("model.embed_tokens.weight", "lm_head.weight"):
            def row(model, token, tensor=tensor):
                return self.row(model, tensor, token)
            zero = np.zeros(HIDDEN)
            for token, rows in (("<x>", (zero, row(x, "<x>"), zero)),
                                ("<z>", (row(x, "<z>"),) * 3),
                                ("<y>", (row(self.base, "a"), row(self.base, "a"), row(y, "<y>"))),
                                ("b", (row(y, "d"),) * 3)):
                np.testing.assert_allclose(
                    merged[tensor][numbers[token]],
                    rows[0] + 0.5 * (rows[1] - rows[0]) + 0.5 * (rows[2] - rows[0]),
                    atol=1e-6, err_msg=token)
            np.testing.assert_array_equal(merged[tensor][13:], 0)

    def test_numbers_that_no_vocabulary_has(self):
        """Rows by the billion are refused, not made room for."""
        donor = self.model("donor", LETTERS, 4)["folder"]
        with open(os.path.join(donor, "tokenizer.json"), encoding="utf-8") as f:
            tokenizer = json.load(f)
        with open(self.path("r.yaml"), "w", encoding="utf-8") as f:
            f.write("merge_method: task_arithmetic\nbase_model: %s\nmodels: [%s]\n"
                    "tokenizer_source: %s\n" % (self.base["folder"], self.x["folder"], donor))
        for number in (10 ** 12, 2 ** 64 - 1):
            tokenizer["model"]["vocab"]["<far>"] = number
            with open(os.path.join(donor, "tokenizer.json"), "w", encoding="utf-8") as f:
                json.dump(tokenizer, f)
            self.assertOneError(harness.run("plan", self.path("r.yaml")), 2, "r.yaml:4",
                                "more than 4194304 rows")

    def test_rules_that_cannot_be(self):
        for rules, text in (("<none>: {source: {kind: zero}}", "<none>"),
                            ("a: {source: {kind: model_token, model: %s, token: <none>}}"
                             % self.x["folder"], "<none>"),
                            ("a: {source: {kind: model_token, model: %s, token_id: 99}}"
                             % self.x["folder"], "99")):
            with open(self.path("r.yaml"), "w", encoding="utf-8") as f:
                f.write("merge_method: task_arithmetic\nbase_model: %s\nmodels: [%s]\n"
                        "parameters: {weight: 1}\ntokenizer:\n  source: union\n  tokens:\n    %s\n"
                        % (self.base["folder"], self.x["folder"], rules))
            self.assertOneError(harness.run("plan", self.path("r.yaml")), 2, "tokens", text)


class BytesTest(VocabularyCase):
    def setUp(self):
        super().setUp()
        self.base = self.model("base", LETTERS + ["<b>"], 1)
        self.x = self.model("x", list(reversed(LETTERS)) + ["<x>", "<z>"], 2, base=self.base,
                            dtype="BF16", added=("<x>", "<z>"))
        self.y = self.model("y", LETTERS + ["<y>", "<z>"], 3, base=self.base, dtype="F16",
                            added=("<y>", "<z>"))

    def test_means_of_several_dtypes(self):
        merged = self.merge_of(self.base, [self.x, self.y], "tokenizer_source: union")
        tokens = LETTERS + ["<b>", "<x>", "<z>", "<y>"]
        self.assertEqual(self.tokens(), numbered(tokens))
        self.check(merged, tokens, self.base, [self.x, self.y])

    def test_the_same_bytes_however_it_is_run(self):
        self.merge_of(self.base, [self.x, self.y], "tokenizer_source: union",
                      "dtype: bfloat16", args=("--threads", "2"))
        wanted = harness.hash_output(self.path("out"))
        self.merge_of(self.base, [self.x, self.y], "tokenizer_source: union",
                      "dtype: bfloat16", args=("--threads", "1", "--memory", "110MB"), out="again")
        self.assertEqual(harness.hash_output(self.path("again")), wanted)
        with harness.Cluster(1, self.path("state")) as cluster:
            job = cluster.submit(self.path("r.yaml"), self.path("job"))
            self.assertEqual(harness.state_of(cluster.finish(job)), "SUCCEEDED", cluster.log())
        self.assertEqual(harness.hash_output(self.path("job")), wanted)


if __name__ == "__main__":
    harness.main()
