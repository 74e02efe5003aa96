"""From bucket to bucket in a mock of Amazon's own, which answers as Amazon where Ceph does not, and
Amazon's client for Python as the one that puts models and reads what came of them.

usage: moto_test.py        environment: MERGANSER_BIN, MERGANSER_SOURCE_DIR
Needs moto[server] and boto3 (tests/run.sh --full installs them).
"""

import os
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import boto3  # noqa: E402
import botocore.config  # noqa: E402

import harness  # noqa: E402
import radosgw  # noqa: E402

KEY, SECRET = "AKIDEXAMPLE", "a-secret-that-nobody-shows"


class MotoTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.port, = radosgw.free_ports(1)
        cls.server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(cls.port)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cls.addClassCleanup(cls.server.wait)
        cls.addClassCleanup(cls.server.kill)
        cls.env = {"AWS_ENDPOINT_URL": "http://127.0.0.1:%d" % cls.port, "AWS_ACCESS_KEY_ID": KEY,
                   "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1"}
        cls.s3 = boto3.client("s3", endpoint_url=cls.env["AWS_ENDPOINT_URL"],
                              region_name="us-east-1", aws_access_key_id=KEY,
                              aws_secret_access_key=SECRET,
                              config=botocore.config.Config(s3={"addressing_style": "path"}))
        until = time.monotonic() + 60
        while True:
            try:
                cls.s3.create_bucket(Bucket="models")
                break
            except Exception:  # not there yet, in one of many ways
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
        for folder in [harness.SAMPLE_BASE, *harness.SAMPLE]:
            for name in os.listdir(folder):
                cls.s3.upload_file(os.path.join(folder, name), "models",
                                   "in/%s/%s" % (os.path.basename(folder), name))

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = folder.name

    def run_program(self, code, *args):
        result = harness.run(*args, env=self.env)
        self.assertEqual(result.code, code, str(result))
        self.assertNotIn(SECRET, result.out + result.err)
        return result

    def test_from_bucket_to_bucket(self):
        local = harness.recipe(os.path.join(self.dir, "local.yaml"), "resmerge",
                               harness.SAMPLE_BASE, harness.SAMPLE)
        inner = ["s3://models/in/" + os.path.basename(p)
                 for p in [harness.SAMPLE_BASE, *harness.SAMPLE]]
        remote = harness.recipe(os.path.join(self.dir, "remote.yaml"), "resmerge", inner[0],
                                inner[1:])
        wanted = os.path.join(self.dir, "wanted")
        self.run_program(0, "merge", local, wanted)
        output = "s3://models/out/moto"
        self.run_program(0, "merge", remote, output, "--storage-class", "STANDARD_IA", "--sse",
                         "aws:kms", "--acl", "bucket-owner-full-control")
        weights = [n for n in os.listdir(wanted) if n.endswith(".safetensors")]
        for name in weights:
            found = self.s3.get_object(Bucket="models", Key="out/moto/" + name)
            with open(os.path.join(wanted, name), "rb") as f:
                self.assertTrue(found["Body"].read() == f.read(), name)
            self.assertEqual(found["StorageClass"], "STANDARD_IA")
            self.assertEqual(found["ServerSideEncryption"], "aws:kms")
        self.assertIn("not empty", self.run_program(2, "merge", remote, output).err)
        self.run_program(0, "merge", remote, output, "--overwrite")
        self.run_program(0, "verify", output)
        left = self.s3.list_multipart_uploads(Bucket="models").get("Uploads", [])
        self.assertEqual(left, [])
        keys = [o["Key"] for o in self.s3.list_objects_v2(Bucket="models", Prefix="out/")["Contents"]]
        self.assertEqual([k for k in keys if ".merganser" in k], [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
