"""Who may include what: the folders' rules, checked over every #include line; what no file may
use; and that a name stands for one type."""

import os
import re
import sys
import unittest

SOURCE = os.environ.get(
    "MERGANSER_SOURCE_DIR",
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

# Folders of common/ in data-flow order: each may use itself and those before it.
FLOW = ["base", "tensor", "format", "storage", "checkpoint", "recipe", "linalg", "methods",
        "plan", "config", "auxiliary", "tokenizer", "engine", "prepare", "publish",
        "adapters"]

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)

IO_HEADERS = {"fstream", "iostream", "cstdio", "stdio.h", "filesystem", "fcntl.h", "unistd.h",
              "sys/stat.h", "sys/mman.h", "dirent.h"}
THREAD_HEADERS = {"thread", "mutex", "shared_mutex", "condition_variable", "future",
                  "pthread.h", "semaphore"}
CLOCK_HEADERS = {"ctime", "time.h", "sys/time.h"}

# Third-party headers by pattern: the folders or files that may include them, and whether only their
# .cc files may.
THIRD_PARTY = [
    (r"grpc(pp|\+\+)?/",
     ["coordinator/service", "coordinator/cli", "worker/sources", "proto/channel",
      "proto/convert"], False),
    (r"google/(protobuf|rpc)/",
     ["coordinator/service", "coordinator/http/api", "coordinator/cli", "worker/sources", "proto"],
     False),
    (r"yaml-cpp/", ["common/recipe"], True),
    (r"nlohmann/", ["common/format", "common/checkpoint", "common/plan", "common/config",
                    "common/auxiliary", "common/tokenizer", "common/engine", "common/prepare",
                    "common/publish", "common/adapters", "coordinator"], True),
    (r"Eigen/|unsupported/Eigen/", ["common/linalg", "common/methods"], True),
    (r"Spectra/|lapacke|cblas", ["tests/bench"], True),
    (r"hwy/", ["common/linalg", "common/tensor", "common/methods"], False),
    (r"CLI/", ["coordinator/cli", "tests/coordinator/cli"], True),
    (r"spdlog/", ["common/base/log_writer.cc"], True),
    (r"xxh", ["common/base", "common/engine"], True),
    (r"gtest/|gmock/", ["tests"], False),
    (r"benchmark/", ["tests/bench"], True),
    (r"curl/", ["common/storage/http"], True),
    (r"re2/", ["common/checkpoint"], False),
    (r"pugixml", ["common/storage/s3"], True),
    (r"isa-l", ["common/storage/s3"], True),
    (r"sqlite|SQLiteCpp/", ["coordinator/journal", "tests/coordinator/journal",
                             "tests/fuzz/journal_rows_fuzz.cc"], True),
    (r"mpi\.h", ["worker/sources/mpi"], True),
    (r"microhttpd", ["coordinator/http/server.cc"], True),
    (r"openssl/", ["proto/channel", "coordinator/front", "common/storage/s3"], True),
    (r"nghttp2/", ["coordinator/front"], True),
    (r"prometheus/", ["common/base/exposition.cc"], True),
]

# What ends a process when memory or threads run out, by pattern: what to use instead, and the
# file that provides it.
DEADLY = [
    (r"std::j?thread\s*[({]|std::j?thread\s+\w|std::async|\.detach\(\)|pthread_create",
     "common/base/thread.h", "common/base/thread.cc"),
    (r"directory_iterator|\bopendir\(", "common/base/directory.h", "common/base/directory.cc"),
    (r"absl::Str(Append)?Format\(", "common/base/format.h", "common/base/format.h"),
]


def includes(text):
    """(header, quoted) of every include line."""
    return [(m.group(2), m.group(1) == '"') for m in INCLUDE.finditer(text)]


def _under(path, folder):
    return path.startswith(folder + "/")


def _allowed(path, folders):
    return any(path == f or _under(path, f) for f in folders)


