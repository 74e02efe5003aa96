"""A feed of made-up jobs that a test plays: what a coordinator answers to the dashboard's pages and tells
them (dashboard_server.py serves it)."""

import json
import re
import threading
import time

import dashboard_data as made

KEPT = 200


class Refused(Exception):
    def __init__(self, code, status, message, reason="", metadata=None):
        super().__init__(message)
        self.body = {
            "error": {
                "code": code,
                "status": status,
                "message": message,
                "details": [{"reason": reason, "domain": "merganser", "metadata": metadata or {}}],
            }
        }
        self.code = code


class Feed:
    """The state behind the pages. Tests change it under `lock` and `send` what changed."""

    def __init__(self, jobs, workers, picture=None, comparison=None):
        self.lock = threading.RLock()
        self.jobs = {job["name"]: job for job in jobs}
        self.workers = {worker["name"]: worker for worker in workers}
        self.picture = picture
        self.comparison = comparison
        self.measured = 0
        self.epoch = 1
        self.sent = []  # (sequence, view, name, data)
        self.sequence = 0
        self.streams = []
        self.requests = []
        self.token = None  # what /session asks for; None: everybody is signed in
        self.roles = ["submit"]
        self.sessions = set()
        self.events_status = 200
        self.refusing = None  # a status for every answer
        self.silent = False  # streams say nothing, not even comments
        self.heartbeat = 15.0
        self.plan = made.PLAN
        self.plan_error = None
        self.plan_delay = 0
        self.made = {}  # request_id -> job
        self.activities = {}
        self.activity_refused = False
        self.gone = set()  # jobs whose report is gone
        self.filters = []

    # What tests do.

    def send(self, name, data, view=None):
        """`view`: jobs, workers or a job's name; None: every stream."""
        with self.lock:
            self.sequence += 1
            entry = (self.sequence, view, name, data)
            self.sent = (self.sent + [entry])[-KEPT:]
            for stream in self.streams:
                if view is None or stream.view == view:
                    stream.put(entry)

    def change(self, name, **changes):
        with self.lock:
            job = self.jobs[name]
            for key, value in changes.items():
                if isinstance(value, dict) and isinstance(job.get(key), dict):
                    job[key] = {**job[key], **value}
                else:
                    job[key] = value
            brief = {k: v for k, v in job.items() if k not in ("recipe", "events")}
            self.send("job", brief, name)
            self.send("jobs", {"jobs": [brief], "removed": [], "cluster": self.cluster()}, "jobs")

    def add(self, job):
        with self.lock:
            self.jobs[job["name"]] = job
            self.send("jobs", {"jobs": [job], "removed": [], "cluster": self.cluster()}, "jobs")

    def measure(self, name, measured):
        with self.lock:
            self.measured = measured
            self.send("picture", {"version": str(measured)}, name)

    def change_worker(self, name, **changes):
        with self.lock:
            self.workers[name].update(changes)
            self.send("workers", {"workers": [self.workers[name]], "removed": []}, "workers")
            self.send("cluster", self.cluster())

    def restart(self):
        """As after a restart of the coordinator: other numbers, streams broken off."""
        with self.lock:
            self.epoch += 1
            self.sent = []
            self.break_streams()

    def break_streams(self):
        with self.lock:
            for stream in self.streams:
                stream.put(None)

    def cluster(self):
        return made.cluster(list(self.jobs.values()), list(self.workers.values()), time.time())

    # What the pages ask.

    def list_jobs(self, ask):
        size = min(1000, int(ask.get("page_size", 50)))
        given = ask.get("filter", "")
        self.filters.append(given)
        found = [job for job in self.jobs.values() if self.matches(job, given)]
        key, _, down = (ask.get("order_by") or "create_time desc").partition(" ")
        if key not in (
            "create_time",
            "start_time",
            "finish_time",
            "state",
            "owner",
            "display_name",
            "priority",
        ):
            raise Refused(400, "INVALID_ARGUMENT", "order_by: found '%s'" % key, "FIELD_INVALID")
        found.sort(
            key=lambda job: (
                (job[key] or "", job["name"])
                if not isinstance(job[key], int)
                else (job[key], job["name"])
            ),
            reverse=down == "desc",
        )
        begin = int(ask.get("page_token") or 0)
        page = found[begin : begin + size]
        brief = [{k: v for k, v in job.items() if k not in ("recipe", "events")} for job in page]
        return {
            "jobs": brief,
            "next_page_token": str(begin + size) if begin + size < len(found) else "",
            "total_size": len(found),
        }

    @staticmethod
    def matches(job, given):
        """Enough of AIP-160 for what the pages ask."""
        rest = given
        states = re.findall(r"state = ([A-Z]+)", rest)
        if states and job["state"] not in states:
            return False
        rest = re.sub(r"\(?(state = [A-Z]+)( OR state = [A-Z]+)*\)?", " ", rest)
        for key, value in re.findall(r'([a-z_.]+) *[=:] *("(?:[^"\\]|\\.)*"|\S+)', rest):
            value = json.loads(value) if value.startswith('"') else value
            if key.startswith("labels."):
                if job["labels"].get(key[7:]) != value:
                    return False
            elif key not in ("owner", "display_name", "method"):
                raise Refused(
                    400,
                    "INVALID_ARGUMENT",
                    "filter: found the field '%s', expected state, owner, "
                    "display_name, method, output_uri, priority, a time or labels.KEY" % key,
                    "FILTER_INVALID",
                )
            elif job[key] != value:
                return False
        rest = re.sub(r'([a-z_.]+) *[=:] *("(?:[^"\\]|\\.)*"|\S+)', " ", rest)
        text = " ".join(
            [job["display_name"], job["name"], job["owner"], job["method"]] + job["models"]
        ).lower()
        return all(word.lower() in text for word in rest.replace("AND", " ").split())

    def job(self, name):
        if name not in self.jobs:
            raise Refused(404, "NOT_FOUND", "no job %s" % name, "JOB_NOT_FOUND")
        return self.jobs[name]

    def answer(self, method, path, ask, body):
        if path == "/session":
            return {
                "name": "alice" if self.token else "",
                "roles": self.roles,
                "instance": "a1b2",
                "version": "0.1.0",
            }
        if path == "/cluster":
            return self.cluster()
        if path == "/jobs":
            return self.create(body) if method == "POST" else self.list_jobs(ask)
        if path == "/workers":
            listed = sorted(self.workers.values(), key=lambda w: w["name"])
            return {"workers": listed, "next_page_token": "", "total_size": len(listed)}
        if path == "/plan":
            if self.plan_error:
                raise self.plan_error
            return self.plan
        if path == "/compare":
            if self.comparison is None:
                raise Refused(404, "NOT_FOUND", "no report at %s" % ask.get("b"), "REPORT_GONE")
            return {"page": self.comparison}
        match = re.fullmatch(r"/(jobs/[^/:]+)(?:[:/](\w+))?", path)
        if not match:
            raise Refused(404, "NOT_FOUND", "no such address", "")
        job, what = self.job(match[1]), match[2]
        if method == "DELETE":
            del self.jobs[job["name"]]
            self.send(
                "jobs", {"jobs": [], "removed": [job["name"]], "cluster": self.cluster()}, "jobs"
            )
            return {}
        if what == "cancel":
            self.change(job["name"], cancelling=True)
            return job
        if what == "setPriority":
            self.change(job["name"], priority=body["priority"])
            return job
        if what == "activity" and self.activity_refused:
            raise Refused(503, "UNAVAILABLE", "no history now", "")
        if what == "activity":
            return self.activities.get(job["name"]) or made.activity(
                job, [w for w in self.workers.values() if w["holds"]][:8], time.time()
            )
        if what == "picture":
            return self.picture_of(job, ask)
        return job

    def picture_of(self, job, ask):
        if self.picture is None or job["name"] in self.gone:
            raise Refused(404, "NOT_FOUND", "merge_report.json is not there", "REPORT_GONE")
        ended = job["state"] == "SUCCEEDED"
        measured = len(self.picture.gates) if ended else self.measured
        version = "report" if ended else str(measured)
        return {
            "version": version,
            "complete": ended,
            "units_measured": str(measured),
            "page": None if ask.get("since") == version else self.picture.at(measured),
        }

    def create(self, body):
        if body["request_id"] in self.made:
            return self.made[body["request_id"]]
        job = made.job(
            0xA000 + len(self.made),
            "QUEUED",
            time.time(),
            recipe=body["recipe"],
            output_uri=body["output_uri"],
            display_name=body["display_name"],
            priority=body["priority"],
            labels=body["labels"],
        )
        self.made[body["request_id"]] = job
        self.add(job)
        return job
