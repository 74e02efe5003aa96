"""Whose key opens a bucket, as the AWS tools find it, against a real S3 with a real token service
(Ceph's radosgw): profiles, programs, roles, and what is said where there is none."""

import json
import os
import shutil
import tempfile
import time

import harness
import radosgw
import s3_client
from harness import SAMPLE, SAMPLE_BASE
from ports import free_port

STS = "rgw sts key = merganser-tests1\nrgw s3 auth use sts = true"
ROLE = "arn:aws:iam:::role/reader"
TRUST = {"Version": "2012-10-17", "Statement": [{
    "Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam:::user/test"]},
    "Action": ["sts:AssumeRole"]}]}
# Reading below in/ alone.
POLICY = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::models/in/*"},
    {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": "arn:aws:s3:::models"}]}


class CredentialsTest(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = tempfile.mkdtemp(prefix="e2e-ceph-", dir=harness.DATA)
        cls.server = radosgw.Server(cls.folder, extra=STS)
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.server.start()
        cls.addClassCleanup(cls.server.stop)
        admin = ("radosgw-admin", "-c", cls.server.config, "-n", "client.rgw")
        cls.server.run(*admin, "role", "create", "--role-name=reader",
                       "--assume-role-policy-doc=" + json.dumps(TRUST))
        cls.server.run(*admin, "role-policy", "put", "--role-name=reader", "--policy-name=read",
                       "--policy-doc=" + json.dumps(POLICY))
        s3 = s3_client.Client(cls.server.endpoint, cls.server.access_key, cls.server.secret_key)
        s3.create_bucket("models")
        for path in [SAMPLE_BASE, *SAMPLE]:
            s3.put_folder("models", "in/" + os.path.basename(path), path)

    def environment(self, config="", credentials="", **more):
        """Nothing but the two files."""
        for name, text in (("config", config), ("credentials", credentials)):
            with open(self.path(name), "w", encoding="utf-8") as f:
                f.write(text)
        nobody = {name: "" for name in os.environ if name.startswith("AWS_")}
        return {**nobody, "AWS_CONFIG_FILE": self.path("config"),
                "AWS_SHARED_CREDENTIALS_FILE": self.path("credentials"),
                "AWS_ENDPOINT_URL": self.server.endpoint, **more}

    def key(self, section):
        return "[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n" % (
            section, self.server.access_key, self.server.secret_key)

    def inspect(self, env):
        result = harness.run("inspect", "s3://models/in/" + os.path.basename(SAMPLE_BASE), env=env)
        self.assertNotIn(self.server.secret_key, result.out + result.err)
        return result

    def reads(self, env):
        result = self.inspect(env)
        self.assertEqual(result.code, 0, str(result))

    def fails(self, env, *texts):
        return self.assertOneError(self.inspect(env), 2, *texts)

    def test_profiles(self):
        self.reads(self.environment(credentials=self.key("default")))
        env = self.environment(config="[profile ours]\nregion = us-east-1\n" + self.key("profile key"),
                               credentials=self.key("ours"), AWS_PROFILE="ours")
        self.reads(env)
        self.reads({**env, "AWS_PROFILE": "key"})
        self.fails({**env, "AWS_PROFILE": "theirs"}, "theirs", "they have key, ours")

    def test_a_program(self):
        answer = self.path("answer.json")
        with open(answer, "w", encoding="utf-8") as f:
            json.dump({"Version": 1, "AccessKeyId": self.server.access_key,
                       "SecretAccessKey": self.server.secret_key}, f)
        self.reads(self.environment("[default]\ncredential_process = cat '%s'\n" % answer))
        self.fails(self.environment(
            "[default]\ncredential_process = sh -c 'cat %s; exit 1'\n" % answer),
            "profile default", "credential_process", "sh ended with code 1")

    def test_a_role(self):
        env = self.environment("[default]\nrole_arn = %s\nsource_profile = key\n" % ROLE,
                               self.key("key"))
        self.reads(env)
        inputs = ["s3://models/in/" + os.path.basename(path) for path in [SAMPLE_BASE, *SAMPLE]]
        recipe = harness.recipe(self.path("r.yaml"), "resmerge", inputs[0], inputs[1:])
        self.ok("merge", recipe, self.path("out"), env=env)
        # The role may not write.
        self.assertOneError(harness.run("merge", recipe, "s3://models/out", env=env), 2,
                            "s3://models/out", "s3:")
        self.fails(self.environment("[default]\nrole_arn = arn:aws:iam:::role/none\n"
                                    "source_profile = key\n", self.key("key")),
                   "profile default", "arn:aws:iam:::role/none")

    def test_none(self):
        nowhere = "http://127.0.0.1:%d" % free_port()
        begun = time.monotonic()
        self.fails(self.environment(AWS_EC2_METADATA_DISABLED="",
                                    AWS_EC2_METADATA_SERVICE_ENDPOINT=nowhere),
                   "no credentials", "AWS_ACCESS_KEY_ID", "credentials", nowhere,
                   "--no-sign-request")
        self.assertLess(time.monotonic() - begun, 20)


if __name__ == "__main__":
    harness.main()
