"""tests/bench/peers.py with the real mergekit and torch, on models of 0.2 MB: it runs, and the work is
equal. Its figures say nothing there; `tests/run.sh --peers` has those.

usage: peers_test.py      environment: MERGANSER_BIN, MERGANSER_SOURCE_DIR
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.environ.get("MERGANSER_SOURCE_DIR", os.path.dirname(os.path.dirname(HERE)))
BIN = os.environ.get("MERGANSER_BIN", os.path.join(SOURCE, "build", "bin", "merganser"))


class PeersTest(unittest.TestCase):
    def test_equal_work(self):
        with tempfile.TemporaryDirectory(prefix="peers-") as folder:
            done = subprocess.run(
                ["/usr/bin/python3", os.path.join(SOURCE, "tests", "bench", "peers.py"), folder,
                 "--bin", BIN, "--python", sys.executable, "--shape", "tiny", "--wide", "tiny",
                 "--methods", "slerp,ties,dare_linear,resmerge", "--plain", "slerp", "--runs", "1",
                 "--referee"], capture_output=True, text=True, check=False)
            print(done.stdout)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            with open(os.path.join(folder, "peers.json"), encoding="utf-8") as f:
                steps = json.load(f)["steps"]
        for name in ("mergekit/slerp", "plain/slerp", "torch/tiny, 3 experts", "torch/tiny, 2 experts"):
            self.assertGreater(steps[name]["compared"]["equal"], 0.999, name)
        # What the program and the script compute is what either means in float64.
        self.assertGreater(steps["referee"]["ours"]["equal"], 0.9999)
        self.assertGreater(steps["referee"]["script"]["equal"], 0.999)


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
