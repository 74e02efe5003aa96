"""Models whose tokenizers are not the same: what a merge says that it leaves out, what goes along with a
tokenizer, and rules for single tokens."""

import json
import time

import harness
import tiny_chat_models

RECIPE = "merge_method: task_arithmetic\nbase_model: base\nmodels: [%s]\n"


class TokenizersTest(harness.Case):
    def setUp(self):
        super().setUp()
        base = tiny_chat_models.model(self.path("base"), 1)
        for seed, name in ((2, "a"), (3, "chat")):
            tiny_chat_models.model(self.path(name), seed, base)

    def put(self, model, name, value):
        tiny_chat_models.write_json(self.path(model), name, value)

    def read(self, *parts):
        with open(self.path(*parts), encoding="utf-8") as f:
            return json.load(f)

    def change(self, model, name, **keys):
        self.put(model, name, {**self.read(model, name), **keys})

    def recipe(self, *lines, models="a, chat"):
        with open(self.path("r.yaml"), "w", encoding="utf-8") as f:
            f.write(RECIPE % models + "".join(line + "\n" for line in lines))
        return self.path("r.yaml")

    def merged(self, *lines, models="a, chat"):
        """What is said of the output, which has to be as the report has it."""
        done = self.ok("merge", self.recipe(*lines, models=models), self.path("out"),
                       "--overwrite", cwd=self.dir)
        said = self.read("out", "merge_report.json")["warnings"]
        for line in said:
            self.assertIn(line, done.err)
        planned = self.ok("plan", self.path("r.yaml"), "--json", cwd=self.dir).out
        self.assertEqual(json.loads(planned)["warnings"], said)
        return said

    # --- what is said --------------------------------------------------------------------

    def test_models_of_one_family_say_nothing(self):
        self.assertEqual(self.merged(), [])

    def test_each_difference_is_said_once(self):
        vocab = dict(tiny_chat_models.VOCAB)
        vocab["<|im_end|>"] = vocab.pop("n")
        tiny_chat_models.tokenizer(self.path("chat"), vocab, "{{ messages }}")
        self.put("base", "generation_config.json", {"eos_token_id": 0})
        self.put("chat", "generation_config.json", {"eos_token_id": [0, 15]})
        said = self.merged()
        self.assertEqual(len(said), 1, said)
        for text in ("model chat: ", "of model base", "15 is '<|im_end|>', in the output 'n'",
                     "a chat template (the output: none)", "eos_token_id [0, 15]",
                     "tokenizer_source: chat"):
            self.assertIn(text, said[0])

    def test_models_with_the_same_difference_share_a_line(self):
        for name in ("a", "chat"):
            self.change(name, "tokenizer_config.json", chat_template="{{ messages }}")
        said = self.merged()
        self.assertEqual(len(said), 1, said)
        self.assertIn("models a and chat: ", said[0])
        self.assertEqual(self.merged("chat_template: auto"), [])
        self.assertEqual(self.merged("tokenizer_source: chat"), [])

    def test_large_vocabularies_cost_little(self):
        if harness.SLOW:
            return
        vocab = {"<eos>": 0, "<pad>": 1, **{"token%d" % i: i for i in range(2, 150000)}}
        for i, name in enumerate(("base", "a", "chat")):
            tiny_chat_models.tokenizer(self.path(name), {**vocab, "<only %d>" % i: 150000 + i})
        # Relative models are looked for beside the recipe too.
        began = time.monotonic()
        done, peak = harness.run_measured("plan", self.recipe())
        self.assertEqual(done.code, 0, str(done))
        for text in ("'<only 1>' 150001", "'<only 2>' 150002"):
            self.assertIn(text, done.out + done.err)
        self.assertLess(time.monotonic() - began, 20)
        self.assertLess(peak, 250e6)

    # --- what goes along with a tokenizer ---------------------------------------------------

    def test_a_tokenizer_brings_its_stop_tokens(self):
        self.put("base", "generation_config.json",
                 {"bos_token_id": 2, "eos_token_id": 0, "temperature": 0.6, "do_sample": True})
        self.put("chat", "generation_config.json",
                 {"eos_token_id": [0, 15], "pad_token_id": 1, "temperature": 1.0})
        self.change("base", "config.json", eos_token_id=0, bos_token_id=2)
        self.change("chat", "config.json", eos_token_id=15, pad_token_id=1)
        self.assertEqual(self.merged("tokenizer_source: chat"), [])
        self.assertEqual(self.read("out", "generation_config.json"),
                         {"bos_token_id": 2, "eos_token_id": [0, 15], "temperature": 0.6,
                          "do_sample": True, "pad_token_id": 1})
        config = self.read("out", "config.json")
        self.assertEqual((config["eos_token_id"], config["bos_token_id"], config["pad_token_id"]),
                         (15, 2, 1))
        # By a service the same files, and a run that goes on finds them.
        with harness.Cluster(1, self.path("state")) as cluster:
            job = cluster.submit(self.path("r.yaml"), self.path("served"))
            self.assertEqual(harness.state_of(cluster.finish(job)), "SUCCEEDED", cluster.log())
        for name in ("config.json", "generation_config.json"):
            with open(self.path("served", name)) as served, open(self.path("out", name)) as own:
                self.assertEqual(served.read(), own.read())
        self.ok("merge", self.path("r.yaml"), self.path("out"), "--resume", cwd=self.dir)
        self.put("chat", "generation_config.json", {"eos_token_id": 7})
        self.assertOneError(harness.run("merge", self.path("r.yaml"), self.path("out"), "--resume",
                                        cwd=self.dir), 2, "generation_config.json")

    def test_the_references_own_tokenizer_changes_nothing(self):
        for source in ("base", "union"):
            self.put("base", "generation_config.json", {"eos_token_id": 0, "top_p": 0.90})
            self.merged("tokenizer_source: " + source)
            with open(self.path("out", "generation_config.json"), "rb") as out, \
                    open(self.path("base", "generation_config.json"), "rb") as base:
                self.assertEqual(out.read(), base.read())

    def test_a_generation_config_that_the_reference_lacks(self):
        self.put("chat", "generation_config.json", {"eos_token_id": [0, 15], "top_k": 20})
        self.merged("tokenizer_source: chat")
        self.assertEqual(self.read("out", "generation_config.json"),
                         {"eos_token_id": [0, 15], "top_k": 20})

    def test_of_a_model_that_is_not_merged(self):
        tiny_chat_models.tokenizer(self.path("aside"), template="{{ 'aside' }}")
        self.put("aside", "config.json", {"eos_token_id": [0, 3]})
        self.put("base", "generation_config.json", {"eos_token_id": 0, "top_k": 20})
        self.change("base", "config.json", eos_token_id=0)
        self.merged("tokenizer_source: aside")
        # Without a generation_config.json, generation goes by config.json.
        self.assertEqual(self.read("out", "generation_config.json"),
                         {"eos_token_id": [0, 3], "top_k": 20})
        self.assertEqual(self.read("out", "config.json")["eos_token_id"], [0, 3])

    # --- rules for single tokens ---------------------------------------------------------------

    def test_models_of_rules_are_models_of_the_merge(self):
        tiny_chat_models.tokenizer(self.path("aside"))
        for rule in ("aside", "{kind: model_token, model: aside, token: a}"):
            self.assertOneError(
                harness.run("plan", self.recipe("tokenizer: {source: base, tokens: {n: {source: %s}}}"
                                                % rule), cwd=self.dir),
                2, "r.yaml:4", "tokenizer.tokens.n.source", "aside", "not merged", "chat")
        self.assertOneError(
            harness.run("plan", self.recipe("tokenizer: {tokens: {n: {source: {kind: zro}}}}"),
                        cwd=self.dir), 2, "r.yaml:4", "tokenizer.tokens.n.source.kind", "zero")


if __name__ == "__main__":
    harness.main()
