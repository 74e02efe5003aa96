"""tests/lint.sh finds a planted fault of each kind, and says where it is."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest

SOURCE = os.environ.get(
    "MERGANSER_SOURCE_DIR",
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

LOCKS = """#include "common/base/mutex.h"

namespace merganser {

class Counter {
 public:
  void Add() { ++count_; }

 private:
  Mutex mutex_;
  int count_ MERGANSER_GUARDED_BY(mutex_) = 0;
};

void Use() { Counter().Add(); }

}  // namespace merganser
"""

TIDY = """#include <string>
#include <utility>

namespace merganser {

size_t Use(std::string text) {
  const std::string taken = std::move(text);
  return taken.size() + text.size();
}

}  // namespace merganser
"""

BUILD = """rule cc
  command = g++ -std=c++20 -I %s -MMD -MF $out.d -c $in -o $out
  deps = gcc
  depfile = $out.d
build planted.o: cc %s
"""


class LintTest(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="merganser-lint-")
        self.addCleanup(shutil.rmtree, self.root)
        for name in (".ci", "common", "coordinator", "deploy", "proto", "tests", "worker"):
            shutil.copytree(os.path.join(SOURCE, name), os.path.join(self.root, name),
                            ignore=shutil.ignore_patterns("__pycache__", "data"))
        for name in (".clang-format", ".clang-tidy", "CMakeLists.txt"):
            shutil.copy(os.path.join(SOURCE, name), self.root)
        self.build = os.path.join(self.root, "build")
        os.mkdir(self.build)

    def plant(self, path, text):
        full = os.path.join(self.root, path)
        with open(full, "a", encoding="utf-8") as f:
            f.write(text)
        return full

    def plant_source(self, text):
        """A source of the program that was built, the only one."""
        source = self.plant("common/base/planted.cc", text)
        with open(os.path.join(self.build, "build.ninja"), "w", encoding="utf-8") as f:
            f.write(BUILD % (self.root, source))
        subprocess.run(["ninja", "-C", self.build], check=True, stdout=subprocess.DEVNULL)
        command = "g++ -std=c++20 -I %s -o planted.o -c %s" % (self.root, source)
        with open(os.path.join(self.build, "compile_commands.json"), "w", encoding="utf-8") as f:
            json.dump([{"directory": self.build, "command": command, "file": source}], f)

    def lint(self, check):
        done = subprocess.run([os.path.join(self.root, "tests", "lint.sh"), check], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=240)
        return done.returncode, done.stdout

    def assert_found(self, check, what):
        code, said = self.lint(check)
        self.assertEqual(code, 1, said)
        self.assertIn("lint: failed: " + check, said)
        self.assertIn(what, said)

    def test_format(self):
        self.assertEqual(self.lint("format")[0], 0)
        self.plant("worker/unit_runner.h", "int  two_blanks;\n")
        self.assert_found("format", "worker/unit_runner.h")

    def test_shell(self):
        self.assertEqual(self.lint("shell")[0], 0)
        self.plant("deploy/quickstart.sh", "\nrm -r $UNQUOTED/x\n")
        self.assert_found("shell", "SC2086")

    def test_includes(self):
        self.assertEqual(self.lint("includes")[0], 0)
        self.plant("proto/convert/plan_codec.h", '#include "worker/unit_source.h"\n')
        self.assert_found("includes", "proto/convert/plan_codec.h includes worker/unit_source.h")

    def test_locks(self):
        self.plant_source(LOCKS.replace("{ ++count_; }", "{\n    MutexLock lock(mutex_);\n"
                                        "    ++count_;\n  }"))
        self.assertEqual(self.lint("locks"), (0, "==> lint: locks\nclang++-16: 1 sources, 0 failed\n"))
        os.remove(os.path.join(self.root, "common/base/planted.cc"))
        self.plant_source(LOCKS)
        self.assert_found("locks", "requires holding mutex 'mutex_'")

    def test_tidy(self):
        self.plant_source(TIDY)
        self.assert_found("tidy", "bugprone-use-after-move")

    def test_a_folder_that_was_not_built_is_no_pass(self):
        self.assert_found("locks", "compile_commands.json: no such file")


if __name__ == "__main__":
    unittest.main(verbosity=2)
