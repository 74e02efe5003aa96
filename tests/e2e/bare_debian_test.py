"""The packages and the image in a bare Debian 12: installed, used, removed, purged; and the RUN lines of
deploy/docker/Dockerfile, one by one. Needs root, debootstrap and a mirror, and takes minutes: no part of
a normal run (ctest --preset debian). With MERGANSER_LONG (tests/run.sh --full) the image's build stage
compiles the program; else it configures it, and this build's package stands in."""

import glob
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest

import debian_packages as debian
import harness
from deploy_files import Dockerfile

# Debian's own folders of what was downloaded, logged, or is the system's account of packages.
ACCOUNTS = ("/var/cache", "/var/log", "/var/lib/apt", "/var/lib/dpkg", "/proc", "/sys", "/dev", "/data",
            "/packages")
# Of the mount namespace, so that nothing stays mounted whatever happens.
FRAME = """
set -e
root=$1
shift
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
while [ "$1" != -- ]; do
  mkdir -p "$root$2"
  mount --bind "$1" "$root$2"
  shift 2
done
shift
exec chroot "$root" "$@"
"""


def why_not():
    if os.geteuid() != 0:
        return "not root, which a chroot needs"
    for tool in ("debootstrap", "chroot", "unshare"):
        if shutil.which(tool) is None:
            return "there is no %s" % tool
    return None


class BareDebian:
    """A folder that holds a Debian 12 of essential packages, and commands in it."""

    def __init__(self, root):
        self.root = root

    @classmethod
    def make(cls, root):
        done = subprocess.run(["debootstrap", "--variant=minbase", "bookworm", root],
                              capture_output=True, text=True, timeout=1200, check=False)
        if done.returncode != 0:
            raise unittest.SkipTest("no bare Debian could be made: %s" % (
                done.stdout + done.stderr)[-400:])
        # No service begins in it.
        policy = os.path.join(root, "usr/sbin/policy-rc.d")
        with open(policy, "w", encoding="ascii") as f:
            f.write("#!/bin/sh\nexit 101\n")
        os.chmod(policy, 0o755)
        # What this machine tells apt of proxies and mirrors, and where names are found.
        for name in ("/etc/resolv.conf", "/etc/hosts"):
            if os.path.exists(name):
                shutil.copy(name, root + name)
        return cls(root)

    def copy(self, root):
        subprocess.run(["cp", "-a", self.root, root], check=True)
        return BareDebian(root)

    def run(self, *command, binds=(), env=None, cwd="/", timeout=3600):
        variables = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                     "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        variables.update({k: v for k, v in os.environ.items() if k.lower().endswith("_proxy")})
        variables.update(env or {})
        mounts = [word for bind in binds for word in bind]
        inside = ["/usr/bin/env", "-i", "-C", cwd] + ["%s=%s" % kv for kv in variables.items()]
        return subprocess.run(
            ["unshare", "--mount", "--fork", "--pid", "--kill-child", "bash", "-c", FRAME, "bash",
             self.root, *mounts, "--", *inside, *command],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False)

    def ok(self, *command, **kw):
        done = self.run(*command, **kw)
        if done.returncode != 0:
            raise AssertionError("%s: exit code %d\n%s\n%s" % (
                " ".join(command), done.returncode, done.stdout[-4000:], done.stderr[-4000:]))
        return done.stdout

    def paths(self):
        told = self.ok("find", "/", "-xdev", *[w for a in ACCOUNTS for w in
                                               ("-path", a, "-prune", "-o")], "-print")
        return set(told.splitlines())


class BareCase(harness.Case):
    """A bare Debian, made once for all, of which every test has a copy."""

    packages = {}  # of this build: path by name
    bare = None

    @classmethod
    def setUpClass(cls):
        reason = why_not()
        if reason:
            print("skipped: " + reason, flush=True)
            raise unittest.SkipTest(reason)
        if BareCase.bare is None:
            os.makedirs(harness.DATA, exist_ok=True)
            folder = tempfile.mkdtemp(prefix="bare-", dir=harness.DATA)
            unittest.addModuleCleanup(shutil.rmtree, folder, ignore_errors=True)
            BareCase.packages = debian.make(os.path.join(folder, "packages"))
            BareCase.bare = BareDebian.make(os.path.join(folder, "bare"))

    def fresh(self):
        return self.bare.copy(self.path("root"))

    def expected(self):
        """Hashes of the sample merge by this build."""
        recipe = os.path.join(harness.SOURCE, "tests/data/recipes/resmerge.yaml")
        return harness.hash_output(self.merge(recipe, self.path("expected"), "--threads", "1",
                                              "--memory", "2GiB"))


