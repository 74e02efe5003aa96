"""The policies of deploy/s3, by which a merge passes; and with each right taken away, one line that
names it."""

import json
import os
import re

import harness
import s3_client
from harness import SAMPLE, SAMPLE_BASE
from s3_case import BucketCase

POLICIES = os.path.join(harness.SOURCE, "deploy", "s3")
USER, KEY, SECRET = "merge", "merge-key", "merge-user-secret"


def policy(name, without=(), **places):
    """A policy of deploy/s3 with its places filled in, and some actions denied: a store lets
    whoever made an object read it without being told to."""
    with open(os.path.join(POLICIES, name + ".json"), encoding="utf-8") as f:
        text = f.read()
    for place, value in places.items():
        text = text.replace(place, value)
    found = json.loads(text)
    for action in without:
        of = [each for each in found["Statement"] if action in each["Action"]]
        assert of, action
        found["Statement"] += [{"Effect": "Deny", "Action": [action],
                                "Resource": each["Resource"]} for each in of]
    return json.dumps(found)


class ReadmeTest(harness.Case):
    def test_the_readme_names_the_rights_that_the_policies_give(self):
        with open(os.path.join(harness.SOURCE, "deploy", "README.md"), encoding="utf-8") as f:
            readme = f.read()
        for name in ("reader", "writer", "kms"):
            row = re.search(r"^\| `s3/%s.json` \|.*$" % name, readme, re.M).group(0)
            found = json.loads(policy(name))
            self.assertEqual(sorted(set(re.findall(r"`((?:s3|kms):\w+)`", row))),
                             sorted(action for statement in found["Statement"]
                                    for action in statement["Action"]))


class PolicyTest(BucketCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server.admin("caps", "add", "--uid=test", "--caps=user-policy=*")
        cls.server.admin("user", "create", "--uid=" + USER, "--display-name=" + USER,
                         "--access-key=" + KEY, "--secret-key=" + SECRET)
        cls.user = s3_client.Client(cls.server.endpoint, KEY, SECRET)
        # Inputs are in a bucket of their own, so that a right is taken away for one side alone.
        cls.s3.create_bucket("inputs")
        for path in [SAMPLE_BASE, *SAMPLE]:
            cls.s3.put_folder("inputs", "rl/" + os.path.basename(path), path)
        # What the user puts is the user's: the test looks at it all the same.
        everything = {"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam:::user/test"]},
                      "Action": ["s3:*"],
                      "Resource": ["arn:aws:s3:::models", "arn:aws:s3:::models/*"]}
        cls.s3.request("PUT", "/models", {"policy": ""}, json.dumps(
            {"Version": "2012-10-17", "Statement": [everything]}).encode())

    def setUp(self):
        super().setUp()
        self.secrets.add(SECRET)
        inputs = ["s3://inputs/rl/" + os.path.basename(path) for path in [SAMPLE_BASE, *SAMPLE]]
        self.file = harness.recipe(self.path("inputs.yaml"), "resmerge", inputs[0], inputs[1:],
                                   out_dtype="bfloat16")

    def may(self, name, document):
        self.s3.request("POST", "/", {"Action": "PutUserPolicy", "UserName": USER,
                                      "PolicyName": name, "PolicyDocument": document})

    def grant(self, without_reading=(), without_writing=()):
        self.may("reader", policy("reader", without_reading, BUCKET="inputs", PREFIX="rl"))
        self.may("writer", policy("writer", without_writing, BUCKET="models", PREFIX="out"))

    def merge_as_user(self, output, *args):
        return harness.run("merge", self.file, "s3://models/" + output, *args,
                           env={"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET})

    def test_they_are_enough(self):
        wanted = self.wanted(self.sample()[0])
        self.grant()
        for args in ((), ("--overwrite",)):
            result = self.merge_as_user("out/user", *args)
            self.assertEqual((result.code, result.err), (0, ""), str(result))
            self.check("out/user", wanted)
        # And no more than that: nothing may be put elsewhere.
        for bucket, key in (("inputs", "rl/another"), ("models", "outside")):
            with self.assertRaises(s3_client.Error) as denied:
                self.user.put(bucket, key, b"x")
            self.assertEqual(denied.exception.code, 403)

    def test_each_right_of_a_reader_is_named(self):
        for action in ("s3:GetObject", "s3:ListBucket"):
            with self.subTest(action=action):
                self.grant(without_reading=(action,))
                self.assertOneError(self.merge_as_user("out/reader"), 2, action, "s3://inputs/rl")

    def test_each_right_of_a_writer_is_named(self):
        for action, code in (("s3:PutObject", 2), ("s3:GetObject", 2), ("s3:ListBucket", 2),
                             ("s3:DeleteObject", 0), ("s3:AbortMultipartUpload", 0),
                             ("s3:ListMultipartUploadParts", 3)):
            with self.subTest(action=action):
                output = "out/" + action[3:]
                self.grant(without_writing=(action,))
                result = self.merge_as_user(output)
                print("without %s: %d, %s" % (action, result.code, result.err.strip()))
                lines = [line for line in result.err.splitlines() if line]
                self.assertEqual(len(lines), 1, str(result))
                self.assertIn(action, lines[0])
                self.assertIn("s3://models/" + output, lines[0])
                self.assertEqual(result.code, code)
                # Without the right to clear up the merge is complete all the same.
                if code == 0:
                    self.ok("verify", "s3://models/" + output)

    def test_without_the_right_to_list_uploads_it_goes_on(self):
        wanted = self.wanted(self.sample()[0])
        self.grant(without_writing=("s3:ListBucketMultipartUploads",))
        result = self.merge_as_user("out/unlisted")
        self.assertEqual(result.code, 0, str(result))
        self.check("out/unlisted", wanted)


if __name__ == "__main__":
    harness.main()
