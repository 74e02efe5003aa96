#!/usr/bin/python3
"""Hours of jobs of every method, from disk to disk and from bucket to bucket, through one coordinator
and changing workers, while these are killed, stopped and started again and the network between them
goes. Every output must be the undisturbed one, nothing may be left anywhere, and memory, descriptors,
threads, the journal and the time of calls must not rise: flat lines.

usage: soak.py [--minutes M] [--seed S] [--family FAMILY] [--out FOLDER]

In the first 40 % of the time the coordinator is killed and started again too. The last one then lives
to the end, as one worker does from the beginning: over the second half their lines are judged
(soak_samples.py has the bounds). As root, workers are in a network namespace of their own, from which
they reach the coordinator through a proxy of this process and the store directly.

Environment: MERGANSER_BIN, MERGANSER_SOURCE_DIR, MERGANSER_DATA, as harness.py. Writes FOLDER/soak.md,
its pictures, samples.jsonl and the coordinator's and workers' last words. Ends with 0 if all holds.
"""

import argparse
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time

import disturbances
import harness
import radosgw
import s3_client
import soak_jobs
import soak_page
import soak_samples
from http_case import Site
from ports import free_port
from s3_case import aws

TOKEN = "s" * 40
MEMORY = 1 << 30  # --memory of each worker
KEPT_JOBS = 100
AT_A_TIME = 4
MOST_SECONDS = harness.LIMIT * 2  # of one job, from submission to its end


class SoakDisturbances(disturbances.Disturbances):
    """Of a cluster that goes on for long: workers come and go too, `spared` excepted."""

    def __init__(self, cluster, site, rng, pause):
        super().__init__(cluster, rng)
        self._site, self._pause = site, pause  # seconds between two: from, to
        self._next = time.monotonic() + pause[1]
        self._left = []  # of kinds, before all come again
        self._leaving = []  # (worker, when it has to be gone)
        self._gone = set()  # workers that ended because of this
        self.spared = None
        self.restarts = True  # whether the coordinator may go
        self.events, self.problems = [], []

    def kinds(self):
        found = [self.kill_worker, self.stop_worker, self.drain_worker, self.join_worker,
                 self.silence, self.cut, self.stop_coordinator]
        return found + ([self.kill_coordinator, self.restart_coordinator] if self.restarts else [])

    def live_workers(self):
        leaving = [w for w, _ in self._leaving]
        return [w for w in super().live_workers() if w is not self.spared and w not in leaving]

    def dying(self, worker):
        self._gone.add(worker.pid)

    def wait_until_ready(self):
        """Its pages are there after it listens to workers."""
        def ready():
            try:
                return self._site.get("/readyz").status == 200
            except OSError:
                return False
        harness.wait_for("a coordinator that is ready", ready)

    def kill_coordinator(self):
        super().kill_coordinator()
        self.wait_until_ready()

    def join_worker(self):
        if len(self.live_workers()) < 3:
            self.cluster.add_worker()

    def drain_worker(self):
        """Told to leave, it hands back what it holds and ends by itself."""
        if len(self.live_workers()) < 2:
            return self.join_worker()
        victim = self.victim()
        victim.send_signal(signal.SIGTERM)
        victim.send_signal(signal.SIGCONT)
        self._leaving.append((victim, time.monotonic() + harness.LIMIT))
        return None

    def stop_coordinator(self):
        # As short as nobody has to be asked meanwhile.
        process = self.cluster.coordinator
        process.send_signal(signal.SIGSTOP)
        time.sleep(self.random.uniform(0.5, disturbances.TIMEOUT + 1))
        process.send_signal(signal.SIGCONT)

    def restart_coordinator(self):
        process = self.cluster.coordinator
        process.send_signal(signal.SIGTERM)
        if process.wait(harness.LIMIT) != 0:
            self.problems.append("a coordinator that was told to end ended with %d"
                                 % process.returncode)
        self.cluster.start_coordinator()
        self.wait_until_ready()

    def look_after_workers(self):
        now = time.monotonic()
        for worker, until in list(self._leaving):
            if worker.poll() is not None:
                self._leaving.remove((worker, until))
                self._gone.add(worker.pid)
                # 4: what it held it could not hand back, as the network was gone.
                if worker.returncode not in (0, 4):
                    self.problems.append("a worker that was told to leave ended with %d"
                                         % worker.returncode)
            elif now > until:
                self._leaving.remove((worker, until))
                self.problems.append("a worker that was told to leave did not within %d s"
                                     % harness.LIMIT)
                worker.kill()
                self._gone.add(worker.pid)
        for worker in self.cluster.workers:
            if worker.poll() is not None and worker.pid not in self._gone:
                self._gone.add(worker.pid)
                self.problems.append("a worker that nothing was done to ended with %d"
                                     % worker.returncode)
                self.cluster.add_worker()

    def step(self):
        self.repair()
        self.look_after_workers()
        if time.monotonic() >= self._next:
            kinds = self.kinds()
            self._left = [k for k in self._left if k in kinds] or self.random.sample(kinds, len(kinds))
            kind = self._left.pop()
            kind()
            self.events.append((time.monotonic(), kind.__name__))
            self._next = time.monotonic() + self.random.uniform(*self._pause)


