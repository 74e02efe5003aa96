"""Models at https:// and hf://: the bytes of the merge from disks, nothing copied first, and what is
said where a server is not as it should be. The servers are stubs on loopback."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import unittest.mock

import certificates
import harness
import remote_stubs
from harness import EXPERTS, SAMPLE, SAMPLE_BASE
from mpi_case import MPI_ENVIRONMENT, command
from remote_stubs import COMMIT

ALLOW = "--allow-private-addresses"
# Weights, index and configuration: what names no place.
SAME = (".safetensors", ".safetensors.index.json", "config.json", "tokenizer.json",
        "generation_config.json", "tokenizer_config.json")
# One of the experts is in two shards.
MODELS = [os.path.join(EXPERTS, "expert_add_sharded"), *SAMPLE[1:]]


def contents(folder):
    found = {}
    for name in os.listdir(folder):
        if name.endswith(SAME):
            with open(os.path.join(folder, name), "rb") as f:
                found[name] = f.read()
    return found


class RemoteCase(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = tempfile.mkdtemp(prefix="e2e-remote-", dir=harness.DATA)
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.certificate = certificates.make(cls.folder, "127.0.0.1", "IP:127.0.0.1")
        recipe = harness.recipe(os.path.join(cls.folder, "local.yaml"), "task_arithmetic", SAMPLE_BASE,
                                MODELS, per_model=[{"weight": 0.4}] * 3, out_dtype="bfloat16")
        result = harness.run("merge", recipe, os.path.join(cls.folder, "local"))
        assert result.code == 0, str(result)
        cls.wanted = contents(os.path.join(cls.folder, "local"))

    def setUp(self):
        super().setUp()
        variables = unittest.mock.patch.dict(os.environ, {
            "HF_HUB_OFFLINE": "0", "HF_HOME": self.path("hf-home"),
            "SSL_CERT_FILE": self.certificate[0]})
        variables.start()
        self.addCleanup(variables.stop)
        for name in ("HF_TOKEN", "HF_HUB_CACHE", "HF_ENDPOINT", "MERGANSER_HTTPS_TOKENS"):
            os.environ.pop(name, None)
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)

    def recipe_of(self, where):
        """`where` makes a location of a folder's name."""
        names = [where(os.path.basename(path)) for path in [SAMPLE_BASE, *MODELS]]
        return harness.recipe(self.path("remote.yaml"), "task_arithmetic", names[0], names[1:],
                              per_model=[{"weight": 0.4}] * 3, out_dtype="bfloat16")

    def check(self, output, *secrets):
        self.assertEqual(contents(output), self.wanted)
        for name in ("merge_report.json", "README.md"):
            with open(os.path.join(output, name), encoding="utf-8") as f:
                text = f.read()
            for secret in secrets:
                self.assertNotIn(secret, text)
        return harness.report(output)

    def refused(self, recipe, *texts, code=2, arguments=(ALLOW,), secrets=()):
        output = self.path("refused")
        result = harness.run("merge", recipe, output, *arguments)
        line = self.assertOneError(result, code, *texts)
        self.assertNoOutput(output)
        for secret in ("secret", *secrets):
            self.assertNotIn(secret, result.out + result.err)
        return line


    def by_ranks(self, recipe, output):
        done = subprocess.run(command(2, recipe, output, "--threads", "1", ALLOW),
                              stdin=subprocess.DEVNULL, capture_output=True,
                              env=harness.environment(MPI_ENVIRONMENT), timeout=harness.LIMIT,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check(output)


class HttpsTest(RemoteCase):
    def site(self, tls=False):
        site = remote_stubs.Site([SAMPLE_BASE, *MODELS],
                                 certificate=self.certificate if tls else None)
        return self.stack.enter_context(site)

    def test_merges_over_tls_with_a_token(self):
        site = self.site(tls=True)
        site.token = "top-secret"
        site.files["/base/LICENSE.txt"] = b"terms"
        recipe = self.recipe_of(lambda name: "%s/%s" % (site.url, name))
        os.environ["MERGANSER_HTTPS_TOKENS"] = "other.example=no,%s=top-secret" % site.url[8:]
        result = self.ok("merge", recipe, self.path("out"), ALLOW)
        report = self.check(self.path("out"), "top-secret")
        self.assertNotIn("top-secret", result.out + result.err)
        self.assertEqual(report["warnings"], [])
        self.assertEqual(report["models"][0]["uri"], site.url + "/base")
        self.assertTrue(os.path.exists(self.path("out", "LICENSE.txt")))
        self.assertTrue(all("If-Match" in headers for method, _, headers in site.requests
                            if "Range" in headers), "a range without its condition")
        del os.environ["MERGANSER_HTTPS_TOKENS"]
        self.refused(recipe, "401", "MERGANSER_HTTPS_TOKENS")

    def test_workers(self):
        site = self.site()
        recipe = self.recipe_of(lambda name: "%s/%s" % (site.url, name))
        roots = ("--allow-root", site.url, "--allow-root", self.dir)
        with harness.Cluster(2, self.path("state"), coordinator_args=(*roots, ALLOW),
                             worker_args=("--threads", "1", *roots, ALLOW)) as cluster:
            job = cluster.finish(cluster.submit(recipe, self.path("out")))
            self.assertEqual(harness.state_of(job), "SUCCEEDED", job)
            self.assertOneError(cluster.client("submit", recipe, site.url + "/out"), 2,
                                "only read")
        self.check(self.path("out"))

    def test_ranks(self):
        site = self.site()
        self.by_ranks(self.recipe_of(lambda name: "%s/%s" % (site.url, name)), self.path("out"))

    def test_private_addresses_are_refused_unless_they_are_allowed(self):
        for tls in (False, True):
            site = self.site(tls)
            recipe = self.recipe_of(lambda name, url=site.url: "%s/%s" % (url, name))
            self.refused(recipe, ALLOW, arguments=())
            self.assertEqual(site.requests, [])
            os.environ["MERGANSER_ALLOW_PRIVATE_ADDRESSES"] = "1"
            self.ok("plan", recipe)
            del os.environ["MERGANSER_ALLOW_PRIVATE_ADDRESSES"]

    def test_redirects(self):
        plain, site = self.site(), self.site(tls=True)
        recipe = self.recipe_of(lambda name: "%s/%s" % (site.url, name))
        other = self.site(tls=True)
        # Weights may be at another server, which sees no token.
        os.environ["MERGANSER_HTTPS_TOKENS"] = site.url[8:] + "=top-secret"
        site.token = "top-secret"
        site.redirects = {path: other.url + path for path in site.files if "safetensors" in path}
        self.ok("merge", recipe, self.path("out"), ALLOW)
        self.check(self.path("out"))
        self.assertTrue(other.requests)
        self.assertFalse([r for r in other.requests if "Authorization" in r[2]])
        # But not where TLS ends.
        path = "/base/model.safetensors"
        site.redirects = {path: plain.url + path + "?signature=secret"}
        self.refused(recipe, "TLS", "base/model.safetensors")
        site.redirects = {path: site.url + path}
        self.refused(recipe, "redirected more than")
        self.assertEqual(plain.requests, [])

    def test_what_a_server_does_not_tell_is_said(self):
        site = self.site()
        recipe = self.recipe_of(lambda name: "%s/%s" % (site.url, name))
        for etag, modified, said in (('W/"%s"', site.modified, "If-Unmodified-Since"),
                                     (None, site.modified, "If-Unmodified-Since"),
                                     (None, None, "size alone")):
            site.etag, site.modified = etag, modified
            output = self.path("out-%s" % said.replace(" ", "-") + str(etag is None))
            self.ok("merge", recipe, output, ALLOW)
            warnings = self.check(output)["warnings"]
            self.assertEqual(len(warnings), 4, warnings)
            self.assertTrue(all(said in w and site.url in w for w in warnings), warnings)

    def test_a_file_that_changes_meanwhile(self):
        site = self.site()
        recipe = self.recipe_of(lambda name: "%s/%s" % (site.url, name))
        path, seen = "/expert_sort/model.safetensors", []

        def change(asked):
            seen.append(asked)
            # The header was read and held against the others.
            if seen.count(path) >= 2:
                site.files[path] = site.files[path][:-1] + b"\xff"

        site.before = change
        self.refused(recipe, path, "changed", code=3)

    def test_servers_that_are_no_stores(self):
        site = self.site()
        recipe = self.recipe_of(lambda name: "%s/%s" % (site.url, name))
        site.ranges = False
        self.refused(recipe, "ignores ranges")
        site.ranges = True
        weights = site.files.pop("/base/model.safetensors")
        self.refused(recipe, "no model.safetensors and no model.safetensors.index.json", "/base")
        site.files["/base/model.safetensors"] = weights
        missing = self.recipe_of(lambda name: "%s/none/%s" % (site.url, name))
        self.refused(missing, "/none/base")

    def test_secrets_in_locations(self):
        for location in ("https://user:secret@127.0.0.1/a", "https://127.0.0.1/a?sig=secret"):
            recipe = harness.recipe(self.path("r.yaml"), "task_arithmetic", location, SAMPLE)
            self.refused(recipe, "r.yaml:", "found a location with")
            self.assertNotIn("secret", self.assertOneError(harness.run("inspect", location), 2))
            good = harness.recipe(self.path("r.yaml"), "task_arithmetic", SAMPLE_BASE, SAMPLE)
            self.assertNotIn("secret",
                             self.assertOneError(harness.run("merge", good, location), 2))

    def test_outputs_are_refused_when_they_are_planned(self):
        site = self.site()
        recipe = self.recipe_of(lambda name: "%s/%s" % (site.url, name))
        for output in (site.url + "/out", "https://models.example/out", "hf://org/name"):
            self.assertOneError(harness.run("merge", recipe, output, ALLOW), 2, "only read", output)
        self.assertEqual(site.requests, [])


class HubTest(RemoteCase):
    def setUp(self):
        super().setUp()
        models = {"lab/" + os.path.basename(path): path for path in [SAMPLE_BASE, *MODELS]}
        self.elsewhere = self.stack.enter_context(remote_stubs.Elsewhere(models))
        self.hub = self.stack.enter_context(remote_stubs.Hub(models, self.elsewhere))
        os.environ["HF_ENDPOINT"] = self.hub.url
        self.recipe = self.recipe_of("hf://lab/{}".format)

    def test_merges_what_a_branch_is_now(self):
        self.hub.token = os.environ["HF_TOKEN"] = "hf_secret"
        self.hub.busy = 2
        result = self.ok("merge", self.recipe, self.path("out"), ALLOW)
        report = self.check(self.path("out"), "hf_secret", "first-secret")
        self.assertNotIn("secret", result.out + result.err)
        self.assertEqual([model["uri"] for model in report["models"]],
                         ["hf://lab/%s@%s" % (os.path.basename(path), COMMIT)
                          for path in [SAMPLE_BASE, *MODELS]])
        self.assertEqual(report["warnings"], [])
        self.assertTrue(self.elsewhere.requests)
        for _, _, headers in self.elsewhere.requests:
            self.assertNotIn("Authorization", headers)
            self.assertNotIn("If-Match", headers)
        # A branch was asked for once a model; everything else is of its commit.
        self.assertEqual(len([1 for _, path, _ in self.hub.requests if "main" in path]), 4 + 2)
        with open(os.path.join(self.path("out"), "README.md"), encoding="utf-8") as f:
            self.assertIn('- "lab/expert_sort"', f.read())
        self.assertIn("model.embed_tokens.weight", self.ok("inspect", "hf://lab/base", ALLOW).out)
        # Nothing was staged.
        self.assertFalse(os.path.exists(self.path("hf-home")))

    def test_workers(self):
        roots = ("--allow-root", "hf://lab", "--allow-root", self.dir)
        with harness.Cluster(2, self.path("state"), coordinator_args=(*roots, ALLOW),
                             worker_args=("--threads", "1", *roots, ALLOW)) as cluster:
            job = cluster.finish(cluster.submit(self.recipe, self.path("out")))
            self.assertEqual(harness.state_of(job), "SUCCEEDED", job)
            other = self.recipe_of("hf://labs/{}".format)
            self.assertOneError(cluster.client("submit", other, self.path("out2")), 2, "hf://labs",
                                "--allow-root")
        self.check(self.path("out"))

    def test_ranks(self):
        self.by_ranks(self.recipe, self.path("out"))

    def test_an_address_that_ends_is_asked_for_anew(self):
        seen = []

        def end(path):
            seen.append(path)
            if len(seen) % 6 == 0:
                self.elsewhere.signature = "secret-%d" % len(seen)

        self.elsewhere.after = end
        self.ok("merge", self.recipe, self.path("out"), ALLOW, "--threads", "1")
        self.assertGreater(len(seen), 12)
        self.check(self.path("out"))

    def test_a_file_that_moved_meanwhile(self):
        seen = []

        def move(path):
            seen.append(path)
            # Requests come side by side: two may be in the list before either is counted.
            if seen.count("/lab/expert_sort/model.safetensors") >= 2:
                self.hub.etags["lab/expert_sort", "model.safetensors"] = "ab" * 32
                self.elsewhere.signature = "second-secret"

        self.elsewhere.before = move
        self.refused(self.recipe, "lab/expert_sort@", "another than when it was opened", code=3)

    def test_what_may_not_be_read_and_what_is_not_there(self):
        self.hub.gated["lab/base"] = 401
        self.refused(self.recipe, "hf://lab/base", "gated", "accept its terms at", "HF_TOKEN")
        os.environ["HF_TOKEN"] = "hf_secret"
        self.hub.gated["lab/base"] = 403
        self.refused(self.recipe, "hf://lab/base", "gated", "as the user of HF_TOKEN")
        self.hub.gated.clear()
        self.refused(self.recipe_of("hf://lab/no-{}".format), "hf://lab/no-base", "there is none")
        self.refused(self.recipe_of("hf://lab/{}@dev".format), "hf://lab/base",
                     "has no revision dev")
        self.refused(self.recipe_of("hf://lab/{}/sub".format), "lab/base")
        self.refused(self.recipe_of("hf://datasets/lab/{}".format), "no model of the hub")
        del os.environ["HF_TOKEN"]
        self.refused(self.recipe_of("lab/{}".format), "lab/base", "hf://lab/base")
        os.environ["HF_HUB_OFFLINE"] = "1"
        self.refused(self.recipe_of("hf://lab/{}".format), "HF_HUB_OFFLINE")

    def test_a_redirect_into_a_network_is_refused(self):
        # The hub is where the operator says; where it leads is not.
        self.refused(self.recipe, self.elsewhere.url, ALLOW, arguments=())
        self.assertEqual(self.elsewhere.requests, [])

    def test_the_cache_is_read_where_it_has_the_model(self):
        for path in [SAMPLE_BASE, *MODELS]:
            folder = self.path("hf-home", "hub", "models--lab--" + os.path.basename(path))
            os.makedirs(os.path.join(folder, "refs"))
            os.makedirs(os.path.join(folder, "blobs"))
            snapshot = os.path.join(folder, "snapshots", COMMIT)
            os.makedirs(snapshot)
            with open(os.path.join(folder, "refs", "main"), "w", encoding="utf-8") as f:
                f.write(COMMIT)
            for name, body in remote_stubs.of_folder(path).items():
                etag = self.hub.etag("lab/" + os.path.basename(path), name)
                with open(os.path.join(folder, "blobs", etag), "wb") as f:
                    f.write(body)
                os.symlink("../../blobs/" + etag, os.path.join(snapshot, name))
        for offline in ("0", "1"):
            os.environ["HF_HUB_OFFLINE"] = offline
            output = self.path("out" + offline)
            self.ok("merge", self.recipe, output)
            report = self.check(output)
            self.assertEqual(report["models"][0]["uri"], "hf://lab/base@" + COMMIT)
        self.assertEqual(self.hub.requests, [])
        text = json.dumps(json.loads(self.ok("plan", self.recipe, "--json").out))
        self.assertIn("hf://lab/base@" + COMMIT, text)


if __name__ == "__main__":
    harness.main()