def violations(path, text):
    """What is wrong with the includes of the file at `path`, relative to the root."""
    found = []

    def bad(header, why):
        found.append("%s includes %s: %s" % (path, header, why))

    test = path.startswith("tests/")
    for pattern, instead, provider in DEADLY:
        use = re.search(pattern, re.sub(r"//.*", "", text))
        if use and not test and path != provider:
            found.append("%s has %s: use %s" % (path, use.group(), instead))
    for header, _ in includes(text):
        top = header.split("/")[0]

        if header.startswith("absl/synchronization/") or header.startswith("absl/log/"):
            bad(header, "lock with common/base/mutex.h; there is no absl/log")

        for pattern, folders, sources_only in THIRD_PARTY:
            if not re.match(pattern, header):
                continue
            if test and re.match(r"grpc|google/|nlohmann|Eigen|unsupported|hwy|openssl|Spectra|xxh",
                                 header):
                continue  # tests compare with them and drive them
            if not _allowed(path, folders):
                bad(header, "allowed in %s alone" % ", ".join(folders))
            elif (sources_only and not path.endswith(".cc") and not test and
                  not header.endswith("/json_fwd.hpp")):  # names of types, which cost nothing
                bad(header, "in .cc files alone")

        if test:
            continue
        if top == "tests":
            bad(header, "the program does not know its tests")
        if path.startswith("common/"):
            if top in ("worker", "coordinator"):
                bad(header, "common knows neither worker nor coordinator")
            folder = path.split("/")[1]
            if top == "common" and folder in FLOW:
                other = header.split("/")[1]
                if other not in FLOW:
                    bad(header, "not a folder of common")
                elif FLOW.index(other) > FLOW.index(folder):
                    bad(header, "%s comes after %s" % (other, folder))
        if path.startswith("proto/"):
            if top in ("worker", "coordinator"):
                bad(header, "what travels does not know who sends it")
            if _under(path, "proto/convert") and header.startswith("proto/channel/"):
                bad(header, "a codec does not know the way on which things travel")
        if path.startswith("worker/") and top == "coordinator":
            bad(header, "a worker does not know the coordinator")
        if (path.startswith("coordinator/") and top == "worker"
                and not _under(path, "coordinator/cli")):
            bad(header, "only coordinator/cli composes the two")
        if (path.startswith("coordinator/") and header.startswith("coordinator/cli/")
                and not _under(path, "coordinator/cli")):
            bad(header, "nothing stands on the command line")

        if (_under(path, "coordinator/http") and header.startswith("coordinator/")
                and not header.startswith(("coordinator/http/", "coordinator/front/"))
                and path.count("/") == 2):
            bad(header, "the HTTP server does not know whom it serves")
        if path.count("/") == 2 and _under(path, "coordinator/http") and re.match(
                r"coordinator/http/(site|api)/", header):
            bad(header, "the HTTP server does not know what is built on it")
        if _under(path, "coordinator/http/site") and header.startswith("coordinator/http/api/"):
            bad(header, "the site does not know what is mounted on it")

        generated = header.startswith("merganser/v1/") or header.startswith("proto/")
        if _under(path, "common/linalg") or _under(path, "common/methods"):
            if generated or header.startswith(("common/storage/", "common/checkpoint/")):
                bad(header, "methods and kernels see neither storage nor protos")
        if generated and path.startswith("common/"):
            bad(header, "generated types stay at the borders")
        if generated and _under(path, "coordinator/schedule"):
            bad(header, "the schedule works on plain structs")

        pure = ("common/format", "common/plan", "common/methods", "coordinator/schedule")
        if any(_under(path, p) for p in pure):
            implementation = re.match(r"common/storage/(file|memory|s3|http|hf|stores)", header)
            if header in IO_HEADERS or implementation:
                bad(header, "no I/O here")
        if _under(path, "coordinator/schedule"):
            if header in THREAD_HEADERS or header == "common/base/mutex.h":
                bad(header, "a state machine without threads")
            if header in CLOCK_HEADERS:
                bad(header, "time comes as a value")
    return found


def sources(root):
    """Every C++ file, as (path relative to the root, text)."""
    for top in ("common", "coordinator", "proto", "tests", "worker"):
        for at, folders, names in os.walk(os.path.join(root, top)):
            folders.sort()
            for name in sorted(names):
                if name.endswith((".h", ".cc")):
                    full = os.path.join(at, name)
                    with open(full, encoding="utf-8") as f:
                        yield os.path.relpath(full, root), f.read()


