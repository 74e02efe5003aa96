"""What the tests of buckets share: a server with the models, recipes of the same merge from disks
and from the bucket, and what has to hold after every run."""

import os
import shutil
import tempfile
import unittest.mock

import harness
import radosgw
import s3_client
from harness import SAMPLE, SAMPLE_BASE

# Weights, index and configuration: what names no place.
SAME = (".safetensors", ".safetensors.index.json", "config.json", "tokenizer.json")


def aws(server):
    return {"AWS_ENDPOINT_URL": server.endpoint, "AWS_ACCESS_KEY_ID": server.access_key,
            "AWS_SECRET_ACCESS_KEY": server.secret_key, "AWS_REGION": "us-east-1"}


class BucketCase(harness.Case):
    """A server with one bucket that holds the sample experts."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = tempfile.mkdtemp(prefix="e2e-ceph-", dir=harness.DATA)
        cls.server = radosgw.Server(cls.folder)
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.server.start()
        cls.addClassCleanup(cls.server.stop)
        cls.s3 = s3_client.Client(cls.server.endpoint, cls.server.access_key,
                                  cls.server.secret_key)
        cls.s3.create_bucket("models")
        for path in [SAMPLE_BASE, *SAMPLE]:
            cls.s3.put_folder("models", "in/sample/" + os.path.basename(path), path)
        before = dict(os.environ)
        os.environ.update(aws(cls.server))
        cls.addClassCleanup(lambda: (os.environ.clear(), os.environ.update(before)))

    def setUp(self):
        super().setUp()
        self.secrets = {self.server.secret_key}
        listening = unittest.mock.patch.object(harness, "heard", [])
        listening.start()
        self.addCleanup(listening.stop)

    def tearDown(self):
        self.remove("out")
        super().tearDown()

    def remove(self, output):
        """The server keeps all of it in memory."""
        self.assertNoSecrets()
        for key in self.s3.keys("models", output + "/"):
            self.s3.delete("models", key)

    def assertNoSecrets(self):
        """No key or token in what the program said, left on disks (journals among it) or put into
        the bucket beside weights."""
        texts = [("output", text.encode()) for text in harness.heard]
        for at, _, names in os.walk(self.dir):
            for name in names:
                path = os.path.join(at, name)
                if name.endswith(".safetensors") or not os.path.isfile(path):
                    continue
                with open(path, "rb") as f:
                    texts.append((path, f.read()))
        for key in self.s3.keys("models", "out/"):
            if not key.endswith(".safetensors"):
                texts.append((key, self.s3.get("models", key)))
        for secret in self.secrets:
            for where, text in texts:
                self.assertFalse(secret.encode() in text, "%s holds a secret" % where)

    def recipes(self, folder, base, models, method="resmerge", **top):
        """The same merge from disks and from the bucket."""
        local = harness.recipe(self.path("local.yaml"), method, base, models, **top)
        inner = ["s3://models/in/%s/%s" % (folder, os.path.basename(path))
                 for path in [base, *models]]
        remote = harness.recipe(self.path("remote.yaml"), method, inner[0], inner[1:], **top)
        return local, remote

    def sample(self):
        return self.recipes("sample", SAMPLE_BASE, SAMPLE, out_dtype="bfloat16")

    def generated(self, family="generated", whole=False, **top):
        """Several shards, and more parts than shards; in sanitized builds only with `whole`."""
        models = harness.data(family, whole=whole)
        folder = os.path.basename(os.path.dirname(models[0]))
        if not self.s3.keys("models", "in/%s/" % folder):
            for path in models:
                self.s3.put_folder("models", "in/%s/%s" % (folder, os.path.basename(path)), path)
        return self.recipes(folder, models[0], models[1:],
                            **{"max_shard_size": "30MB", "unit_size": "1MB", **top})

    def through(self, proxy):
        """While it lasts, what is started finds the bucket behind the proxy."""
        return unittest.mock.patch.dict(os.environ, {"AWS_ENDPOINT_URL": proxy.endpoint})

    def wanted(self, local):
        output = self.path("local-out")
        self.merge(local, output)
        found = {}
        for name in os.listdir(output):
            if name.endswith(SAME):
                with open(os.path.join(output, name), "rb") as f:
                    found[name] = f.read()
        return found

    def check(self, output, wanted):
        """The bucket holds just what the disk holds, whole, and nothing else was left."""
        for name, content in wanted.items():
            self.assertTrue(self.s3.get("models", "%s/%s" % (output, name)) == content, name)
        self.assertEqual([k for k in self.s3.keys("models", output) if ".merganser" in k], [])
        self.assertEqual([k for k in self.s3.uploads("models") if k.startswith(output + "/")], [])
        self.ok("verify", "s3://models/" + output)
        self.assertIn("s3://models/" + output, self.ok("report", "s3://models/" + output).out)
