"""What `merge`, `submit --watch` and `watch` say while they go on: one line that is rewritten on a
terminal, calm; lines elsewhere; and a summary at the end."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
import time

import harness
from remote_stubs import Site

COLUMNS = 72
CLEAR = "\r\x1b[K"


class ProgressTest(harness.Case):
    def recipe(self, base, expert):
        return harness.recipe(self.path("r.json"), "linear", None, [base, expert], {"weight": 1})

    def slow(self, site):
        """Words of a merge of which reading takes some seconds."""
        site.before = lambda path: time.sleep(0.8 if path.endswith("/model.safetensors") else 0)
        return ("merge", self.recipe(site.url + "/base", site.url + "/expert"), self.path("out"),
                "--allow-private-addresses")

    def site(self):
        return Site([harness.link_folder(m, self.path(n)) for n, m in
                     (("base", harness.SAMPLE_BASE), ("expert", harness.SAMPLE[0]))])

    def on_terminal(self, *args):
        """Its exit code, seconds, and what a terminal of COLUMNS got on stderr."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
        got = []

        def read():
            while True:
                try:
                    data = os.read(master, 65536)
                except OSError:  # nobody has the other end any more
                    return
                got.append(data.decode())
        reader = threading.Thread(target=read)
        began = time.monotonic()
        process = subprocess.Popen([harness.BIN, *args], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=slave,
                                   env=harness.environment())
        os.close(slave)
        reader.start()
        code = process.wait(timeout=harness.LIMIT)
        took = time.monotonic() - began
        reader.join()
        os.close(master)
        return code, took, "".join(got)

    def test_a_terminal_has_one_line_that_is_rewritten_calmly(self):
        with self.site() as site:
            code, took, got = self.on_terminal(*self.slow(site))
        self.assertEqual(code, 0, got)
        # What there is to note is said once, above it, and the line is written again.
        got = re.sub(r"note: [^\r\n]*\r?\n[^\r\n]*", "", got)
        self.assertNotIn("\n", got)
        shown = got.split(CLEAR)
        self.assertEqual(shown[0], "")
        self.assertEqual(shown[-1], "")  # it is gone at the end
        self.assertLessEqual(len(shown), 2 * took + 3)
        self.assertGreater(len(shown), 3)
        for line, after in zip(shown, shown[1:]):
            self.assertLess(len(line), COLUMNS)
            self.assertNotEqual(line, after)
        self.assertTrue(any(re.match(r"merging: [\d.]+ [KM]?i?B/s, time left not known yet, "
                                     r"[\d.]+ [KM]?i?B of 4.54 MiB \(\d+ %\)", line) for line in shown),
                        shown)

    def test_lines_stand_above_the_one_that_is_rewritten(self):
        with self.site() as site:
            code, _, got = self.on_terminal(*self.slow(site), "--metrics-file",
                                            self.path("nowhere", "x.prom"), "--metrics-every", "1")
        self.assertEqual(code, 0, got)
        line, = re.findall(r"[^\n\r]*warning: --metrics-file[^\n]*\n", got.replace(CLEAR, "\n"))
        self.assertTrue(line.startswith("warning: "), line)

    def test_elsewhere_a_short_merge_says_nothing(self):
        file = self.recipe(harness.SAMPLE_BASE, harness.SAMPLE[0])
        done = self.ok("merge", file, self.path("out"))
        self.assertEqual(done.err, "")
        for said in (r"(?m)^method +linear", r"(?m)^models +2 experts", r"(?m)^output .* 74 tensors",
                     r"(?m)^read +[\d.]+ MiB, [\d.]+ .iB/s$", r"(?m)^written +4.54 MiB, ",
                     r"(?m)^took +[\d.]+ m?s$", r"(?m)^merged into " + self.path("out") + "$"):
            self.assertRegex(done.out, said)

    def test_elsewhere_a_log_has_every_phase_with_its_figures(self):
        with self.site() as site:
            done = self.ok(*self.slow(site), "--log-format", "text")
        self.assertRegex(done.err, r"(?m) info  phase=merging .*bytes_total=\d+ units_done=\d+ "
                                   r"units_total=1 merging: ")
        self.assertNotIn("\r", done.err)

    def test_a_watch_tells_of_phases_and_ends_with_a_summary(self):
        with harness.Cluster(0, self.path("state")) as cluster:
            file = self.recipe(harness.SAMPLE_BASE, harness.SAMPLE[0])
            with open(self.path("err"), "wb") as err, harness.running(
                    "submit", file, self.path("out"), "--watch", "--coordinator", cluster.address,
                    stderr=err) as process:
                def text():
                    with open(self.path("err"), encoding="utf-8") as f:
                        return f.read()
                harness.wait_for("a line", lambda: "running: no worker is alive" in text())
                cluster.add_worker()
                self.assertEqual(process.wait(timeout=harness.LIMIT), 0, text())
            said = text()
        self.assertNotIn("\r", said)
        self.assertRegex(said, r"(?m)^read +[\d.]+ MiB, ")
        self.assertRegex(said, r"merged into %s in [\d.]+ m?s\n$" % self.path("out"))


if __name__ == "__main__":
    harness.main()
