"""Gradients, filters and slices: real merges of the sample experts against a float64
evaluation of the grammar written here, and what wrong recipes are told."""

import json
import os
import re

import numpy as np

import harness
import stio
from harness import SAMPLE, SAMPLE_BASE

ADD, SORT, PARITY = SAMPLE
LAYERS = 6
LAYER = re.compile(r"^(model\.layers\.)(\d+)(\..*)$")


# --- the grammar, once more -----------------------------------------------------------


def settle(levels, key, name, t, default=None):
    """The value of `key` for the tensor `name` from the first level that has one."""
    for level in levels:
        setting = level.get(key)
        if setting is None:
            continue
        if not (isinstance(setting, list) and isinstance(setting[0], dict)):
            setting = [{"value": setting}]
        for condition in setting:
            filter_ = condition.get("filter")
            if filter_ in (None, "*") or filter_ in name:
                value = condition["value"]
                if not isinstance(value, list):
                    return value
                return float(np.interp(t * (len(value) - 1), range(len(value)), value))
    return default


def renumber(name, layer):
    return LAYER.sub(lambda m: "%s%d%s" % (m.group(1), layer, m.group(3)), name)


def places(recipe):
    """(output name, t, slice, [(source, name there)]) of every tensor."""
    slices = recipe.get("slices")
    if slices is None:
        slices = [{"sources": [dict(m, layer_range=[0, LAYERS]) for m in recipe["models"]]}]
        base = recipe.get("base_model")
        if base and all(m["model"] != base for m in recipe["models"]):
            slices[0]["sources"].insert(0, {"model": base, "layer_range": [0, LAYERS]})
    names = stio.Checkpoint(SAMPLE_BASE).tensors
    found = []
    for name in names:
        if not LAYER.match(name):
            part = slices[0 if "embed" in name else -1]
            found.append((name, 0.0, part, [(s, name) for s in part["sources"]]))
    ends = [[s["model"] for s in part["sources"]] for part in (slices[0], slices[-1])]
    if ends[0] != ends[1]:  # the samples' heads are tied to their embeddings: no longer here
        found.append(("lm_head.weight", 0.0, slices[-1],
                      [(s, "model.embed_tokens.weight") for s in slices[-1]["sources"]]))
    at = 0
    for part in slices:
        first, end = part["sources"][0]["layer_range"]
        for i in range(end - first):
            t = 1.0 if end - first == 1 else i / (end - first - 1)
            for name in names:
                if LAYER.match(name) and int(LAYER.match(name).group(2)) == 0:
                    found.append((renumber(name, at), t, part,
                                  [(s, renumber(name, s["layer_range"][0] + i))
                                   for s in part["sources"]]))
            at += 1
    return found


def evaluate(recipe):
    """Output name -> float64 values; linear and task_arithmetic."""
    models = {}
    base_model = recipe.get("base_model")
    top = recipe.get("parameters", {})
    merged = {}
    for name, t, part, sources in places(recipe):
        wide = [part.get("parameters", {}), top]
        total, weights, base = 0.0, 0.0, None
        terms = []
        for source, there in sources:
            folder = source["model"]
            if folder not in models:
                models[folder] = stio.Checkpoint(folder)
            values = models[folder].values(there)
            if folder == base_model:
                base = values
                continue
            weight = settle([source.get("parameters", {})] + wide, "weight", there, t, 1.0)
            terms.append((weight, values))
            weights += weight
        for weight, values in terms:
            total = total + weight * (values - (0.0 if base is None else base))
        normalize = settle(wide, "normalize", name, t, recipe["merge_method"] == "linear")
        if normalize:
            total = total / weights
        if base is not None:
            total = base + settle(wide, "lambda", name, t, 1.0) * total
        merged[name] = total
    return merged