class Job:
    def __init__(self, name, kind, output):
        self.name, self.kind, self.output = name, kind, output
        self.began = time.monotonic()


class Soak:
    """One run. `problems` is empty if every output was as it has to be and nothing was left."""

    def __init__(self, cluster, site, kinds, places, sampler, seed, seconds, pause):
        self.random = random.Random(seed)
        self.cluster, self.site = cluster, site
        self.kinds, self.places, self.sampler = kinds, places, sampler
        self.seconds, self.problems = seconds, []
        self.disturbances = SoakDisturbances(cluster, site, self.random, pause)
        self.headers = {"Authorization": "Bearer " + TOKEN}
        self.done = {kind.label: 0 for kind in kinds}  # that are over, however
        self.given_up = 0  # jobs of which one unit was disturbed again and again
        self.latest = None  # of the jobs, by name
        self._queue, self._running, self._number = [], [], 0

    def problem(self, text):
        print("PROBLEM: " + text, flush=True)
        self.problems.append(text)

    def submit(self):
        if not self._queue:
            self._queue = list(self.kinds)
            self.random.shuffle(self._queue)
        kind = self._queue.pop()
        self._number += 1
        output = kind.place.output(self._number)
        name = self.cluster.submit(kind.recipe, output)
        self.latest = name
        self._running.append(Job(name, kind, output))

    def look(self, job):
        """Whether it is over, and if so whether as it has to be."""
        answer = self.site.ask("GET", "/api/v1/" + job.name, headers=self.headers)
        if answer.status != 200:
            self.problem("%s (%s): %s" % (job.name, job.kind.label, answer))
            return True
        state = answer.json
        if not harness.finished(state):
            if time.monotonic() - job.began < MOST_SECONDS:
                return False
            self.problem("%s (%s) is not over after %d s: %s"
                         % (job.name, job.kind.label, MOST_SECONDS, answer.body[:1000]))
            return True
        if (harness.state_of(state) == "FAILED" and "was tried" in state["error"]["message"]
                and state["error"]["reason"] == "RETRY_MAY_HELP"):
            # It says so, nothing that it left looks whole, and it does not happen often.
            self.given_up += 1
            self._queue.append(job.kind)
            digests, names = job.kind.place.read(job.output)
            if digests or any(name.startswith(".") for name in names):
                self.problem("%s (%s): failed, it left %s"
                             % (job.name, job.kind.label, sorted(names)))
            if self.given_up > 3 + sum(self.done.values()) / 50:
                self.problem("%d jobs were given up: %s" % (self.given_up, answer.body[:1000]))
            return True
        if harness.state_of(state) != "SUCCEEDED":
            self.problem("%s (%s): %s" % (job.name, job.kind.label, answer.body[:1000]))
            return True
        digests, names = job.kind.place.read(job.output)
        if digests != job.kind.digests:
            self.problem("%s (%s): other bytes than undisturbed in %s" % (
                job.name, job.kind.label,
                sorted(n for n in set(digests) | set(job.kind.digests)
                       if digests.get(n) != job.kind.digests.get(n))))
        elif names != job.kind.names:
            self.problem("%s (%s): other files than undisturbed: %s"
                         % (job.name, job.kind.label, sorted(names ^ job.kind.names)))
        return True

    def look_at_jobs(self):
        for job in list(self._running):
            if self.look(job):
                self._running.remove(job)
                self.done[job.kind.label] += 1
                job.kind.place.remove(job.output)

    def sample(self):
        workers = [w.pid for w in self.cluster.workers if w.poll() is None]
        sample = self.sampler.take(self.cluster.coordinator.pid, workers, self.latest)
        for worker in sample["workers"]:
            if worker["peak"] > MEMORY and not harness.SLOW:
                self.problem("a worker took %d MiB, expected %d at most (--memory)"
                             % (worker["peak"] >> 20, MEMORY >> 20))
        return sample

    def tell(self, sample):
        of = sample["coordinator"]
        print("%5.1f min: %d jobs, each kind %d times or more; %d disturbances; coordinator %d MiB, "
              "%d descriptors, %d threads; %d workers; journal %.1f MiB; list %.0f ms; problems: %d"
              % (sample["time"] / 60, sum(self.done.values()), min(self.done.values()),
                 len(self.disturbances.events), of["memory"] >> 20, of["descriptors"],
                 of["threads"], len(sample["workers"]), sample["journal"] / soak_samples.MIB,
                 sample["list"], len(self.problems)), flush=True)

    def run(self, every, tell_every):
        """`every`: seconds between samples."""
        began = time.monotonic()
        self.disturbances.spared = self.cluster.workers[0]
        next_sample = next_line = began
        while True:
            now = time.monotonic()
            over = now - began >= self.seconds and min(self.done.values()) > 0
            self.disturbances.restarts = now - began < 0.4 * self.seconds
            if not over:
                self.disturbances.step()
                while len(self._running) < AT_A_TIME:
                    self.submit()
            elif not self._running:
                break
            else:
                self.disturbances.repair(everything=True)
            self.look_at_jobs()
            if now >= next_sample:
                sample = self.sample()
                next_sample = time.monotonic() + every
                if now >= next_line:
                    self.tell(sample)
                    next_line = time.monotonic() + tell_every
            time.sleep(0.2)
        self.disturbances.repair(everything=True)
        self.tell(self.sample())
        self.problems += self.disturbances.problems
        if self.disturbances.spared.poll() is not None:
            self.problem("the worker that was spared ended with %d"
                         % self.disturbances.spared.returncode)
        for place in self.places:
            strays = place.strays()
            if strays:
                self.problem("left in the %s: %s" % (place.name, strays[:20]))