NAMESPACE = re.compile(r"(?:inline )?namespace ?([\w:]*) ?\{")
TYPE = re.compile(r"(?:class|struct|union|enum class) (?:MERGANSER_\w+(?:\([^)]*\))? )?(\w+)"
                  r"(?: final)?\s*(?:\{|:(?!:)|$)")


def types(path, text):
    """Full names of the types that a file defines outside of others and of functions. Of those in
    an anonymous namespace the file is part of the name."""
    inside = []
    for line in text.splitlines():
        opened, defined = NAMESPACE.match(line), TYPE.match(line)
        if opened and "}" not in line:
            inside.append(opened.group(1) or path)
        elif line.startswith("}  // namespace") and inside:
            inside.pop()
        elif defined and not line.endswith(";"):
            yield "::".join(inside + [defined.group(1)])


def cmake_words(root):
    words = {}
    for at, folders, names in os.walk(root):
        folders[:] = [f for f in folders if not f.startswith((".", "build"))]
        for name in names:
            if name != "CMakeLists.txt" and not name.endswith(".cmake"):
                continue
            with open(os.path.join(at, name), encoding="utf-8") as f:
                text = re.sub(r"#.*", "", f.read())
            text = re.sub(r"\$\{CMAKE_CURRENT_(SOURCE|LIST)_DIR\}/", "", text)
            words.setdefault(".", set()).update(
                re.findall(r"\$\{CMAKE_SOURCE_DIR\}/([^\s()\";]+)", text))
            found = words.setdefault(os.path.relpath(at, root), set())
            found.update(re.split(r"[\s()\";]+", text))
    return words