class RecipeGrammarTest(harness.Case):
    def write(self, recipe, name="r.yaml"):
        with open(self.path(name), "w", encoding="utf-8") as f:
            json.dump(recipe, f, indent=1)
        return self.path(name)

    def check(self, **recipe):
        """Merges in float64, holds the output against `evaluate` and returns its folder."""
        recipe["out_dtype"] = "float64"
        output = self.path("out-%d" % len(os.listdir(self.dir)))
        self.merge(self.write(recipe), output)
        self.assertMerged(recipe, output)
        return output

    def assertMerged(self, recipe, output):
        got = stio.Checkpoint(output)
        expected = evaluate(recipe)
        self.assertEqual(sorted(got.tensors), sorted(expected))
        for name, values in expected.items():
            scale = max(1e-3, np.max(np.abs(values)))
            error = np.max(np.abs(got.values(name) - values))
            self.assertLessEqual(error, 1e-13 * scale, name)
        self.ok("verify", output)

    def config(self, output):
        with open(os.path.join(output, "config.json"), encoding="utf-8") as f:
            return json.load(f)

    # --- gradients and filters -------------------------------------------------------

    def test_gradients_run_over_the_layers(self):
        for method, base in (("linear", None), ("task_arithmetic", SAMPLE_BASE)):
            with self.subTest(method=method):
                recipe = {
                    "merge_method": method,
                    "models": [{"model": ADD, "parameters": {"weight": [0, 0.25, 1]}},
                               {"model": SORT, "parameters": {"weight": [1, 0.5]}},
                               {"model": PARITY, "parameters": {"weight": [0.3]}}],
                }
                if base:
                    recipe["base_model"] = base
                self.check(**recipe)

    def test_filters_and_the_wider_level_where_none_matches(self):
        self.check(
            merge_method="task_arithmetic", base_model=SAMPLE_BASE,
            models=[{"model": ADD, "parameters": {"weight": [
                        {"filter": "mlp", "value": [0.2, 0.9]},
                        {"filter": "self_attn", "value": 0.4}]}},
                    {"model": SORT, "parameters": {"weight": [
                        {"filter": "layers.3.", "value": 2},
                        {"filter": "q_proj", "value": [1, 0]}]}},
                    {"model": PARITY}],
            parameters={"weight": [{"filter": "embed", "value": 0.1}, {"value": [0.5, 0.7, 0.6]}],
                        "lambda": [{"filter": "down_proj", "value": 1.5},
                                   {"filter": "*", "value": [1, 2]}],
                        "normalize": [{"filter": "o_proj", "value": True}]})

    def test_a_weight_of_zero_in_some_tensors_drops_no_model(self):
        output = self.check(
            merge_method="task_arithmetic", base_model=SAMPLE_BASE,
            models=[{"model": ADD, "parameters": {"weight": [{"filter": "mlp", "value": 1},
                                                             {"value": 0}]}},
                    {"model": SORT, "parameters": {"weight": [0, 1]}}])
        self.assertEqual(len(harness.report(output)["models"]), 3)

    def test_a_weight_of_zero_everywhere_drops_it(self):
        recipe = self.write({
            "merge_method": "task_arithmetic", "base_model": SAMPLE_BASE,
            "models": [{"model": ADD}, {"model": self.path("not-there"), "parameters": {
                "weight": [{"filter": "mlp", "value": [0, 0]}, {"value": 0}]}}]})
        result = self.ok("merge", recipe, self.path("out"))
        self.assertIn("weight 0", result.err)
        self.assertEqual(len(harness.report(self.path("out"))["models"]), 2)

    def test_report_plan_and_card_tell_which_tensor_has_what(self):
        recipe = {
            "merge_method": "task_arithmetic", "base_model": SAMPLE_BASE,
            "models": [{"model": ADD, "parameters": {"weight": [0, 1]}}, {"model": SORT}],
            "parameters": {"lambda": [{"filter": "mlp", "value": 0.5}]},
        }
        output = self.check(**recipe)
        report = harness.report(output)
        plan = json.loads(self.ok("plan", self.path("r.yaml"), "--json").out)
        method = report["method"]
        self.assertEqual(method["per_model"], [{"weight": 0}, {"weight": 1}])
        self.assertEqual(method["parameters"], {"lambda": 1, "normalize": 0})
        self.assertEqual(len(method["overrides"]), 11)
        self.assertEqual(plan["overrides"], method["overrides"])
        self.assertEqual(plan["per_model"], method["per_model"])
        places_of = {p[0]: p for p in places(recipe)}
        for tensor, planned in zip(report["tensors"], plan["tensors"]):
            self.assertEqual(planned.get("method"), tensor.get("method"))
            self.assertNotIn("sources", tensor)
            number = tensor.get("method", 0)
            used = method if number == 0 else method["overrides"][number - 1]
            self.assertAlmostEqual(used["per_model"][0]["weight"],
                                   places_of[tensor["name"]][1], 12)
            self.assertEqual(used["parameters"]["lambda"],
                             0.5 if "mlp" in tensor["name"] else 1)
        with open(os.path.join(output, "README.md"), encoding="utf-8") as f:
            card = f.read()
        self.assertIn("weight 0 to 1", card)
        self.assertRegex(card, r"give \d+ tensors other parameters")
        self.assertIn("parameters 11", self.ok("plan", self.path("r.yaml")).out)

    # --- slices ----------------------------------------------------------------------

    def test_slices_that_swap_layers(self):
        output = self.check(
            merge_method="linear",
            slices=[{"sources": [{"model": ADD, "layer_range": [3, 6]}]},
                    {"sources": [{"model": ADD, "layer_range": [0, 3]}]}],
            parameters={"weight": 1})
        source, got = stio.Checkpoint(ADD), stio.Checkpoint(output)
        q = "model.layers.%d.self_attn.q_proj.weight"
        for layer in range(LAYERS):
            self.assertTrue(np.array_equal(got.values(q % layer),
                                           source.values(q % ((layer + 3) % LAYERS))))
        self.assertEqual(self.config(output)["num_hidden_layers"], LAYERS)

    def test_slices_stack_two_models_to_eight_layers(self):
        output = self.check(
            merge_method="linear", parameters={"weight": 1},
            slices=[{"sources": [{"model": ADD, "layer_range": [0, 4]}]},
                    {"sources": [{"model": SORT, "layer_range": [2, 6]}]}])
        config = self.config(output)
        self.assertEqual(config["num_hidden_layers"], 8)
        self.assertEqual(config["rms_norm_eps"], 1e-6)
        self.assertIs(config["tie_word_embeddings"], False)
        # What stands before the layers is the first model's, what behind the last's.
        got = stio.Checkpoint(output)
        self.assertTrue(np.array_equal(got.values("model.embed_tokens.weight"),
                                       stio.Checkpoint(ADD).values("model.embed_tokens.weight")))
        self.assertTrue(np.array_equal(got.values("model.norm.weight"),
                                       stio.Checkpoint(SORT).values("model.norm.weight")))
        report = harness.report(output)
        sources = {t["name"]: t["sources"] for t in report["tensors"]}
        self.assertEqual(sources["model.layers.4.mlp.up_proj.weight"],
                         [[1, "model.layers.2.mlp.up_proj.weight"]])
        self.assertIn("from model 1 layer 5",
                      self.ok("plan", self.path("r.yaml"), "--tensors").out)

    def test_slices_with_parameters_at_every_level(self):
        self.check(
            merge_method="linear",
            slices=[{"sources": [
                        {"model": ADD, "layer_range": [0, 3],
                         "parameters": {"weight": [0.5, 0.9]}},
                        {"model": PARITY, "layer_range": [3, 6],
                         "parameters": {"weight": [{"filter": "layers.4", "value": 3}]}}],
                     "parameters": {"weight": 0.25}},
                    {"sources": [{"model": SORT, "layer_range": [2, 6]},
                                 {"model": ADD, "layer_range": [1, 5]}],
                     "parameters": {"weight": [1, 0.3, 2],
                                    "normalize": [{"filter": "layers.5", "value": False}]}},
                    {"sources": [{"model": PARITY, "layer_range": [5, 6]},
                                 {"model": PARITY, "layer_range": [0, 1],
                                  "parameters": {"weight": [7, 0.125]}}]}],
            parameters={"weight": 1})

    def test_slices_of_task_vectors(self):
        # The base takes part with layers of its own, in any place among the sources.
        self.check(
            merge_method="task_arithmetic", base_model=SAMPLE_BASE,
            slices=[{"sources": [{"model": ADD, "layer_range": [1, 3]},
                                 {"model": SAMPLE_BASE, "layer_range": [0, 2]},
                                 {"model": SORT, "layer_range": [0, 2],
                                  "parameters": {"weight": [0.5, 2]}}]},
                    {"sources": [{"model": SAMPLE_BASE, "layer_range": [2, 6]},
                                 {"model": PARITY, "layer_range": [2, 6]}],
                     "parameters": {"lambda": [0.5, 1]}}])

    def test_a_slice_without_layers_gives_what_stands_behind_them(self):
        self.check(
            merge_method="linear", parameters={"weight": 1},
            slices=[{"sources": [{"model": ADD, "layer_range": [0, 6]}]},
                    {"sources": [{"model": SORT, "layer_range": [0, 0]}]}])

    def test_slices_that_change_nothing_are_the_plain_merge(self):
        models = [{"model": m, "parameters": {"weight": w}} for m, w in zip(SAMPLE, (1, 2, 3))]
        whole, sliced = self.path("whole"), self.path("sliced")
        self.merge(self.write({"merge_method": "linear", "models": models}), whole)
        slices = [{"sources": [dict(m, layer_range=r) for m in models]} for r in ([0, 2], [2, 6])]
        self.merge(self.write({"merge_method": "linear", "slices": slices}), sliced)
        one, other = stio.Checkpoint(whole), stio.Checkpoint(sliced)
        self.assertEqual(sorted(one.tensors), sorted(other.tensors))
        for name in one.tensors:
            self.assertTrue(np.array_equal(one.raw(name), other.raw(name)), name)
        self.assertEqual(self.config(whole), self.config(sliced))

    def test_spectral_methods_take_slices(self):
        recipe = self.write({
            "merge_method": "resmerge", "base_model": SAMPLE_BASE,
            "slices": [{"sources": [{"model": m, "layer_range": r}
                                    for m in [SAMPLE_BASE] + SAMPLE]} for r in ([4, 6], [0, 4])],
            "parameters": {"head_ratio_budget": [{"filter": "mlp", "value": [0, 0.4]}]}})
        self.merge(recipe, self.path("out"))
        plain = harness.recipe(self.path("p.yaml"), "resmerge", SAMPLE_BASE, SAMPLE)
        self.merge(plain, self.path("plain"))
        got, whole = stio.Checkpoint(self.path("out")), stio.Checkpoint(self.path("plain"))
        for layer in range(LAYERS):
            q = "model.layers.%d.self_attn.q_proj.weight"
            self.assertTrue(np.array_equal(got.raw(q % layer), whole.raw(q % ((layer + 4) % 6))))

    def test_every_way_of_running_gives_the_same_bytes(self):
        recipe = self.write({
            "merge_method": "linear", "max_shard_size": "1MB", "unit_size": "100KB",
            "slices": [{"sources": [{"model": ADD, "layer_range": [0, 5]},
                                    {"model": SORT, "layer_range": [1, 6]}],
                        "parameters": {"weight": [0.5, 1, 0.1]}},
                       {"sources": [{"model": PARITY, "layer_range": [3, 6]}],
                        "parameters": {"weight": 1}}]})
        self.merge(recipe, self.path("embedded"))
        with harness.Cluster(2, self.path("state")) as cluster:
            job = cluster.submit(recipe, self.path("served"))
            self.assertEqual(harness.state_of(cluster.finish(job)), "SUCCEEDED", cluster.log())
        self.assertEqual(harness.hash_output(self.path("embedded")),
                         harness.hash_output(self.path("served")))
        self.assertEqual(self.config(self.path("served"))["num_hidden_layers"], 8)

    # --- config.json and tokenizers --------------------------------------------------

    def variant(self, name, source=ADD, **config):
        folder = harness.link_folder(source, self.path(name))
        path = os.path.join(folder, "config.json")
        with open(path, encoding="utf-8") as f:
            old = json.load(f)
        old.update(config)
        with open(path, "w", encoding="utf-8") as f:
            json.dump(old, f)
        return folder

    def test_lists_with_an_entry_a_layer_follow_their_layers(self):
        model = self.variant("listed", layer_types=list("abcdef"), mlp_only_layers=[0, 4],
                             decoder_sparse_step=2)
        recipe = self.write({
            "merge_method": "linear", "parameters": {"weight": 1},
            "slices": [{"sources": [{"model": model, "layer_range": [0, 5]}]},
                       {"sources": [{"model": model, "layer_range": [4, 6]}]}]})
        result = self.ok("merge", recipe, self.path("out"))
        config = self.config(self.path("out"))
        self.assertEqual(config["layer_types"], list("abcdeef"))
        self.assertEqual(config["mlp_only_layers"], [0, 4, 5])
        self.assertEqual(config["num_hidden_layers"], 7)
        self.assertIn("decoder_sparse_step", result.err)

    def tokenizer(self, folder, change):
        path = os.path.join(folder, "tokenizer.json")
        with open(path, encoding="utf-8") as f:
            tokenizer = json.load(f)
        change(tokenizer)
        with open(path, "w", encoding="utf-8") as f:
            json.dump(tokenizer, f)
        return folder

    def test_tokenizer_source_names_whose_files_are_copied(self):
        donor = self.tokenizer(self.variant("donor"), lambda t: t.update(padding={"marked": 1}))
        with open(os.path.join(donor, "generation_config.json"), "w", encoding="utf-8") as f:
            f.write('{"marked": 1}')
        for source, marked in ((None, False), ("base", False), (donor, True)):
            output = self.path("out-%s" % marked if source else "out")
            recipe = {"merge_method": "task_arithmetic", "base_model": SAMPLE_BASE,
                      "models": [SORT, {"model": donor}]}
            if source:
                recipe["tokenizer_source"] = source
            self.merge(self.write(recipe), output)
            with open(os.path.join(output, "tokenizer.json"), encoding="utf-8") as f:
                self.assertEqual("marked" in f.read(), marked, source)
            # Only the tokenizer is taken from there.
            with open(os.path.join(output, "generation_config.json"), encoding="utf-8") as f:
                self.assertNotIn("marked", f.read())

    def test_a_model_dropped_by_its_weight_may_give_the_tokenizer(self):
        donor = self.tokenizer(self.variant("donor"), lambda t: t.update(padding={"marked": 1}))
        self.merge(self.write({
            "merge_method": "task_arithmetic", "base_model": SAMPLE_BASE,
            "models": [SORT, {"model": donor, "parameters": {"weight": 0}}],
            "tokenizer_source": donor}), self.path("out"))
        with open(os.path.join(self.path("out"), "tokenizer.json"), encoding="utf-8") as f:
            self.assertIn("marked", f.read())

    def test_the_base_gives_config_and_tokenizer_also_of_linear(self):
        other = self.variant("other", marked=True)
        self.merge(self.write({"merge_method": "linear", "base_model": other,
                               "models": [SORT, other], "parameters": {"weight": 1}}),
                   self.path("out"))
        self.assertTrue(self.config(self.path("out"))["marked"])

    # --- wrong recipes ---------------------------------------------------------------

    def refuse(self, recipe, *texts):
        file = recipe if isinstance(recipe, str) else self.write(recipe)
        output = self.path("refused")
        line = self.assertOneError(harness.run("merge", file, output), 2, *texts)
        print(line)
        self.assertNoOutput(output)

    def text(self, text):
        with open(self.path("t.yaml"), "w", encoding="utf-8") as f:
            f.write(text)
        return self.path("t.yaml")

    def linear(self, **top):
        return dict({"merge_method": "linear", "models": [ADD, SORT]}, **top)

    def slices(self, *slices, method="linear", **top):
        return dict({"merge_method": method, "parameters": {"weight": 1}, "slices": [
            {"sources": [{"model": m, "layer_range": r} for m, r in s]} for s in slices]}, **top)

    def test_wrong_settings_name_line_and_key(self):
        head = "merge_method: linear\nmodels: [%s, %s]\nparameters:\n  weight:\n" % (ADD, SORT)
        for body, texts in (
                ("    valeu: 1\n", ("t.yaml:5", "parameters.weight", "value")),
                ("    []\n", ("t.yaml:5", "parameters.weight", "empty list")),
                ("    - 1\n    - value: 2\n", ("t.yaml:5", "1 maps and 1 other")),
                ("    - 1\n    - one\n", ("t.yaml:6", "weight[1]", '"one"')),
                ("    - filter: 7\n      value: 2\n", ("t.yaml:5", "weight[0].filter", "7")),
                ("    - filtre: mlp\n      value: 2\n", ("t.yaml:5", "filtre", "filter")),
                ("    - filter: mlp\n", ("t.yaml:5", "weight[0].value", "missing")),
                ("    - filter: mlp\n      value: high\n", ("t.yaml:6", "weight", '"high"')),
        ):
            with self.subTest(body=body):
                self.refuse(self.text(head + body), *texts)

    def test_what_only_a_tensor_shows_names_it(self):
        self.refuse(self.linear(parameters={"weight": [{"filter": "mlp", "value": 1}]}),
                    "parameters.weight", "missing", "no filter",
                    "tensor model.embed_tokens.weight")
        models = [{"model": ADD, "parameters": {"weight": [1, -1]}},
                  {"model": SORT, "parameters": {"weight": 1}}]
        self.refuse(self.linear(models=models), "sum to 0", "tensor model.layers.5.")
        self.refuse({"merge_method": "resmerge", "base_model": SAMPLE_BASE, "models": [ADD, SORT],
                     "parameters": {"rank_topk": [1, 2]}},
                    "rank_topk", "1.2", "whole number", "tensor model.layers.1.")

    def test_ranges_hold_for_every_value(self):
        for value in ([1, 99], [{"filter": "mlp", "value": 99}]):
            self.refuse({"merge_method": "resmerge", "base_model": SAMPLE_BASE, "models": [ADD],
                         "parameters": {"rank_topk": value}}, "rank_topk", "99", "from 1 to 16")

    def test_slices_that_do_not_fit(self):
        self.refuse(self.slices([(ADD, [0, 4]), (SORT, [0, 3])]),
                    "slices[0].sources[1].layer_range", "3 layers", "expected 4")
        self.refuse(self.slices([(ADD, [0, 7])]), "expert_add", "found 6 layers", "[0, 7]")
        self.refuse(self.slices([(ADD, [4, 2])]), "layer_range", "[4, 2]")
        self.refuse(self.slices([(ADD, [0, 2])], models=[ADD]), "slices", "beside models")
        both = self.slices([(SAMPLE_BASE, [0, 3]), (ADD, [0, 3])], [(SORT, [3, 6])],
                           method="task_arithmetic", base_model=SAMPLE_BASE)
        self.refuse(both, "slices[1].sources", "base_model", "nowhere", "every slice")
        self.refuse(self.slices([(SAMPLE_BASE, [0, 6])], method="task_arithmetic",
                                base_model=SAMPLE_BASE), "slices[0].sources", "no model")
        self.refuse(self.slices([(ADD, [0, 2])], base_model=SORT), "base_model", "expert_sort")

    def test_models_without_layers_or_with_several_stacks(self):
        config = {"model_type": "tiny", "num_hidden_layers": 2}
        w = ("F32", np.zeros((2, 2)))
        stio.save(self.path("flat"), {"a.weight": w}, config=config)
        self.refuse(self.slices([(self.path("flat"), [0, 1])]), "flat", "no tensor", "layer")
        stio.save(self.path("two"), {"visual.blocks.0.w": w, "model.layers.0.w": w}, config=config)
        self.refuse(self.slices([(self.path("two"), [0, 1])]),
                    "two", "'model.layers', 'visual.blocks'", "one stack")

    def test_what_is_not_supported_is_refused_by_name(self):
        self.refuse(self.linear(modules={"text_decoder": {"models": [ADD]}}), "r.yaml:", "'modules'",
                    "not supported")
        self.refuse(self.linear(models=[ADD + "@main"]), "models[0]", "not supported")
        one = self.slices([(SAMPLE_BASE, [0, 2]), (ADD, [0, 2])], method="task_arithmetic",
                          base_model=SAMPLE_BASE)
        one["slices"][0]["base_model"] = ADD
        self.refuse(one, "slices[0].base_model", "not supported")
        one["slices"][0]["base_model"] = os.path.join(SAMPLE_BASE, "..", "base")
        self.ok("plan", self.write(one))

    def test_tokenizers_that_differ_are_matched_by_token(self):
        def swap(tokenizer):
            vocab = tokenizer["model"]["vocab"]
            a, b = sorted(vocab)[:2]
            vocab[a], vocab[b] = vocab[b], vocab[a]

        other = self.tokenizer(self.variant("other"), swap)
        more = self.tokenizer(self.variant("more"), lambda t: t.setdefault(
            "added_tokens", []).append({"id": 999, "content": "<extra>"}))
        for model, source, text in ((other, "base", "2 tokens"), (other, other, "at other numbers"),
                                    (more, more, "'<extra>'")):
            said = self.ok("plan", self.write({
                "merge_method": "task_arithmetic", "base_model": SAMPLE_BASE,
                "models": [SORT, model], "tokenizer_source": source})).out
            self.assertIn("tokenizer_source", said)
            self.assertIn(text, said)
        # The same of a model that is not merged.
        said = self.ok("plan", self.write(self.linear(parameters={"weight": 1},
                                                      tokenizer_source=other))).out
        self.assertIn("at other numbers", said)
        self.ok("plan", self.write(self.linear(parameters={"weight": 1}, tokenizer_source=PARITY)))


if __name__ == "__main__":
    harness.main()
