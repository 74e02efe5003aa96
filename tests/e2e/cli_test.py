"""The command line as a contract: exit codes, stdout, JSON, interruption, overwriting."""

import json
import os
import shutil
import signal
import subprocess

import harness
from harness import SAMPLE, SAMPLE_BASE


class CliTest(harness.Case):
    def sample(self, **top):
        return harness.recipe(self.path("sample.yaml"), "resmerge", SAMPLE_BASE, SAMPLE, **top)

    def generated(self):
        models = harness.data("generated")
        return harness.recipe(self.path("generated.yaml"), "resmerge", models[0], models[1:],
                              max_shard_size="32MB")

    # --- help, flags -----------------------------------------------------------------

    def test_help_and_version(self):
        self.assertIn("merge", self.ok("--help").out)
        for command in ("merge", "plan", "inspect", "verify"):
            result = self.ok(command, "--help")
            self.assertIn(command, result.out)
            self.assertEqual(result.err, "")
        self.assertTrue(self.ok("--version").out.startswith("merganser "))

    def test_unknown_flag_and_command(self):
        self.assertOneError(harness.run("merge", "--no-such-flag", "a", "b"), 2, "--no-such-flag")
        self.assertOneError(harness.run("frobnicate"), 2, "frobnicate")
        self.assertEqual(harness.run().code, 2)

    # --- plan, inspect ---------------------------------------------------------------

    def test_a_reader_that_leaves_is_no_error(self):
        # As `merganser methods | head -1`; a full disk is one.
        for args in (("methods",), ("methods", "--json"), ("inspect", harness.SAMPLE_BASE)):
            reader, writer = os.pipe()
            os.close(reader)
            done = subprocess.run([harness.BIN, *args], stdin=subprocess.DEVNULL, stdout=writer,
                                  stderr=subprocess.PIPE, env=harness.environment(), timeout=60)
            os.close(writer)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
        with open("/dev/full", "wb") as full:
            done = subprocess.run([harness.BIN, "methods"], stdin=subprocess.DEVNULL, stdout=full,
                                  stderr=subprocess.PIPE, env=harness.environment(), timeout=60)
        self.assertEqual(done.returncode, 4)
        self.assertIn(b"standard output could not be written whole", done.stderr)

    def test_plan_json_parses_and_is_stable(self):
        file = self.sample()
        plan = self.ok("plan", file, "--json").out
        parsed = json.loads(plan)
        self.assertIsInstance(parsed, dict)
        for tensor in ("model.layers.3.mlp.up_proj.weight", "model.norm.weight"):
            self.assertIn('"%s"' % tensor, plan)
        self.assertEqual(self.ok("plan", file, "--json").out, plan)
        self.assertEqual(self.ok("plan", file, "--json", cwd=self.dir).out, plan)

    def test_plan_reads_headers_alone(self):
        # Were data read, the missing bytes of a sparse file would show as zeros, and its
        # time as seconds: this one pretends to hold 1 TiB.
        import stio
        folder = self.path("huge")
        os.makedirs(folder)
        shape = (1 << 19, 1 << 19)
        specs = [("model.layers.0.mlp.up_proj.weight", "F32", shape)]
        for name in ("base", "expert"):
            os.makedirs(os.path.join(folder, name))
            path = os.path.join(folder, name, "model.safetensors")
            header = stio.header_bytes(specs)
            with open(path, "wb") as f:
                f.write(header)
                f.truncate(len(header) + 4 * shape[0] * shape[1])
        file = harness.recipe(self.path("huge.yaml"), "task_arithmetic",
                              os.path.join(folder, "base"), [os.path.join(folder, "expert")])
        self.assertIn("model.layers.0.mlp.up_proj.weight", self.ok("plan", file, "--json").out)

    def test_plan_for_people_names_modes(self):
        out = self.ok("plan", self.sample()).out
        self.assertRegex(out, r"\n  spectral +\d+, [\d.]+ % of the elements: attention \d+, ")
        self.assertRegex(out, r"\n  mean +\d+, ")
        self.assertNotIn("model.norm.weight", out)
        self.assertNotIn("\ntime ", out)
        self.assertLess(len(out.splitlines()), 40)
        whole = self.ok("plan", self.sample(), "--tensors", "--read-rate", "100MB").out
        self.assertIn("\nmodel.norm.weight ", whole)
        self.assertRegex(whole, r"\ntime +0\.\d+ s to read at 95.4 MiB/s")
        self.assertOneError(harness.run("plan", self.sample(), "--read-rate", "0"), 2, "--read-rate")

    def test_inspect_json(self):
        for model in (SAMPLE_BASE, os.path.join(harness.EXPERTS, "expert_add_sharded")):
            first = self.ok("inspect", model, "--json").out
            parsed = json.loads(first)
            self.assertIsInstance(parsed, dict)
            self.assertEqual(len(parsed["tensors"]), 74)
            self.assertEqual(self.ok("inspect", model, "--json").out, first)
        self.assertIn("model.embed_tokens.weight", self.ok("inspect", SAMPLE_BASE).out)

    # --- merge -----------------------------------------------------------------------

    def test_merge_writes_a_whole_checkpoint(self):
        output = self.path("out")
        result = self.ok("merge", self.sample(), output)
        self.assertTrue(result.out.strip(), "the report's summary stands on stdout")
        names = set(os.listdir(output))
        for name in ("model.safetensors", "config.json", "tokenizer.json",
                     "tokenizer_config.json", "generation_config.json", "merge_report.json"):
            self.assertIn(name, names)
        self.assertFalse([n for n in names if n.startswith(".") or n.endswith(".partial")])
        with open(os.path.join(output, "config.json"), encoding="utf-8") as f:
            config = json.load(f)
        with open(os.path.join(SAMPLE_BASE, "config.json"), encoding="utf-8") as f:
            self.assertEqual(config, json.load(f))
        self.assertIsInstance(harness.report(output), dict)

    def test_config_json_tells_the_output_dtype(self):
        output = self.merge(self.sample(out_dtype="float32"), self.path("out"))
        with open(os.path.join(output, "config.json"), encoding="utf-8") as f:
            self.assertEqual(json.load(f)["torch_dtype"], "float32")

    def test_relative_paths_and_file_uris(self):
        wanted = harness.hash_output(self.merge(self.sample(), self.path("a")))
        self.merge("sample.yaml", "b", cwd=self.dir)
        self.assertEqual(harness.hash_output(self.path("b")), wanted)
        uris = harness.recipe(self.path("uris.yaml"), "resmerge", "file://" + SAMPLE_BASE,
                              ["file://" + s for s in SAMPLE])
        self.merge(uris, "file://" + self.path("c"))
        self.assertEqual(harness.hash_output(self.path("c")), wanted)
        relative = harness.recipe(
            self.path("relative.yaml"), "resmerge", os.path.relpath(SAMPLE_BASE, self.dir),
            [os.path.relpath(s, self.dir) for s in SAMPLE])
        self.merge(relative, self.path("d"))
        self.assertEqual(harness.hash_output(self.path("d")), wanted)

    def test_a_folder_beside_the_recipe_wins_over_the_cache(self):
        snapshot = self.path("hub", "models--org--expert", "snapshots", "only")
        harness.link_folder(SAMPLE[1], snapshot)
        beside = self.path("jobs", "org", "expert")
        harness.link_folder(SAMPLE[0], beside)
        file = harness.recipe(self.path("jobs", "r.yaml"), "task_arithmetic", SAMPLE_BASE,
                              ["org/expert"], per_model=[{"weight": 1}])

        def merged(name):
            output = self.path(name)
            self.ok("merge", file, output, cwd=self.dir, env={"HF_HUB_CACHE": self.path("hub")})
            return harness.hash_output(output)

        def of(model):
            named = harness.recipe(self.path("named.yaml"), "task_arithmetic", SAMPLE_BASE, [model],
                                   per_model=[{"weight": 1}])
            output = self.merge(named, self.path("of-" + os.path.basename(model)))
            return harness.hash_output(output)
        self.assertEqual(merged("from-folder"), of(SAMPLE[0]))
        shutil.rmtree(beside)
        self.assertEqual(merged("from-cache"), of(SAMPLE[1]))

    def test_shipped_recipes(self):
        folder = os.path.join(harness.SOURCE, "tests", "data", "recipes")
        names = sorted(n for n in os.listdir(folder) if n.endswith(".yaml"))
        self.assertGreaterEqual(len(names), 22)  # one a method, and wider scopes
        for name in names:
            self.ok("verify", self.merge(os.path.join(folder, name), self.path(name)))

    def test_shards_and_index(self):
        output = self.merge(self.sample(max_shard_size="1MB"), self.path("out"))
        names = harness.weight_files(output)
        self.assertIn(harness.INDEX, names)
        self.assertNotIn("model.safetensors", names)
        self.assertGreater(len(names), 3)
        import numpy as np
        import stio
        whole = self.merge(harness.recipe(self.path("whole.yaml"), "resmerge", SAMPLE_BASE,
                                          SAMPLE), self.path("whole"))
        a, b = stio.Checkpoint(output), stio.Checkpoint(whole)
        self.assertEqual(list(sorted(a.tensors)), list(sorted(b.tensors)))
        for name in a.tensors:
            self.assertTrue(np.array_equal(a.raw(name), b.raw(name)), name)
        total = sum(e.size for e in a.tensors.values())
        self.assertEqual(a.index["metadata"]["total_size"], total)

    # --- verify ----------------------------------------------------------------------

    def test_verify_and_one_flipped_byte(self):
        output = self.merge(self.sample(), self.path("out"))
        self.ok("verify", output)
        path = os.path.join(output, "model.safetensors")
        size = os.path.getsize(path)
        for at in (size // 2, size - 1, 12):
            with open(path, "r+b") as f:
                f.seek(at)
                old = f.read(1)
                f.seek(at)
                f.write(bytes([old[0] ^ 1]))
            self.assertOneError(harness.run("verify", output), 3, "model.safetensors")
            with open(path, "r+b") as f:
                f.seek(at)
                f.write(old)
        self.ok("verify", output)
        os.remove(os.path.join(output, "merge_report.json"))
        self.assertOneError(harness.run("verify", output), (2), "merge_report.json")

    # --- outputs that exist ----------------------------------------------------------

    def test_overwrite(self):
        output = self.path("out")
        os.makedirs(output)  # an empty folder is no output yet
        file = self.sample()
        wanted = harness.hash_output(self.merge(file, output))
        self.assertOneError(harness.run("merge", file, output), 2, "--overwrite")
        self.assertEqual(harness.hash_output(output), wanted)
        self.merge(file, output, "--overwrite")
        self.assertEqual(harness.hash_output(output), wanted)

    def test_overwrite_leaves_no_old_weights_beside_an_index(self):
        output = self.merge(self.sample(), self.path("out"))
        self.merge(self.sample(max_shard_size="1MB"), output, "--overwrite")
        self.assertNotIn("model.safetensors", harness.weight_files(output))
        self.ok("verify", output)
        self.merge(self.sample(), output, "--overwrite")
        self.assertEqual(harness.weight_files(output), ["model.safetensors"])
        self.ok("verify", output)

    # --- interruption ----------------------------------------------------------------

    def interrupt(self, file, output, number):
        """Starts a merge and sends it `number` while its partial files are there."""
        with harness.running("merge", file, output, "--threads", "1") as process:
            def writing():
                if process.poll() is not None:
                    raise AssertionError("over before it could be interrupted: %s" % (
                        process.communicate(),))
                # Of the shards: the claim, too, is written aside first.
                return any(n.startswith(".model") and n.endswith(".partial")
                           for n in harness.leftovers(output))
            harness.wait_for("partial files", writing, pause=0.005)
            process.send_signal(number)
            out, err = process.communicate(timeout=harness.LIMIT)
            return process.returncode, out.decode(), err.decode()

    def test_sigint(self):
        output = self.path("out")
        code, out, err = self.interrupt(self.generated(), output, signal.SIGINT)
        self.assertEqual(code, 130, out + err)
        self.assertEqual(out, "")
        self.assertNoOutput(output)

    def test_sigterm(self):
        output = self.path("out")
        code, out, err = self.interrupt(self.generated(), output, signal.SIGTERM)
        self.assertEqual(code, 130, out + err)
        self.assertNoOutput(output)

    def test_kill_9_leaves_no_visible_model(self):
        output = self.path("out")
        file = self.generated()
        code, _, _ = self.interrupt(file, output, signal.SIGKILL)
        self.assertEqual(code, -signal.SIGKILL)
        self.assertEqual(harness.weight_files(output), [])
        self.assertOneError(harness.run("merge", file, output), 2, "--overwrite")
        self.merge(file, output, "--overwrite")
        self.ok("verify", output)
        self.assertEqual(harness.hash_output(output),
                         harness.hash_output(self.merge(file, self.path("undisturbed"))))
        hidden = [n for n in harness.leftovers(output) if n.startswith(".")]
        self.assertEqual(hidden, [])


if __name__ == "__main__":
    harness.main()