class LayeringTest(unittest.TestCase):
    def test_includes(self):
        found, count = [], 0
        for path, text in sources(SOURCE):
            count += 1
            found += violations(path, text)
        self.assertGreater(count, 50, "is %s the repository?" % SOURCE)
        self.assertEqual(found, [])

    def test_every_test_file_is_built(self):
        words = cmake_words(SOURCE)
        orphans = []
        for at, folders, names in os.walk(os.path.join(SOURCE, "tests")):
            folders.sort()
            for name in sorted(names):
                if not name.endswith(("_test.cc", "_test.py")):
                    continue
                full = os.path.relpath(os.path.join(at, name), SOURCE)
                if full.startswith("tests/interop/"):
                    continue  # needs packages from PyPI; tests/run.sh --full runs it
                stem = name[:-3] if name.endswith(".py") else name
                listed = False
                for folder, known in words.items():
                    inner = os.path.relpath(full, folder)
                    if not inner.startswith("..") and (
                            inner in known or os.path.join(os.path.dirname(inner), stem) in known):
                        listed = True
                if not listed:
                    orphans.append(full)
        self.assertEqual(orphans, [], "no CMakeLists.txt names these")

    def test_every_source_file_is_built(self):
        words = cmake_words(SOURCE)
        orphans = []
        for path, _ in sources(SOURCE):
            if path.endswith(".cc"):
                inner = [os.path.relpath(path, folder) in known
                         for folder, known in words.items()
                         if not os.path.relpath(path, folder).startswith("..")]
                if not any(inner):
                    orphans.append(path)
        self.assertEqual(orphans, [], "no CMakeLists.txt names these")

    def test_no_test_is_skipped_or_switched_off(self):
        found = []
        for path, text in sources(SOURCE):
            if path.startswith("tests/") and re.search(r"GTEST_SKIP|\bDISABLED_", text):
                found.append(path)
        self.assertEqual(found, [])

    def test_a_name_stands_for_one_type(self):
        """Where two have one, the linker takes the inline functions of either for both."""
        places = {}
        for path, text in sources(SOURCE):
            # Every program of the tests is linked of its own files.
            if not path.startswith("tests/"):
                for name in types(path, text):
                    places.setdefault(name, []).append(path)
        self.assertGreater(len(places), 500)
        self.assertEqual({n: p for n, p in places.items() if len(p) > 1}, {})
        for text in ("namespace a {\nstruct B {\n};\n}  // namespace a\n",
                     "namespace a {\nclass B final : public C {\n",
                     "namespace a {\nnamespace {\n}  // namespace\nclass MERGANSER_X(\"y\") B {"):
            self.assertEqual(list(types("f.cc", text)), ["a::B"])
        self.assertEqual(list(types("f.cc", "namespace a {\nnamespace {\nstruct B {")), ["a::f.cc::B"])
        self.assertEqual(list(types("f.cc", "class B;\nstruct A::B {\n")), [])

    def test_the_rules_can_fail(self):
        cases = [
            ("common/base/a.h", '#include "worker/unit_runner.h"'),
            ("common/tensor/a.cc", '#include "common/plan/plan.h"'),
            ("common/plan/a.cc", "#include <fstream>"),
            ("common/format/a.cc", "#  include <unistd.h>"),
            ("common/methods/a.cc", '#include "common/storage/object_store.h"'),
            ("common/linalg/a.cc", '#include "merganser/v1/stats.pb.h"'),
            ("common/recipe/a.h", '#include "yaml-cpp/yaml.h"'),
            ("common/checkpoint/a.h", '#include "nlohmann/json.hpp"'),
            ("common/engine/a.cc", "#include <grpcpp/grpcpp.h>"),
            ("worker/a.cc", '#include "coordinator/schedule/schedule.h"'),
            ("worker/a.cc", '#include "absl/synchronization/mutex.h"'),
            ("coordinator/service/a.cc", '#include "worker/unit_runner.h"'),
            ("coordinator/service/a.cc", '#include "coordinator/cli/merge.h"'),
            ("coordinator/cli/a.cc", "#include <mpi.h>"),
            ("coordinator/schedule/a.cc", "#include <thread>"),
            ("coordinator/schedule/a.cc", "#include <ctime>"),
            ("coordinator/schedule/a.cc", '#include "common/storage/file/file_store.h"'),
            ("worker/a.cc", '#include "tests/testing/tiny.h"'),
            ("proto/convert/a.cc", '#include "coordinator/service/job.h"'),
            ("proto/convert/a.cc", '#include "proto/channel/channel.h"'),
            ("proto/convert/a.cc", "#include <openssl/pem.h>"),
            ("proto/channel/a.h", '#include "worker/unit_source.h"'),
            ("proto/a.h", '#include "grpcpp/grpcpp.h"'),
            ("coordinator/http/gate.cc", "#include <microhttpd.h>"),
            ("coordinator/http/server.cc", '#include "coordinator/http/site/site.h"'),
            ("coordinator/http/server.cc", '#include "coordinator/service/job_manager.h"'),
            ("coordinator/http/site/site.cc", '#include "coordinator/http/api/routes.h"'),
            ("coordinator/http/site/site.cc", "#include <google/protobuf/message.h>"),
            ("common/base/metrics.cc", "#include <prometheus/registry.h>"),
            ("common/base/exposition.h", "#include <prometheus/metric_family.h>"),
            ("worker/a.cc", "std::thread t(body);"),
            ("worker/a.cc", "threads.push_back(std::thread(body));"),
            ("coordinator/service/a.cc", "thread.detach();"),
            ("common/engine/a.cc", "for (auto& e : fs::directory_iterator(path)) {"),
        ]
        for path, text in cases:
            with self.subTest(path=path, text=text):
                self.assertTrue(violations(path, text))
        fine = [
            ("coordinator/cli/a.cc", '#include "worker/unit_runner.h"\n#include <CLI/CLI.hpp>'),
            ("common/plan/a.cc", '#include "common/storage/object_store.h"\n#include <vector>'),
            ("common/recipe/a.cc", '#include "yaml-cpp/yaml.h"'),
            ("worker/a.cc", "std::this_thread::yield();  // not std::thread t"),
            ("tests/worker/a_test.cc", '#include "worker/unit_runner.h"\n#include "gtest/gtest.h"'),
        ]
        for path, text in fine:
            self.assertEqual(violations(path, text), [])


if __name__ == "__main__":
    print("checking %s" % SOURCE, file=sys.stderr)
    unittest.main(verbosity=2)
