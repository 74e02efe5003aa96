"""Whatever tensors, files and recipes are called: nothing that a terminal would obey, that
breaks a line or that turns the writing round is shown, and a page of JSON keeps the name."""

import json
import os
import subprocess
import unicodedata
import unittest

import numpy as np

import harness
import stio

NAMES = ["a\nb", "esc\x1b[31mred", "\u009b31mC1", "\u009d0;owned\u009c", "nel\u0085x",
         "bidi\u202egnp.exe", "iso\u2066late\u2069", "mark\u200e\u200f\u061c", "line\u2028\u2029",
         "nothing\u200b\u2060\ufeff\u00ad", "tag\U000e0041", "\r\nfake: line", "del\x7f",
         "<script>", "joined \u0645\u06cc\u200c\u062e 語 \U0001f600"]
FOLDER = b"m\xc2\x9b31m\xe2\x80\xae\xff"


def hidden(text):
    """The characters of `text` that may not be shown, but for line ends and tabs."""
    return [hex(ord(c)) for c in text
            if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cs")
            and c not in "\n\t\u200c\u200d"]


class ShownTextTest(harness.Case):
    def model(self, name, names, shift=0.0, shorter=None):
        """A model of vectors of these names; the one called `shorter` lacks an element."""
        folder = os.path.join(os.fsencode(self.dir), name)
        os.makedirs(folder)
        header = {"__metadata__": {"format": "pt", "\u009b2J": "\x1b]0;owned\x07"}}
        data = b""
        for i, tensor in enumerate(names):
            length = 3 if tensor == shorter else 4
            values = np.full((length,), i + shift, dtype="<f4").tobytes()
            header[tensor] = {"dtype": "F32", "shape": [length],
                              "data_offsets": [len(data), len(data) + len(values)]}
            data += values
        text = json.dumps(header).encode()
        with open(os.path.join(folder, b"model.safetensors"), "wb") as f:
            f.write(len(text).to_bytes(8, "little") + text + data)
        with open(os.path.join(folder, b"config.json"), "w", encoding="utf-8") as f:
            json.dump({"architectures": ["\x1b[31mX\u202e"], "model_type": "|\u009ba|"}, f)
        return folder

    def run_raw(self, *args):
        done = subprocess.run([harness.BIN, *args], stdin=subprocess.DEVNULL, capture_output=True,
                              env=harness.environment(), timeout=harness.LIMIT)
        return self.clean(done.stdout), self.clean(done.stderr), done.returncode

    def clean(self, output):
        text = output.decode("utf-8")  # strict
        self.assertEqual(hidden(text), [], text)
        return text

    def test_inspect(self):
        folder = self.model(FOLDER, NAMES)
        out, err, code = self.run_raw("inspect", folder)
        self.assertEqual((code, err), (0, ""))
        for shown in ("a?b", "?31mC1", "bidi?gnp.exe", "tag?", NAMES[-1]):
            self.assertIn(shown, out)
        out, err, code = self.run_raw("inspect", folder, "--json")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual([t["name"] for t in json.loads(out)["tensors"]], NAMES)

    def recipe(self, name, base, expert):
        path = os.path.join(self.dir, name)
        with open(path, "wb") as f:
            f.write(b"merge_method: task_arithmetic\nbase_model: '" + base
                    + b"'\nmodels:\n- model: '" + expert + b"'\n")
        return path

    def test_plan_merge_and_what_they_write(self):
        base = self.model("m\u202ebase\u2066".encode(), NAMES)
        expert = self.model("expert\u2067".encode(), NAMES, 1.0)
        recipe = self.recipe("r\u202e.yaml", base, expert)
        out, err, code = self.run_raw("plan", recipe, "--tensors")
        self.assertEqual((code, err), (0, ""))
        out, _, code = self.run_raw("plan", recipe, "--json")
        self.assertEqual(code, 0)
        self.assertEqual([t["name"] for t in json.loads(out)["tensors"]], NAMES)
        output = self.path("out\u202e")
        out, err, code = self.run_raw("merge", recipe, output)
        self.assertEqual(code, 0, err)
        self.assertEqual(self.run_raw("verify", output)[2], 0)
        with open(os.path.join(output, "merge_report.json"), "rb") as f:
            report = self.clean(f.read())
        self.assertEqual({t["name"] for t in json.loads(report)["tensors"]}, set(NAMES))
        with open(os.path.join(output, "README.md"), "rb") as f:
            card = f.read().decode("utf-8")
        self.assertEqual(hidden(card[:card.index("## Recipe")]), [])  # which is verbatim
        self.assertEqual(set(stio.Checkpoint(output).tensors), set(NAMES))

    def test_errors(self):
        base = self.model(b"base", NAMES)
        for i, tensor in enumerate(NAMES):
            expert = self.model(b"expert%d" % i, NAMES, shorter=tensor)
            _, err, code = self.run_raw("plan", self.recipe("r%d.yaml" % i, base, expert))
            self.assertEqual(code, 2, err)
            self.assertEqual(err.count("\n"), 1, err)
        for body in ("merge_method: \"li\\u009b\\u202enear\"\n", "\u202ekey: 1\n",
                     "merge_method: linear\nmodels: [{model: \"/no\\u009b\\u2066ne\"}]\n",
                     "merge_method: linear\nparameters: {\"\\u202e\": \"\\u009b\"}\n",
                     "merge_method: linear\nmodels: [{model: a, \"w\\u202e\": 1}]\n",
                     "merge_method: linear # \u009b31m\n"):
            path = self.path("bad\u202e\u009b.yaml")
            with open(path, "w", encoding="utf-8") as f:
                f.write(body)
            _, err, code = self.run_raw("plan", path)
            self.assertEqual(code, 2, err)
            self.assertEqual(err.count("\n"), 1, err)

    def test_service(self):
        base = self.model("m\u202ebase".encode(), NAMES)
        good = self.recipe("good\u202e.yaml", base, self.model(b"expert", NAMES, 1.0))
        bad = self.recipe("r\u009b.yaml", base, self.model("half\u2066".encode(), NAMES, shorter=NAMES[2]))
        with harness.Cluster(1, self.path("state")) as cluster:
            at = ("--coordinator", cluster.address)
            out, err, code = self.run_raw("submit", bad, bad + "-out", *at)
            self.assertEqual((out, code), ("", 2), err)
            out, err, code = self.run_raw("submit", good, good + "-out", *at)
            self.assertEqual((code, err), (0, ""))
            job = cluster.finish(out.strip())["name"]
            for command in (("get", job), ("watch", job), ("list",)):
                self.assertEqual(self.run_raw(*command, *at)[2], 0)
            self.assertEqual(json.loads(self.run_raw("get", job, "--json", *at)[0])["output_uri"],
                             good + "-out")
            self.assertEqual(self.run_raw("get", "jobs/\u202e\u009b", *at)[2], 2)
            self.assertEqual(hidden(cluster.log()), [])


if __name__ == "__main__":
    unittest.main()
