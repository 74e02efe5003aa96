"""Debian packages of this build, without installing them (bare_debian_test.py does): what is in them and
what they say of themselves; manual pages as man, groff and lexgrog read them; completions as the shells
do; units as systemd does."""

import glob
import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import unittest

import debian_packages as debian
import harness
from debian_packages import run

UNITS = ("merganser-coordinator", "merganser-worker")
SERVICE = os.path.join(harness.SOURCE, "deploy", "packages", "service")
COMPLETIONS = "usr/share/bash-completion/completions"


def text_of(*parts):
    with open(os.path.join(*parts), encoding="utf-8") as f:
        return f.read()


def commands():
    """Commands that --help lists."""
    listed = harness.run("--help").out.split("Subcommands:\n")[1]
    return re.findall(r"^  ([a-z][a-z-]*) ", listed, re.M)


def flags_of(*command, program=harness.BIN):
    """Flags that --help lists, without those that it mentions."""
    told = run(program, *command, "--help")
    return set(re.findall(r"^  (?:-\w,)?(--[a-z][a-z-]*)", told, re.M))


def without_warnings(*command, **kw):
    """stdout of a command that has nothing to say on stderr."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=harness.LIMIT, check=False, **kw)
    if done.returncode != 0 or done.stderr:
        raise AssertionError("%s: exit code %d\n%s" % (" ".join(command), done.returncode,
                                                       done.stderr))
    return done.stdout


class PackageCase(harness.Case):
    """Packages of this build, made once for all, and what they hold."""

    packages = {}  # path by name
    root = None    # a folder that holds all of their files

    @classmethod
    def setUpClass(cls):
        if not PackageCase.packages:
            os.makedirs(harness.DATA, exist_ok=True)
            folder = tempfile.mkdtemp(prefix="packages-", dir=harness.DATA)
            unittest.addModuleCleanup(shutil.rmtree, folder, ignore_errors=True)
            PackageCase.packages = debian.make(folder)
            PackageCase.root = os.path.join(folder, "root")
            for package in cls.packages.values():
                run("dpkg-deb", "--extract", package, cls.root)


class PackagesTest(PackageCase):
    def test_fields(self):
        release = debian.version()[0] + "-1"
        self.assertEqual(set(os.path.basename(p) for p in self.packages.values()), {
            "%s_%s_%s.deb" % (name, release, "all" if name == "merganser-service" else run(
                "dpkg", "--print-architecture").strip()) for name in debian.NAMES})
        for name, package in self.packages.items():
            fields = debian.fields(package)
            self.assertEqual((fields["Package"], fields["Version"], fields["Section"],
                              fields["Priority"]), (name, release, "science", "optional"))
            self.assertRegex(fields["Maintainer"], r"^.+ <\S+@\S+>$")
            summary, *rest = fields["Description"].splitlines()
            # As Debian's policy has it: a phrase, and a description of more.
            self.assertRegex(summary, r"^[a-z].{20,70}[^.]$")
            self.assertGreaterEqual(len(rest), 2)
        self.assertEqual(debian.fields(self.packages["merganser-service"])["Depends"],
                         "merganser (= %s), adduser" % release)

    def test_dependencies_are_the_packages_of_the_libraries(self):
        for name in debian.NAMES[:-1]:
            binary = os.path.join(self.root, "usr", "bin", name)
            needed = re.findall(r"\(NEEDED\).*\[(\S+)\]", run("readelf", "-d", binary))
            self.assertGreater(len(needed), 5)
            self.assertNotIn("RUNPATH", run("readelf", "-d", binary))
            self.assertNotIn(".symtab", run("readelf", "-S", "-W", binary))
            found = run("ldd", binary)
            where = dict(re.findall(r"(\S+) => (\S+)", found))
            # The loader itself stands there by its path alone.
            where.update((os.path.basename(path), path)
                         for path in re.findall(r"^\s*(/\S+) \(", found, re.M))
            owners = set()
            for library in needed:
                # Packages name the file below /usr; the loader may have found it below /lib.
                path = os.path.realpath(where[library])
                owner = subprocess.run(["dpkg", "-S", path], capture_output=True, text=True,
                                       check=False).stdout
                owner = owner or run("dpkg", "-S", re.sub("^/usr", "", path))
                owners.add(owner.split(":")[0])
            listed = {re.split(r"[ :(]", one)[0] for one in debian.fields(
                self.packages[name])["Depends"].split(", ")}
            # A name that says more exactly which one.
            for owner in owners:
                provided = run("dpkg-query", "--show", "--showformat=${Provides}", owner)
                if listed & set(re.findall(r"[^\s,]+", provided)):
                    listed = listed - set(provided.split(", ")) | {owner}
            if name == "merganser-mpi":
                owners.add("openmpi-bin")
            self.assertEqual(sorted(listed), sorted(owners), name)

    def test_files(self):
        everything = []
        for name, package in self.packages.items():
            for path, (mode, owner) in debian.listing(package).items():
                self.assertEqual(owner, "root/root", path)
                self.assertIn(mode, ("drwxr-xr-x", "-rw-r--r--") if not path.startswith("usr/bin/")
                              else ("-rwxr-xr-x",), path)
            files = debian.files(package)
            everything += files
            for notice in ("copyright", "changelog.Debian.gz"):
                self.assertIn("usr/share/doc/%s/%s" % (name, notice), files)
            self.assertEqual([p for p in files if p.startswith("usr/bin/")],
                             [] if name == "merganser-service" else ["usr/bin/" + name])
        self.assertEqual(len(set(everything)), len(everything), "two packages have one file")
        # Every command has a page, and every page is of a command.
        self.assertEqual(
            sorted(p for p in everything if p.startswith("usr/share/man/")),
            sorted("usr/share/man/man1/%s.1.gz" % page for page in
                   ["merganser"] + ["merganser-" + c for c in commands()]
                   + ([] if not debian.HAS_MPI else ["merganser-mpi"])))
        samples = os.path.join(harness.SOURCE, "tests", "data")
        examples = "usr/share/doc/merganser/examples/"
        self.assertEqual(sorted(p for p in everything if p.startswith(examples)), sorted(
            examples + os.path.relpath(p, samples) for folder in ("recipes", "inputs")
            for p in glob.glob(os.path.join(samples, folder, "*.yaml"))))

    def test_every_file_of_etc_is_a_configuration_file(self):
        package = self.packages["merganser-service"]
        self.assertEqual(
            run("dpkg-deb", "--info", package, "conffiles").split(),
            ["/" + p for p in debian.files(package) if p.startswith("etc/")])
        for name in debian.NAMES[:-1]:
            self.assertEqual([p for p in debian.files(self.packages[name])
                              if not p.startswith("usr/")], [])

    def test_scripts_of_the_service(self):
        folder = self.path("control")
        run("dpkg-deb", "--control", self.packages["merganser-service"], folder)
        for script in ("postinst", "prerm", "postrm"):
            path = os.path.join(folder, script)
            self.assertEqual(text_of(path), text_of(SERVICE, script))
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o755)
            run("sh", "-n", path)
            self.assertIn("\nset -e\n", text_of(path))
        self.assertEqual(sorted(os.listdir(folder)),
                         ["conffiles", "control", "md5sums", "postinst", "postrm", "prerm"])

    def test_changelogs(self):
        version, date = debian.version()
        log = text_of(harness.SOURCE, "CHANGELOG.md")
        # The newest is what is packaged.
        self.assertEqual(re.search(r"^## (.+)$", log, re.M).group(1), "%s (%s)" % (version, date))
        doc = os.path.join(self.root, "usr", "share", "doc", "merganser")
        self.assertEqual(run("gzip", "-dc", os.path.join(doc, "changelog.gz")), log)
        parsed = run("dpkg-parsechangelog", "-l", os.path.join(doc, "changelog.Debian.gz"))
        self.assertIn("\nVersion: %s-1\n" % version, parsed)
        day = run("date", "--utc", "--date=" + re.search(r"^Date: (.+)$", parsed, re.M).group(1),
                  "+%F").strip()
        self.assertEqual(day, date)


class VersionTest(harness.Case):
    def told(self, program=harness.BIN):
        return run(program, "--version").splitlines()

    def test_both_programs_say_the_same(self):
        first, second = self.told()
        found = re.fullmatch(r"merganser (\S+) \(commit ([\w.+-]+), numerics (\d+), (\w+)\)", first)
        self.assertTrue(found, first)
        self.assertEqual(found.group(1), debian.version()[0])
        self.assertEqual(second.split()[0], "simd:")
        self.assertIn(found.group(4), second.split())
        if debian.HAS_MPI:
            self.assertEqual(self.told(os.path.join(debian.BUILD, "bin", "merganser-mpi")),
                             [first, second])

    def commit(self, source, given=""):
        header = self.path("commit.h")
        run("cmake", "-DFILE=" + header, "-DSOURCE=" + source, "-DCOMMIT=" + given, "-P",
            os.path.join(harness.SOURCE, "coordinator", "cli", "commit.cmake"))
        return re.search(r'kCommit\[\] = "(.*)"', text_of(header)).group(1)

    def test_where_the_commit_comes_from(self):
        source = self.path("source")
        os.makedirs(os.path.join(source, "inner"))
        # A folder of a build, which may be within a repository, is no repository.
        self.assertEqual(self.commit(source), "unknown")
        self.assertEqual(self.commit(source, "v1.2+x"), "v1.2+x")
        before = os.stat(self.path("commit.h")).st_mtime_ns
        self.assertEqual(self.commit(source, "v1.2+x"), "v1.2+x")
        self.assertEqual(os.stat(self.path("commit.h")).st_mtime_ns, before)
        with self.assertRaisesRegex(AssertionError, "MERGANSER_COMMIT"):
            self.commit(source, 'a"b')
        if shutil.which("git") is None:
            print("there is no git here: a repository is not tried", flush=True)
            return
        git = ["git", "-C", source, "-c", "user.name=n", "-c", "user.email=e@localhost"]
        run(*git, "init", "--quiet")
        with open(os.path.join(source, "file"), "w", encoding="ascii") as f:
            f.write("a")
        run(*git, "add", "file")
        run(*git, "commit", "--quiet", "--no-gpg-sign", "-m", "m")
        run(*git, "tag", "v1")
        head = run(*git, "rev-parse", "--short=8", "HEAD").strip()
        self.assertEqual(self.commit(source), head)
        self.assertEqual(self.commit(os.path.join(source, "inner")), "unknown")
        with open(os.path.join(source, "file"), "w", encoding="ascii") as f:
            f.write("b")
        self.assertEqual(self.commit(source), head + "-dirty")


class ManualTest(PackageCase):
    def pages(self):
        folder = os.path.join(self.root, "usr", "share", "man", "man1")
        return {name[:-len(".1.gz")]: os.path.join(folder, name)
                for name in sorted(os.listdir(folder))}

    def test_man_groff_and_lexgrog_have_nothing_to_say(self):
        pages = self.pages()
        self.assertGreater(len(pages), 20)
        width = {**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": "", "MANWIDTH": "80"}
        for name, page in pages.items():
            with self.subTest(page=name):
                without_warnings("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page,
                                 env=width)
                plain = self.path(name + ".1")
                with open(plain, "w", encoding="utf-8") as f:
                    f.write(run("gzip", "-dc", page))
                without_warnings("groff", "-ww", "-man", "-Tutf8", "-Z", plain)
                if shutil.which("mandoc"):
                    # What it takes for style is told, too.
                    self.assertEqual(run("mandoc", "-T", "lint", "-W", "style", plain), "")
        told = without_warnings("lexgrog", *pages.values())
        for name, page in pages.items():
            self.assertRegex(told, re.escape("%s: \"%s - " % (page, name)) + r".{10,}\"")

    def test_a_page_has_every_flag_of_its_command(self):
        for name, page in self.pages().items():
            if name == "merganser-mpi":
                asked = flags_of(program=os.path.join(debian.BUILD, "bin", name))
            else:
                asked = flags_of(*name.split("-", 1)[1:])
            text = without_warnings("man", "--nh", "--nj", "-l", "-Tascii", page,
                                    env={**os.environ, "MANWIDTH": "100"})
            text = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", text)
            entries = set(re.findall(r"^ {7}(?:-\w, )?(--[a-z][a-z-]*)", text, re.M))
            self.assertEqual(entries, asked, name)
            self.assertIn("--help", asked)
            for heading in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS",
                            "ENVIRONMENT", "SEE ALSO"):
                self.assertRegex(text, "(?m)^%s$" % heading, name)

    def test_variables_that_the_program_reads(self):
        read = set()
        for top in ("common", "coordinator", "worker"):
            for at, _, names in os.walk(os.path.join(harness.SOURCE, top)):
                for name in names:
                    if name.endswith(".cc"):
                        read.update(re.findall(
                            r'(?:getenv|Variable|envname)\("((?!AWS_)[A-Z_]+)"\)',
                            text_of(at, name)))
        self.assertGreater(len(read), 8)
        pages = [run("gzip", "-dc", p) for p in self.pages().values()]
        for name in read - {"HOME"}:
            self.assertTrue(any(name in page for page in pages), name)

    def test_exit_codes_are_those_of_the_guide(self):
        table = re.findall(r"^\| (\d+) \| ", text_of(
            harness.SOURCE, "coordinator", "cli", "README.md"), re.M)
        page = run("gzip", "-dc", self.pages()["merganser-merge"])
        self.assertEqual(re.findall(r"^\\fB(\d+)\\fR$", page, re.M), table)

    def test_no_such_page(self):
        for args in (("manual", "frobnicate"), ("completion", "bash", "frobnicate")):
            self.assertOneError(harness.run(*args), 2, "frobnicate", "merganser-mpi")
        self.assertOneError(harness.run("completion", "tcsh"), 2, "tcsh")
        self.assertEqual(harness.run("manual", "merge").out,
                         run("gzip", "-dc", self.pages()["merganser-merge"]))


class CompletionTest(PackageCase):
    def bash(self, *words):
        """What bash offers for the last of `words`, and whether it would offer paths where that is
        nothing."""
        script = os.path.join(self.root, COMPLETIONS, words[0])
        # compopt may be called by a completion alone: here it tells that it was.
        frame = """
            . "$0"
            or_paths=yes
            compopt() { [ "$*" = "+o default" ] && or_paths=no; }
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
            complete -p "$1" | grep -q -- "-o default -F _${1//-/_} $1" || exit 1
            "_${1//-/_}" "$1" "${@: -1}" "${@: -2:1}"
            echo "$or_paths"
            printf '%s\\n' "${COMPREPLY[@]}"
        """
        paths, *offered = without_warnings("bash", "-uc", frame, script, *words).splitlines()
        return [x for x in offered if x], paths == "yes"

    def test_bash(self):
        self.assertEqual(self.bash("merganser", ""), (commands(), False))
        self.assertEqual(self.bash("merganser", "mer"), (["merge", "merge-lora"], False))
        self.assertEqual(set(self.bash("merganser", "-")[0]), {"-h", "--help", "--version"})
        for command in commands():
            self.assertEqual({x for x in self.bash("merganser", command, "-")[0] if x != "-h"},
                             flags_of(command), command)
        self.assertEqual(self.bash("merganser", "merge", "--log-f"), (["--log-format"], False))
        for words in (("--log-format", ""), ("--log-format", "="), ("--log-format", "=", "")):
            self.assertEqual(self.bash("merganser", "merge", *words), (["text", "json"], False))
        self.assertEqual(self.bash("merganser", "merge", "--log-format", "=", "j"),
                         (["json"], False))
        # Numbers are nobody's to guess; recipes and outputs are paths.
        self.assertEqual(self.bash("merganser", "merge", "--threads", ""), ([], False))
        self.assertEqual(self.bash("merganser", "merge", ""), ([], True))
        self.assertEqual(self.bash("merganser", "merge", "--metrics-file", ""), ([], True))
        self.assertEqual(self.bash("merganser", "completion", "b"), (["bash"], True))
        self.assertEqual(self.bash("merganser", "cancel", ""), ([], False))
        # Flags before a command are none of its own.
        self.assertIn("--dry-run", self.bash("merganser", "--version", "submit", "--")[0])
        if debian.HAS_MPI:
            self.assertEqual(self.bash("merganser-mpi", "--resu"), (["--resume"], False))
            self.assertEqual(self.bash("merganser-mpi", ""), ([], True))

    def test_shells_can_read_them(self):
        share = os.path.join(self.root, "usr", "share")
        for name in debian.NAMES[:-1]:
            without_warnings("bash", "-n", os.path.join(self.root, COMPLETIONS, name))
            without_warnings("zsh", "-n", os.path.join(share, "zsh", "vendor-completions",
                                                       "_" + name))
            without_warnings("fish", "--no-execute", os.path.join(
                share, "fish", "vendor_completions.d", name + ".fish"))

    def test_fish(self):
        def offered(line, program="merganser"):
            script = os.path.join(self.root, "usr/share/fish/vendor_completions.d/%s.fish" % program)
            told = without_warnings(
                "fish", "--no-config", "-c", "source $argv[1]; complete -C $argv[2]", script, line,
                env={**os.environ, "HOME": self.dir, "XDG_CONFIG_HOME": self.dir,
                     "XDG_DATA_HOME": self.dir}, cwd=self.dir)
            return [x.split("\t")[0] for x in told.splitlines()]

        self.assertEqual(sorted(offered("merganser ")), sorted(commands()))
        self.assertEqual(sorted(offered("merganser merge --log-format ")), ["json", "text"])
        flags = {x for x in offered("merganser submit --") if x.startswith("--")}
        self.assertEqual(flags, flags_of("submit"))
        with open(self.path("recipe.yaml"), "w", encoding="ascii"):
            pass
        self.assertEqual(offered("merganser merge rec"), ["recipe.yaml"])
        self.assertEqual(offered("merganser cancel rec"), [])

    def test_zsh(self):
        # _arguments and _describe themselves want a terminal: here they tell what they were given.
        def told(*words):
            frame = """
                emulate zsh
                _describe() { print -rl -- ${${(P)2}%%:*} }
                _arguments() {
                  if [[ $1 == -s && $argv[3] == -C ]]; then
                    if (( CURRENT == 2 )); then state=command; else
                      state=argument; words=("${(@)words[2,-1]}"); CURRENT=$((CURRENT - 1))
                    fi
                  else print -rl -- "${(@)argv[3,-1]}"; fi
                }
                file=$1; shift; words=("$@"); CURRENT=$#
                . $file
            """
            name = "_" + words[0]
            file = os.path.join(self.root, "usr/share/zsh/vendor-completions", name)
            return without_warnings("zsh", "-fc", frame, "zsh", file, *words).splitlines()

        self.assertEqual(told("merganser", ""), commands())
        given = told("merganser", "merge", "")
        self.assertEqual({m.group(1) for m in (re.match(r"(?:\*|\([^)]*\))(--[a-z-]+)", x)
                                               for x in given) if m}, flags_of("merge"))
        self.assertEqual(given[-2:], ["1:RECIPE:_files", "2:OUTPUT:_files"])
        if debian.HAS_MPI:
            self.assertIn("1:RECIPE:_files", told("merganser-mpi", ""))


class UnitsTest(PackageCase):
    def unit(self, name):
        """Settings of a unit, those that are given twice as lists."""
        found = {}
        for key, value in re.findall(r"^(\w+)=(.*)$", text_of(
                self.root, "lib", "systemd", "system", name + ".service"), re.M):
            self.assertNotIn(key, found)
            found[key] = value
        return found

    def copies(self, change=lambda text: text):
        """The units with this build's program, as files for systemd-analyze."""
        made = []
        for name in UNITS:
            text = text_of(self.root, "lib", "systemd", "system", name + ".service")
            self.assertIn("\nExecStart=/usr/bin/merganser ", text)
            made.append(self.path(name + ".service"))
            with open(made[-1], "w", encoding="utf-8") as f:
                f.write(change(text.replace("=/usr/bin/merganser ",
                                            "=%s " % os.path.abspath(harness.BIN))))
        return made

    def verify(self, units):
        env = {**os.environ, "MANPATH": os.path.join(self.root, "usr", "share", "man"),
               "SYSTEMD_LOG_LEVEL": "warning", "SYSTEMD_COLORS": "0"}
        done = subprocess.run(["systemd-analyze", "verify", "--man=yes", *units], env=env, text=True,
                              capture_output=True, timeout=harness.LIMIT, check=False)
        # Of these alone: it says what it thinks of other units of the machine, too.
        return [x for x in (done.stdout + done.stderr).splitlines() if "merganser" in x]

    def test_systemd_takes_them(self):
        self.assertEqual(self.verify(self.copies()), [])
        for fault in (lambda text: text.replace("Restart=on-failure", "Restart=now-and-then"),
                      lambda text: text.replace("LimitNOFILE", "LimitNoFile"),
                      lambda text: text.replace(os.path.abspath(harness.BIN), "/usr/bin/gander"),
                      lambda text: text.replace("man:merganser-", "man:merganser-no-")):
            self.assertGreaterEqual(len(self.verify(self.copies(fault))), 2)

    def test_they_are_contained(self):
        for unit in self.copies():
            # 10 is everything open; what is left is the network, and files that others may read.
            run("systemd-analyze", "security", "--offline=yes", "--threshold=20", unit)

    def test_restarts_heed_exit_codes(self):
        for name in UNITS:
            unit = self.unit(name)
            self.assertEqual((unit["Restart"], unit["RestartPreventExitStatus"],
                              unit["SuccessExitStatus"]), ("on-failure", "2", "130"))
            # Storage that is gone may stay so for a night.
            self.assertEqual(unit["StartLimitIntervalSec"], "0")
        self.assertGreaterEqual(int(self.unit("merganser-worker")["TimeoutStopSec"].rstrip("s")), 120)

    def arguments(self, name):
        unit = self.unit(name)
        default = unit["EnvironmentFile"].lstrip("-")
        program, *given = shlex.split(unit["ExecStart"])
        self.assertEqual(program, "/usr/bin/merganser")
        self.assertEqual("merganser-" + given[0], name)
        variable = given.pop()
        values = run("sh", "-euc", '. "$1"; printf %s "' + variable + '"', "sh",
                     self.root + default)
        return given + values.split()

    def test_flags_are_the_program_s(self):
        for name in UNITS:
            arguments = self.arguments(name)
            flags = {a.split("=")[0] for a in arguments[1:]}
            self.assertLessEqual(flags, flags_of(arguments[0]))
            default = text_of(self.root, "etc", "default", name)
            self.assertLessEqual(set(re.findall(r"--[a-z][a-z-]*", default)), flags_of(arguments[0]))
            # It waits for the file that it reads first of all.
            condition = self.unit(name)["ConditionPathExists"]
            self.assertIn("--token-file=" + condition, arguments)
            self.assertEqual(os.path.dirname(condition), "/etc/merganser")

    def test_they_start_and_find_each_other(self):
        for folder in ("etc/merganser", "srv/merganser", "var/lib/merganser"):
            os.makedirs(self.path(folder))
        token = "0123456789abcdef0123456789abcdef"
        for name, line in (("tokens", token + " work\n"), ("worker-token", token + "\n")):
            with open(self.path("etc", "merganser", name), "w", encoding="ascii") as f:
                os.fchmod(f.fileno(), 0o400)
                f.write(line)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]

        def here(name):
            return [re.sub(r"=(?=/)", "=" + self.dir, argument).replace(":7470", ":%d" % port)
                    .replace("=8GiB", "=2GiB") for argument in self.arguments(name)]

        log = self.path("log")
        with open(log, "wb") as err, harness.running(*here(UNITS[0])) as coordinator:
            self.assertEqual(coordinator.stdout.readline().decode(),
                             "listening on 127.0.0.1:%d\n" % port)
            with harness.running(*here(UNITS[1]), stderr=err) as worker:
                harness.wait_for("the worker to connect", lambda: ": connected" in text_of(log)
                                 or worker.poll() is not None)
                self.assertIsNone(worker.poll(), text_of(log))
                # As systemd stops them.
                for process in (worker, coordinator):
                    process.terminate()
                    self.assertEqual(process.wait(60), 0)


if __name__ == "__main__":
    harness.main()