class PackagesTest(BareCase):
    def test_install_merge_remove_purge(self):
        system = self.fresh()
        binds = [(os.path.dirname(self.packages["merganser"]), "/packages"),
                 (os.path.join(harness.SOURCE, "tests", "data"), "/data")]
        # Libraries first, so that what goes with the packages can be told.
        system.ok("apt-get", "update", "-qq")
        needs = [re.split(r"[ :(]", one)[0] for p in self.packages.values()
                 for one in debian.fields(p)["Depends"].split(", ")]
        system.ok("apt-get", "install", "-y", "-qq", "--no-install-recommends",
                  *sorted(set(needs) - set(debian.NAMES)))
        before = system.paths()

        system.ok("sh", "-c", "apt-get install -y -qq --no-install-recommends /packages/*.deb",
                  binds=binds)
        self.assertNotEqual(system.paths(), before)
        user = system.ok("getent", "passwd", "merganser").strip().split(":")
        self.assertEqual(user[5:], ["/var/lib/merganser", "/usr/sbin/nologin"])
        self.assertLess(int(user[2]), 1000)
        # Neither is enabled.
        self.assertEqual(system.ok("find", "/etc/systemd", "-name", "*merganser*"), "")
        self.assertIn("merganser ", system.ok("merganser", "--version"))

        merge, expected = ["--threads", "1", "--memory", "2GiB"], self.expected()
        system.ok("merganser", "merge", "/data/recipes/resmerge.yaml", "/tmp/merged", *merge,
                  binds=binds)
        system.ok("merganser", "verify", "/tmp/merged")
        self.assertEqual(harness.hash_output(os.path.join(system.root, "tmp/merged")), expected)
        if debian.HAS_MPI:
            system.ok("mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2", "merganser-mpi",
                      "/data/recipes/resmerge.yaml", "/tmp/ranks", *merge, binds=binds,
                      env={"OMPI_MCA_btl_vader_single_copy_mechanism": "none"})
            self.assertEqual(harness.hash_output(os.path.join(system.root, "tmp/ranks")), expected)
        # An administrator's words, and the journal of a coordinator that ran.
        for path in ("etc/merganser/tokens", "var/lib/merganser/state/merganser.db"):
            full = os.path.join(system.root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="ascii") as f:
                f.write("x\n")

        # Again over itself, as an upgrade would.
        system.ok("sh", "-c", "dpkg --install /packages/*.deb", binds=binds)
        system.ok("apt-get", "remove", "-y", "-qq", *debian.NAMES)
        self.assertEqual(system.run("sh", "-c", "command -v merganser merganser-mpi").stdout, "")
        for path in ("etc/merganser/tokens", "var/lib/merganser/state/merganser.db",
                     "etc/default/merganser-worker"):
            self.assertTrue(os.path.exists(os.path.join(system.root, path)), path)
        # apt does not know what left nothing to purge.
        system.ok("dpkg", "--purge", *debian.NAMES)
        shutil.rmtree(os.path.join(system.root, "tmp"))
        os.mkdir(os.path.join(system.root, "tmp"))
        # Backups of the list of users have the one more.
        self.assertEqual(system.paths() - before - {
            "/etc/%s-" % x for x in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid")},
            set())
        # Outputs on shared storage stay its own.
        self.assertIn("merganser:", system.ok("getent", "passwd", "merganser"))


class ImageTest(BareCase):
    """Stage by stage what an engine would do, in a bare Debian for its base image."""

    def stage(self, file, name, root):
        """Carries out the instructions of a stage; returns the system and what to run in it."""
        system, cwd, given = self.bare.copy(root), "/", {}

        def inside(path):
            return system.root + os.path.join(cwd, path)

        for word, rest in dict(file.stages)[name]:
            if word == "WORKDIR":
                cwd = rest
                os.makedirs(inside(""), exist_ok=True)
            elif word == "ENV":
                given.update([rest.split("=", 1)])
            elif word == "ARG":
                given.setdefault(rest.split("=")[0], "0123abcd")
            elif word == "COPY":
                *sources, target = shlex.split(rest)
                for source in sources:
                    full = os.path.join(harness.SOURCE, source)
                    if os.path.isdir(full):
                        shutil.copytree(full, inside(target), dirs_exist_ok=True)
                    else:
                        os.makedirs(os.path.dirname(inside(target)) if not target.endswith("/")
                                    else inside(target), exist_ok=True)
                        shutil.copy(full, inside(target))
            elif word == "RUN":
                binds, command = [], rest
                mount = re.match(r"--mount=(\S+) (.*)", rest)
                if mount:
                    options = dict(x.split("=", 1) for x in mount.group(1).split(","))
                    binds = [(self.built.root + options["source"], options["target"])]
                    command = mount.group(2)
                if not harness.LONG and "cmake --build" in command:
                    command += " -- -n"
                system.ok("/bin/sh", "-c", command, binds=binds, env=given, cwd=cwd)
        return system, cwd, given

    def test_the_image(self):
        file = Dockerfile()
        self.built, folder, _ = self.stage(file, "build", self.path("build"))
        made = os.path.join(self.built.root + folder, "build", "packages")
        if not harness.LONG:
            os.makedirs(made, exist_ok=True)
            shutil.copy(self.packages["merganser"], made)
        self.assertEqual(len(glob.glob(os.path.join(made, "merganser_*.deb"))), 1)
        system, folder, given = self.stage(file, "run", self.path("run"))
        user, = file.all("run", "USER")
        uid, gid = user.split(":")
        state = os.stat(system.root + folder)
        self.assertEqual((state.st_uid, state.st_gid), (int(uid), int(gid)))
        # Nothing of the build is in it.
        self.assertEqual(glob.glob(system.root + "/packages/*"), [])
        entry = ["setpriv", "--reuid", uid, "--regid", gid, "--clear-groups", "merganser"]
        told = system.ok(*entry, "--version", env=given, cwd=folder)
        self.assertRegex(told, r"^merganser %s \(commit %s, " % (
            re.escape(debian.version()[0]), "0123abcd" if harness.LONG else r"[\w.-]+"))
        system.ok(*entry, "merge", "/data/recipes/resmerge.yaml", "merged", "--threads", "1",
                  "--memory", "2GiB", env=given, cwd=folder,
                  binds=[(os.path.join(harness.SOURCE, "tests", "data"), "/data")])
        self.assertEqual(harness.hash_output(os.path.join(system.root + folder, "merged")),
                         self.expected())


if __name__ == "__main__":
    harness.main()
