"""A Slurm of one node, run by this user from a folder: munged, slurmctld, slurmd."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time

import harness

DAEMONS = ("munged", "slurmctld", "slurmd")
CLIENTS = ("sbatch", "scontrol", "squeue", "scancel", "sinfo")
NODE = "node1"
# Debian's are in /usr/sbin, which the PATH of users may lack.
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])

_CONF = """\
ClusterName=merganser
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmdPort={slurmd_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# A requeued job begins no sooner than the credentials of its last run have expired.
AuthInfo=socket={dir}/munge/socket,cred_expire=5
CryptoType=crypto/munge
StateSaveLocation={dir}/ctld
SlurmdSpoolDir={dir}/slurmd
SlurmctldPidFile={dir}/slurmctld.pid
SlurmdPidFile={dir}/slurmd.pid
SlurmctldLogFile={dir}/slurmctld.log
SlurmdLogFile={dir}/slurmd.log
SlurmctldDebug=verbose
SlurmdDebug=verbose
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
# The node is as large as it says, whatever the machine is.
SlurmdParameters=config_overrides
SelectType=select/cons_res
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
InactiveLimit=0
KillWait=20
WaitTime=0
NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={slurmd_port} CPUs=64 \
Boards=1 SocketsPerBoard=1 CoresPerSocket=64 ThreadsPerCore=1 RealMemory=131072 State=UNKNOWN
PartitionName=all Nodes={node} Default=YES MaxTime=INFINITE State=UP
"""


class CannotStart(Exception):
    """The daemons are not here, or this machine does not let them run."""


def _free_ports(count):
    """Ports that nobody listens on now, below those that the kernel gives to clients; two tests at once
    begin to look at others."""
    found, sockets = [], []
    try:
        for port in range(21017 + count * (os.getpid() % 5000), 32000):
            probe = socket.socket()
            sockets.append(probe)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
            if len(found) == count:
                return found
    finally:
        for probe in sockets:
            probe.close()
    raise CannotStart("no free ports")


class SlurmCluster:
    """A context manager. CannotStart from __enter__ says why there is no Slurm."""

    def __init__(self, folder):
        self.folder = folder
        self._daemons = []
        self.env = harness.environment({"PATH": _PATH, "SLURM_CONF": self.path("slurm.conf")})
        # What a surrounding Slurm job would say of itself.
        for name in list(self.env):
            if re.match(r"(SLURM|SBATCH|SRUN|SCONTROL)_", name) and name != "SLURM_CONF":
                del self.env[name]

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def __enter__(self):
        for name in DAEMONS + CLIENTS:
            if shutil.which(name, path=_PATH) is None:
                raise CannotStart("there is no %s (Debian: munge slurmctld slurmd slurm-client)"
                                  % name)
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self):
        for name in ("munge", "ctld", "slurmd"):
            os.makedirs(self.path(name), mode=0o755)
        with open(self.path("munge", "key"), "wb") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(os.urandom(1024))
        ctld_port, slurmd_port = _free_ports(2)
        user = subprocess.run(["id", "-un"], capture_output=True, check=True,
                              text=True).stdout.strip()
        with open(self.path("slurm.conf"), "w", encoding="utf-8") as f:
            f.write(_CONF.format(dir=self.folder, user=user, host=socket.gethostname().split(".")[0],
                                 node=NODE, ctld_port=ctld_port, slurmd_port=slurmd_port))
        munge = self.path("munge")
        # --force: a folder below /tmp is not what munge expects.
        self._daemon("munged", "--foreground", "--force", "--num-threads=2",
                     "--key-file=" + munge + "/key", "--socket=" + munge + "/socket",
                     "--pid-file=" + munge + "/pid", "--seed-file=" + munge + "/seed",
                     "--log-file=" + munge + "/log")
        self._until("munged to listen", lambda: os.path.exists(self.path("munge", "socket")))
        self._daemon("slurmctld", "-D", "-i", "-f", self.path("slurm.conf"))
        self._until("slurmctld to answer",
                    lambda: self.command("scontrol", "ping", check=False).find(" UP") >= 0)
        self._daemon("slurmd", "-D", "-N", NODE, "-f", self.path("slurm.conf"))
        self._until("the node to be idle",
                    lambda: self.command("sinfo", "-h", "-o", "%T", check=False).strip() == "idle")

    def _daemon(self, *args):
        with open(self.path(args[0] + ".out"), "wb") as out:
            self._daemons.append((args[0], subprocess.Popen(
                args, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.env)))

    def _until(self, what, probe):
        deadline = time.monotonic() + 60
        while not probe():
            for name, process in self._daemons:
                if process.poll() is not None:
                    raise CannotStart("%s ended with %d: %s"
                                      % (name, process.returncode, self.log()))
            if time.monotonic() > deadline:
                raise CannotStart("waited in vain for %s: %s" % (what, self.log()))
            time.sleep(0.05)

    def __exit__(self, *unused):
        if len(self._daemons) == len(DAEMONS):
            self.command("scancel", "--quiet", "--user=%d" % os.getuid(), check=False)
            deadline = time.monotonic() + 40
            while (self.command("squeue", "-h", check=False).strip()
                   and time.monotonic() < deadline):
                time.sleep(0.1)
        for _, process in reversed(self._daemons):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._daemons = []

    def log(self, lines=25):
        """The ends of all logs."""
        text = []
        for name in ("munged.out", "munge/log", "slurmctld.out", "slurmctld.log", "slurmd.out",
                     "slurmd.log"):
            try:
                with open(self.path(name), encoding="utf-8", errors="replace") as f:
                    text += ["[%s] %s" % (name, x.rstrip("\n")) for x in f.readlines()[-lines:]]
            except FileNotFoundError:
                pass
        return "\n".join(text)

    def command(self, *args, check=True, env=None, cwd=None):
        """Stdout of a command of Slurm's, or of a script that calls them."""
        done = subprocess.run(args, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              env=dict(self.env, **(env or {})), cwd=cwd or self.folder,
                              timeout=120)
        if check and done.returncode != 0:
            raise AssertionError("%s: exit code %d\n%s%s\n%s" % (
                " ".join(args), done.returncode, done.stdout, done.stderr, self.log()))
        return done.stdout

    def sbatch(self, *args, env=None):
        """Submits; returns the job's number."""
        return self.command("sbatch", "--parsable", *args, env=env).strip()

    def job(self, number):
        """What scontrol says of a job, key by key."""
        text = self.command("scontrol", "--oneliner", "show", "job", number)
        return dict(x.split("=", 1) for x in text.split() if "=" in x)

    def wait_state(self, number, *states):
        """Waits until a job is in one of `states`; returns what scontrol says then."""
        def there():
            job = self.job(number)
            return job if job["JobState"] in states else None
        return harness.wait_for("job %s to be %s" % (number, " or ".join(states)), there,
                                pause=0.1)

    def finish(self, number):
        """Waits until a job is over for good; returns what scontrol says then."""
        return self.wait_state(number, "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL",
                               "OUT_OF_MEMORY")
