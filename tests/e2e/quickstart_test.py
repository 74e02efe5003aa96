"""deploy/quickstart.sh, as far as it goes with a program that is built: its flags, and --dashboard."""

import http.client
import os
import re
import signal
import socket
import subprocess

import harness


class QuickstartTest(harness.Case):
    script = os.path.join(harness.SOURCE, "deploy", "quickstart.sh")

    def test_flags(self):
        told = subprocess.run([self.script, "--help"], capture_output=True, text=True, check=True)
        self.assertIn("--dashboard [--port PORT]", told.stdout)
        for wrong in (["--dashbord"], ["--dashboard", "out"], ["--port", "x"], ["a", "b"]):
            done = subprocess.run([self.script, *wrong], capture_output=True, text=True,
                                  check=False)
            self.assertEqual(done.returncode, 2, wrong)
            self.assertIn("quickstart.sh: ", done.stderr)

    def test_the_dashboard_logs_in_once_and_leaves_nothing(self):
        # With the program that is there; as a terminal would start it.
        with subprocess.Popen([self.script, "--dashboard"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env=harness.environment({"TMPDIR": self.dir}),
                              process_group=0) as script:
            try:
                told = ""
                for line in script.stdout:
                    told += line
                    if "until Ctrl-C" in line:
                        break
                link = re.search(r"http://127\.0\.0\.1:(\d+)(/login\?key=\w+)", told)
                self.assertTrue(link, told)
                folder = re.search(r"in (\S+) until Ctrl-C", told).group(1)
                harness.wait_for("the merge", lambda: os.path.exists(
                    os.path.join(folder, "merged", "merge_report.json")))
                answers = []
                for _ in range(2):
                    client = http.client.HTTPConnection("127.0.0.1", int(link.group(1)), timeout=30)
                    client.request("GET", link.group(2))
                    answers.append(client.getresponse().headers["Location"])
                    client.close()
                self.assertEqual(answers, ["/", "/login?link=spent"])
            finally:
                os.killpg(script.pid, signal.SIGINT)
            self.assertEqual(script.wait(60), 130, told)
        self.assertEqual(harness.leftovers(self.dir), [])
        # Nobody listens there any more.
        with socket.socket() as probe:
            self.assertNotEqual(probe.connect_ex(("127.0.0.1", int(link.group(1)))), 0)
        left = subprocess.run(["pgrep", "-f", folder], capture_output=True, text=True, check=False)
        self.assertEqual(left.stdout, "")


if __name__ == "__main__":
    harness.main()
