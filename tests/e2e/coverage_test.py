"""tests/coverage/report.py: over a small program, what ran, and which error paths were not taken."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = os.environ.get(
    "MERGANSER_SOURCE_DIR",
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
REPORT = os.path.join(SOURCE, "tests", "coverage", "report.py")

PROGRAM = """#include <string>
namespace absl {
int NotFoundError(const std::string&);
int DataLossError(const std::string&);
}  // namespace absl
bool Whole(int);
int Open(int argc) {
  if (argc > 5) return absl::NotFoundError("no such file");
  if (argc > 4) {
    return
        absl::DataLossError("cut off");
  }
  if (argc > 0 && !Whole(argc)) return absl::DataLossError("damaged");
  return 0;
}
int Never() { return absl::NotFoundError("never called"); }
int main(int argc, char**) { return Open(argc); }
"""
OTHERS = """#include <string>
namespace absl {
int NotFoundError(const std::string&) { return 5; }
int DataLossError(const std::string&) { return 15; }
}  // namespace absl
bool Whole(int) { return false; }
"""
UNUSED = "int Unused() { return 1; }\n"


class CoverageTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)
        self.source, self.build = os.path.join(self.dir, "tree"), os.path.join(self.dir, "build")
        for path, text in (("common/storage/open.cc", PROGRAM), ("common/base/unused.cc", UNUSED),
                           ("elsewhere/other.cc", OTHERS)):
            path = os.path.join(self.source, path)
            os.makedirs(os.path.dirname(path))
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        os.makedirs(self.build)

    def report(self, *args):
        return subprocess.run([sys.executable, REPORT, self.build, "--source", self.source, *args],
                              capture_output=True, text=True, check=False)

    def compile(self, path):
        name = os.path.join(self.build, os.path.basename(path) + ".o")
        subprocess.run(["g++", "--coverage", "-O0", "-c", os.path.join(self.source, path), "-o", name],
                       check=True)
        return name

    def test_what_ran_and_which_errors_were_not_taken(self):
        objects = [self.compile("common/storage/open.cc")]
        self.compile("common/base/unused.cc")  # never linked
        objects.append(self.compile("elsewhere/other.cc"))
        program = os.path.join(self.build, "program")
        subprocess.run(["g++", "--coverage", *objects, "-o", program], check=True)
        self.assertEqual(subprocess.run([program], check=False).returncode, 15)
        done = self.report()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"(?m)^common/base +1 +0 +0\.0%$")
        self.assertRegex(done.stdout, r"(?m)^common/storage +8 +5 +62\.5%$")
        self.assertNotIn("elsewhere", done.stdout)
        listed = done.stdout[done.stdout.index("common/storage: "):].split("\n\n")[0]
        self.assertEqual(listed.splitlines(), [
            "common/storage: 3 of 4 error paths were not taken",
            '  common/storage/open.cc:8: if (argc > 5) return absl::NotFoundError("no such file");',
            '  common/storage/open.cc:11: return absl::DataLossError("cut off");',
            '  common/storage/open.cc:16: int Never() { return absl::NotFoundError("never called"); }'])

    def test_a_build_without_it_is_told(self):
        done = self.report()
        self.assertEqual(done.returncode, 1)
        self.assertIn("found nothing that g++ --coverage left", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
