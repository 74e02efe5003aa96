"""A real S3 on loopback: Ceph's radosgw over one monitor and one OSD that keeps objects in memory.

    with radosgw.Server(folder) as server:
        server.endpoint, server.access_key, server.secret_key

Started by pid, ended by pid. Needs Debian's ceph-mon, ceph-osd and radosgw; no root.
"""

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid

from ports import free_ports

PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph-authtool", "monmaptool",
            "ceph")
START_SECONDS = 60

CONFIG = """[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{mon}/0
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr1 = false
ms bind port min = {low}
ms bind port max = {high}
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon osd crush smoke test = false
paxos propose interval = 0.05
mon data avail warn = 1
mon data avail crit = 1
osd objectstore = memstore
memstore device bytes = {memory}
keyring = {folder}/keyring
run dir = {folder}/run
log file = {folder}/$name.log
crash dir = {folder}/crash
mon data = {folder}/mon
osd data = {folder}/osd
rgw data = {folder}/rgw
admin socket =
rgw rados pool pg num min = 1
rgw frontends = beast endpoint={host}:{port} tcp_nodelay=1
rgw gc obj min wait = 5
rgw gc processor period = 5
rgw enable sync thread = false
rgw run sync thread = false
rgw enable lc threads = false
rgw enable quota threads = false
rgw dynamic resharding = false
{extra}
"""


def missing():
    """The programs that are not there."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


class Server:
    """radosgw in `folder`, which it fills; `extra` are lines of its configuration, `host` the
    address of this machine at which it answers."""

    def __init__(self, folder, memory=2 << 30, extra="", host="127.0.0.1"):
        self.folder = os.path.abspath(folder)
        self.access_key, self.secret_key = "merganser-test", "merganser-test-secret"
        self.port, self.mon = free_ports(2)
        self.endpoint = "http://%s:%d" % (host, self.port)
        self.processes = []
        os.makedirs(os.path.join(self.folder, "run"), exist_ok=True)
        for name in ("mon", "osd", "rgw", "crash"):
            os.makedirs(os.path.join(self.folder, name), exist_ok=True)
        self.config = os.path.join(self.folder, "ceph.conf")
        self.fsid = str(uuid.uuid4())
        low = 20000 + os.getpid() % 20000
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(CONFIG.format(fsid=self.fsid, mon=self.mon, low=low, high=low + 200,
                                  memory=memory, folder=self.folder, host=host, port=self.port,
                                  extra=extra))

    def run(self, *command):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=START_SECONDS, check=False, cwd=self.folder)
        if done.returncode != 0:
            raise RuntimeError("%s: %s" % (" ".join(command), done.stdout[-2000:]))
        return done.stdout

    def admin(self, *command):
        """radosgw-admin: users, their rights and quotas."""
        return self.run("radosgw-admin", "-c", self.config, "-n", "client.rgw", *command)

    def spawn(self, *command):
        log = open(os.path.join(self.folder, command[0] + ".out"), "wb")
        with log:
            # Also when this process is killed, as a test that takes too long is.
            self.processes.append(subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command],
                                                   stdin=subprocess.DEVNULL, stdout=log,
                                                   stderr=log, cwd=self.folder,
                                                   start_new_session=True))

    def wait_for(self, what, look):
        until = time.monotonic() + START_SECONDS
        while not look():
            for process in self.processes:
                if process.poll() is not None:
                    raise RuntimeError("%s ended with %d; see %s" %
                                       (process.args[3], process.returncode, self.folder))
            if time.monotonic() > until:
                raise RuntimeError("no %s after %d s; see %s" % (what, START_SECONDS, self.folder))
            time.sleep(0.05)

    def listens(self, port):
        with socket.socket() as s:
            s.settimeout(0.2)
            return s.connect_ex(("127.0.0.1", port)) == 0

    def answers(self):
        # No proxy of the environment leads to loopback.
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(self.endpoint + "/", timeout=1):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    def start(self):
        keyring = os.path.join(self.folder, "keyring")
        everything = ["--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *"]
        self.run("ceph-authtool", keyring, "-C", "--gen-key", "-n", "mon.", "--cap", "mon",
                 "allow *")
        for name in ("client.admin", "client.rgw", "osd.0"):
            self.run("ceph-authtool", keyring, "--gen-key", "-n", name, *everything)
        monmap = os.path.join(self.folder, "monmap")
        self.run("monmaptool", "--create", "--clobber", "--fsid", self.fsid, "--addv", "a",
                 "[v2:127.0.0.1:%d/0]" % self.mon, monmap)
        self.run("ceph-mon", "-c", self.config, "-i", "a", "--mkfs", "--monmap", monmap,
                 "--keyring", keyring)
        self.spawn("ceph-mon", "-c", self.config, "-i", "a", "-f")
        self.wait_for("monitor", lambda: self.listens(self.mon))
        osd = str(uuid.uuid4())
        self.run("ceph", "-c", self.config, "osd", "new", osd)
        self.run("ceph-osd", "-c", self.config, "-i", "0", "--mkfs", "--osd-uuid", osd)
        self.spawn("ceph-osd", "-c", self.config, "-i", "0", "-f")
        self.admin("user", "create", "--uid=test", "--display-name=test",
                   "--access-key=" + self.access_key, "--secret-key=" + self.secret_key)
        self.spawn("radosgw", "-c", self.config, "-n", "client.rgw", "-f")
        self.wait_for("radosgw", self.answers)
        return self

    def stop(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.kill()
            process.wait()
        self.processes.clear()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        self.stop()