def check_journal(state):
    """What is wrong with what a coordinator that has ended left: jobs beyond those that are to be
    kept, and results of units, which go with the end of their job."""
    found = []
    with sqlite3.connect("file:%s?mode=ro" % os.path.join(state, "merganser.db"), uri=True) as file:
        for what, query, most in (
                ("jobs", "SELECT count(*) FROM jobs", KEPT_JOBS),
                ("jobs that are not over",
                 "SELECT count(*) FROM jobs WHERE state NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED')",
                 0),
                ("results of units", "SELECT count(*) FROM results", 0)):
            count = file.execute(query).fetchone()[0]
            if count > most:
                found.append("the journal holds %d %s, expected %d at most" % (count, what, most))
    return found


def soak(folder, out, models, seconds, seed, every=5, tell_every=30, pause=(5, 25), names=None):
    """Runs one in `folder`, which should be empty, and writes its page into `out`. `names`: of
    sample recipes (default: all). Returns the Soak and its lines."""
    os.makedirs(out, exist_ok=True)
    token, state = os.path.join(folder, "token"), os.path.join(folder, "state")
    with open(os.open(token, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="ascii") as f:
        f.write(TOKEN + " admin\n")
    space = disturbances.namespace(0)
    host = "127.0.0.1" if space is None else space.host
    before = dict(os.environ)
    try:
        with radosgw.Server(os.path.join(folder, "ceph"), host=host) as server:
            os.environ.update(aws(server))
            client = s3_client.Client(server.endpoint, server.access_key, server.secret_key)
            places = [soak_jobs.Disk(folder), soak_jobs.Bucket(client, "soak", models)]
            kinds = soak_jobs.kinds(folder, models, places, names)
            print("%d kinds of jobs, seed %d" % (len(kinds), seed), flush=True)
            port = free_port()
            roots = () if space is None else ("--allow-root", "s3://soak")
            with disturbances.DisturbedCluster(
                    3, state, token, space, proxied=True,
                    worker_args=("--threads", "1", "--memory", str(MEMORY)),
                    coordinator_args=("--http", "127.0.0.1:%d" % port, "--keep-jobs",
                                      str(KEPT_JOBS), *roots)) as cluster:
                site = Site("http://127.0.0.1:%d" % port)
                sampler = soak_samples.Sampler(os.path.join(out, "samples.jsonl"), state, site,
                                               {"Authorization": "Bearer " + TOKEN})
                run = Soak(cluster, site, kinds, places, sampler, seed, seconds, pause)
                began = time.monotonic()
                run.disturbances.wait_until_ready()
                try:
                    run.submit()
                    run.run(every, tell_every)
                finally:
                    sampler.close()
                    with open(os.path.join(out, "log.txt"), "w", encoding="utf-8") as f:
                        f.write(cluster.log())
                events = [(at - began, kind) for at, kind in run.disturbances.events]
            for name, process in (("the coordinator", cluster.coordinator),
                                  ("the worker that was spared", run.disturbances.spared)):
                if process.returncode != 0:
                    run.problem("told to end, %s ended with %d" % (name, process.returncode))
        space = None  # ended with the cluster
    finally:
        if space is not None:
            space.close()
        os.environ.clear()
        os.environ.update(before)
    for text in check_journal(state):
        run.problem(text)
    judged = soak_samples.judge(sampler.samples, run.disturbances.spared.pid)
    soak_page.write(out, run, judged, sampler.samples, events, seed)
    return run, judged


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--family", default="generated",
                        help="of make_models.py, with three experts, or `sample` (default: generated)")
    parser.add_argument("--out", default="soak")
    args = parser.parse_args()
    if radosgw.missing():
        parser.error("there is no %s (Debian's ceph-mon, ceph-osd, radosgw)"
                     % ", ".join(radosgw.missing()))
    if args.family == "sample":
        models = [harness.SAMPLE_BASE, *harness.SAMPLE]
    else:
        models = harness.data(args.family, **(
            {"scale": 0.34} if args.family == "generated" else {}))
    if harness.DATA:
        os.makedirs(harness.DATA, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="soak-", dir=harness.DATA)
    try:
        run, judged = soak(folder, args.out, models, 60 * args.minutes, args.seed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    flat = args.minutes < soak_samples.LEAST_MINUTES or all(line.flat for line in judged)
    print("%s: %s" % (os.path.join(args.out, "soak.md"), soak_page.verdict(run, judged)))
    return 0 if flat and not run.problems else 1


if __name__ == "__main__":
    sys.exit(main())
