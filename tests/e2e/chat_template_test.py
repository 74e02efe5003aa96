"""`chat_template`, tokenizers and revisions: which files an output gets. `merganser keys`: the table
of RECIPE.md is what the program prints. mergekit's flags on our command line."""

import json
import os

import harness
import tiny_chat_models

BEGIN, END = "<!-- keys:begin -->\n", "<!-- keys:end -->"


class ChatTemplateTest(harness.Case):
    def setUp(self):
        super().setUp()
        tiny_chat_models.models(self.dir)

    def merged(self, *lines, models="[a, b]", base="base", name="out", **kw):
        """The output of a small merge with these lines in its recipe."""
        text = "merge_method: task_arithmetic\nbase_model: %s\nmodels: %s\n" % (base, models)
        with open(self.path("r.yaml"), "w", encoding="utf-8") as f:
            f.write(text + "".join(line + "\n" for line in lines))
        self.result = self.ok("merge", self.path("r.yaml"), self.path(name), "--overwrite",
                              cwd=self.dir, **kw)
        return self.path(name)

    def read(self, *parts):
        with open(self.path(*parts), encoding="utf-8") as f:
            return f.read()

    def settings(self, folder):
        return json.loads(self.read(folder, "tokenizer_config.json"))

    def test_auto_is_what_most_models_have(self):
        self.merged("chat_template: auto")
        # base, a and b have one: the base's files are copied as they are.
        self.assertEqual(self.read("out", "tokenizer_config.json"),
                         self.read("base", "tokenizer_config.json"))
        self.assertFalse(os.path.exists(self.path("out", "chat_template.jinja")))
        self.assertIn("3 of 3 models", self.result.err)
        self.merged("chat_template: auto", models="[a, b]", base="d")
        self.assertEqual(self.settings("out")["chat_template"], tiny_chat_models.TEMPLATE)
        self.assertEqual(self.read("out", "chat_template.jinja"), tiny_chat_models.TEMPLATE)
        self.assertEqual(self.settings("out")["model_max_length"],
                         self.settings("d")["model_max_length"])
        self.merged("chat_template: auto", models="[c]", base="d")
        self.assertIn("{{ messages }}", self.read("out", "chat_template.jinja"))
        for model in ("c", "d"):
            os.remove(self.path(model, "tokenizer_config.json"))
        self.merged("chat_template: auto", models="[c]", base="d")
        self.assertIn("no model has a chat template", self.result.err)

    def test_a_template_replaces_all_others(self):
        for name, text in (("chat_template.json", '{"chat_template": "old"}'),
                           ("chat_template.jinja", "old")):
            with open(self.path("base", name), "w", encoding="utf-8") as f:
                f.write(text)
        os.makedirs(self.path("base", "additional_chat_templates"))
        with open(self.path("base", "additional_chat_templates", "tool.jinja"), "w") as f:
            f.write("old")
        out = self.merged("chat_template: |", "  {%- for m in messages %}", "  {{ m }}{% endfor %}")
        self.assertEqual(self.read("out", "chat_template.jinja"),
                         "{%- for m in messages %}\n{{ m }}{% endfor %}\n")
        self.assertEqual(self.settings("out")["chat_template"],
                         self.read("out", "chat_template.jinja"))
        self.assertEqual(sorted(n for n in os.listdir(out) if "template" in n),
                         ["chat_template.jinja"])
        self.assertNotIn("warning", self.result.err)
        # A run that goes on finds the same files; other ones are told.
        self.ok("merge", self.path("r.yaml"), out, "--resume", cwd=self.dir)
        with open(self.path("out", "chat_template.jinja"), "a") as f:
            f.write("x")
        self.assertOneError(harness.run("merge", self.path("r.yaml"), out, "--resume",
                                        cwd=self.dir), 2, "chat_template")

    def test_a_service_writes_the_same_files(self):
        embedded = self.merged("chat_template: llama3", "tokenizer: {source: a}")
        with harness.Cluster(1, self.path("state")) as cluster:
            job = cluster.submit(self.path("r.yaml"), self.path("served"))
            self.assertEqual(harness.state_of(cluster.finish(job)), "SUCCEEDED", cluster.log())
        for name in sorted(os.listdir(embedded)):
            if name != "merge_report.json" and "safetensors" not in name:
                self.assertEqual(self.read("served", name), self.read(embedded, name), name)
        self.assertEqual(harness.hash_output(embedded), harness.hash_output(self.path("served")))
        self.assertEqual(sorted(os.listdir(embedded)), sorted(os.listdir(self.path("served"))))

    def test_a_tokenizer_without_settings_gets_the_file_and_a_warning(self):
        os.remove(self.path("base", "tokenizer_config.json"))
        self.merged("chat_template: chatml")
        self.assertIn("<|im_start|>", self.read("out", "chat_template.jinja"))
        self.assertIn("warning: ", self.result.err)
        self.assertIn("chat_template.jinja alone", self.result.err)

    def test_settings_that_are_no_json_are_named(self):
        with open(self.path("base", "tokenizer_config.json"), "w", encoding="utf-8") as f:
            f.write("[]")
        with open(self.path("r.yaml"), "w", encoding="utf-8") as f:
            f.write("merge_method: task_arithmetic\nbase_model: base\nmodels: [a]\n"
                    "chat_template: chatml\n")
        self.assertOneError(harness.run("plan", self.path("r.yaml"), cwd=self.dir), 2,
                            "r.yaml:4", "chat_template", "tokenizer_config.json")

    # --- tokenizers --------------------------------------------------------------------

    def test_the_tokenizer_may_be_of_a_model_that_is_not_merged(self):
        tiny_chat_models.tokenizer(self.path("aside"), template="{{ 'aside' }}")
        self.merged("tokenizer_source: aside")
        self.assertEqual(self.settings("out")["chat_template"], "{{ 'aside' }}")
        os.makedirs(self.path("empty"))
        for source, texts in (("empty", ("empty", "no tokenizer")), ("gone", ("gone",))):
            with open(self.path("s.yaml"), "w", encoding="utf-8") as f:
                f.write("merge_method: task_arithmetic\nbase_model: base\nmodels: [a]\n"
                        "tokenizer: {source: %s}\n" % source)
            self.assertOneError(harness.run("plan", self.path("s.yaml"), cwd=self.dir), 2, *texts)

    def test_union_of_other_orders_matches_rows_by_token(self):
        vocab = dict(tiny_chat_models.VOCAB)
        vocab["n"], vocab["m"] = vocab["m"], vocab["n"]
        tiny_chat_models.tokenizer(self.path("a"), vocab)
        for line in ("tokenizer_source: union", "tokenizer: {}"):
            with open(self.path("s.yaml"), "w", encoding="utf-8") as f:
                f.write("merge_method: task_arithmetic\nbase_model: base\nmodels: [a]\n%s\n" % line)
            said = self.ok("plan", self.path("s.yaml"), cwd=self.dir).out
            self.assertRegex(said, r"s\.yaml:4: key '.*: model 'a': numbers 2 tokens \('n', 'm'\) "
                             r"otherwise than the union")

    # --- revisions -----------------------------------------------------------------------

    def test_revisions_of_the_cache(self):
        hub = self.path("hub")
        for commit, model in (("0" * 40, "a"), ("1" * 40, "b")):
            harness.link_folder(self.path(model), os.path.join(
                hub, "models--org--name", "snapshots", commit))
        os.makedirs(os.path.join(hub, "models--org--name", "refs"))
        for ref, commit in (("main", "0" * 40), ("dpo", "1" * 40)):
            with open(os.path.join(hub, "models--org--name", "refs", ref), "w") as f:
                f.write(commit)
        env = {"HF_HUB_CACHE": hub}
        one = self.merged(models="[org/name@dpo]", name="one", env=env)
        other = self.merged(models="[b]", name="other")
        self.assertEqual(harness.hash_output(one)["model.safetensors"],
                         harness.hash_output(other)["model.safetensors"])
        long = self.merged(models="[{model: {path: org/name, revision: dpo}}]", name="long", env=env)
        self.assertEqual(harness.hash_output(long)["model.safetensors"],
                         harness.hash_output(other)["model.safetensors"])
        with open(self.path("s.yaml"), "w", encoding="utf-8") as f:
            f.write("merge_method: task_arithmetic\nbase_model: base\nmodels: [org/name@gone]\n")
        self.assertOneError(harness.run("plan", self.path("s.yaml"), cwd=self.dir, env=env), 2,
                            "org/name@gone", "--revision gone")

    # --- the table of keys, and flags -------------------------------------------------------

    def test_the_recipe_page_has_the_table_that_the_program_prints(self):
        page = os.path.join(harness.SOURCE, "common", "recipe", "RECIPE.md")
        with open(page, encoding="utf-8") as f:
            text = f.read()
        self.assertEqual((text.count(BEGIN), text.count(END)), (1, 1))
        self.assertEqual(text[text.index(BEGIN) + len(BEGIN):text.index(END)],
                         self.ok("keys", "--markdown").out,
                         "put the output of `merganser keys --markdown` into RECIPE.md")
        keys = json.loads(self.ok("keys", "--json").out)["keys"]
        self.assertEqual({key["verdict"] for key in keys},
                         {"accepted", "noted", "warned", "refused"})
        self.assertIn("  name: noted, ", self.ok("keys").out)
        self.assertOneError(harness.run("keys", "--json", "--markdown"), 2, "--markdown")

    def test_flags_of_mergekit(self):
        with open(self.path("r.yaml"), "w", encoding="utf-8") as f:
            f.write("merge_method: task_arithmetic\nbase_model: base\nmodels: [a]\n")
        run = lambda *flags: harness.run("merge", "r.yaml", self.path("out"), "--overwrite", *flags,
                                         cwd=self.dir)
        done = run("--cuda", "--copy-tokenizer", "--device", "cpu", "--no-lazy-unpickle",
                   "--write-threads=4", "--lora-merge-cache", "cache")
        self.assertEqual(done.code, 0, str(done))
        for flag in ("--cuda", "--copy-tokenizer", "--device", "--no-lazy-unpickle",
                     "--write-threads", "--lora-merge-cache"):
            self.assertIn("note: %s is mergekit's and needless here: " % flag, done.err)
        for flags, words in ((["--out-shard-size", "5B"], ["--out-shard-size", "max_shard_size"]),
                             (["--random-seed", "7"], ["--random-seed", "seed"]),
                             (["-j", "4"], ["-j", "--threads"]),
                             (["--no-copy-tokenizer"], ["--no-copy-tokenizer", "copied always"]),
                             (["--lora-merge-dtype=x"], ["--lora-merge-dtype", "adapters"])):
            with self.subTest(flags=flags):
                self.assertOneError(run(*flags), 2, *words)
        self.assertOneError(harness.run("methods", "--cuda"), 2, "--cuda")
        self.ok("plan", "r.yaml", "--allow-crimes", cwd=self.dir)


if __name__ == "__main__":
    harness.main()
