"""A merge into a bucket that is stopped before one of the calls of its publication, taken over from
another machine, brought to its end there, and then woken: it harms nothing.

A proxy before the store stops the process (SIGSTOP) when its n-th request since the publication
began arrives, and passes that request on when the other merge is over. A few of the calls are
tried, or with MERGANSER_CHAOS=1 each of them; MERGANSER_CALL tries one.
"""

import json
import os
import signal
import threading

import another_machine
import harness
from another_machine import BEAT
from harness import SAMPLE, SAMPLE_BASE
from s3_case import BucketCase
from s3_fault_proxy import FaultProxy

CHAOS = harness.CHAOS
# Of the calls so many are tried, in equal distances.
TRIED = 5


class Publication:
    """What a proxy passes on since the first call of a publication."""

    def __init__(self, stop_at=None):
        self.calls, self.process, self._stop_at = [], None, stop_at
        self.stopped, self.go_on = threading.Event(), threading.Event()
        self._lock = threading.Lock()

    def __call__(self, request):
        # Beats come when it is time, and are no part of it.
        if "/beat-" in request.target:
            return
        with self._lock:
            if not self.calls and "-files.json" not in request.target:
                return
            self.calls.append(str(request))
            at = len(self.calls)
        if at == self._stop_at:
            self.process.send_signal(signal.SIGSTOP)
            self.stopped.set()
            self.go_on.wait()


class TakeoverTest(BucketCase):
    def setUp(self):
        super().setUp()
        local, self.file = self.recipes("sample", SAMPLE_BASE, SAMPLE, max_shard_size="2MB")
        self.expected = self.wanted(local)
        self.assertGreater(len([n for n in self.expected if n.endswith(".safetensors")]), 1)

    def start(self, output, proxy):
        return harness.start("merge", self.file, "s3://models/" + output, "--threads", "1", *BEAT,
                             env={"AWS_ENDPOINT_URL": proxy.endpoint})

    def take_over(self, output):
        prefix = another_machine.prefix()
        if not prefix:
            key = output + "/.merganser/claim"
            record = json.loads(self.s3.get("models", key))
            record["host"] += "-elsewhere"
            self.s3.put("models", key, json.dumps(record).encode())
        process = harness.start("merge", self.file, "s3://models/" + output, "--resume", *BEAT,
                                prefix=prefix)
        out, err = process.communicate(timeout=harness.LIMIT)
        return harness.Result(["merge", "--resume"], process.returncode, out.decode(), err.decode())

    def calls(self):
        """Those of an undisturbed publication."""
        publication = Publication()
        with FaultProxy(self.server.port, before=publication) as proxy:
            _, err = self.start("out/calm", proxy).communicate(timeout=harness.LIMIT)
        self.check("out/calm", self.expected)
        self.assertGreater(len(publication.calls), 20, err)
        return publication.calls

    def stop_at(self, call):
        output = "out/stopped-%d" % call
        publication = Publication(call)
        with FaultProxy(self.server.port, before=publication) as proxy:
            process = publication.process = self.start(output, proxy)
            try:
                harness.wait_for("call %d" % call, lambda: publication.stopped.is_set() or
                                 process.poll() is not None)
                taken = self.take_over(output) if publication.stopped.is_set() else None
            finally:
                publication.go_on.set()
                process.send_signal(signal.SIGCONT)
                out, err = process.communicate(timeout=harness.LIMIT)
        woken = harness.Result(["merge"], process.returncode, out.decode(), err.decode())
        where = publication.calls[min(call, len(publication.calls)) - 1]
        print("%d: %s: %s; woken, %d: %s" % (
            call, where, "over before" if taken is None else "taken over", woken.code,
            woken.err.strip().split("\n")[-1]), flush=True)
        if taken is not None:
            self.assertEqual(taken.code, 0, "%s\n%s" % (taken, woken))
        self.assertIn(woken.code, (0, 2, 3, 4), str(woken))
        self.check(output, self.expected)

    def test_stopped_taken_over_and_woken(self):
        count = len(self.calls())
        only = os.environ.get("MERGANSER_CALL")
        step = 1 if CHAOS else max(1, count // TRIED)
        for call in [int(only)] if only else range(1, count + 1, step):
            with self.subTest(call=call):
                self.stop_at(call)


if __name__ == "__main__":
    harness.main()
