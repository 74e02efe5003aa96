"""The pages: every link leads somewhere in the repository, every file that a page names is there, every
page can be found from README.md, which stays short, and the guide of the command line has every command."""

import os
import re
import unittest

SOURCE = os.environ.get(
    "MERGANSER_SOURCE_DIR",
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

README_LINES = 140
TOPS = ("common", "coordinator", "deploy", "proto", "tests", "worker")

FENCE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:(?<=\n\n)|\A)(?:(?: {4}|\t).*\n+)+")
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[(?:[^\][]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
# Words within backticks that are taken for files of the repository, and among those the ones that
# are none: what a build makes, and patterns such as NAME_test.py.
NAMED = re.compile(r"(?:(?:%s)/[\w./-]*\w|"
                   r"(?:\.\.?/)*[\w/-][\w./-]*\.(?:cc|cmake|h|js|md|proto|py|sbatch|sh))"
                   % "|".join(TOPS))
MADE = re.compile(r"build/.*|(?!.*\.md$)(?:.*[/_-])?[A-Z]{2,}[_.-].*")


def prose(text):
    """A page without its blocks of code."""
    return INDENTED.sub("\n", FENCE.sub("", text))


def anchors(text):
    """What `#...` of a link to this page may be, as GitHub makes it of headings."""
    found = set()
    for heading in HEADING.findall(prose(text)):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        unique, count = slug, 0
        while unique in found:
            count += 1
            unique = "%s-%d" % (slug, count)
        found.add(unique)
    return found


class Tree:
    """Files of a repository by path, pages with their text; without what builds and tools leave."""

    def __init__(self, files):
        """`files`: path to the text of a page, or to None."""
        self.pages = {path: text for path, text in files.items() if path.endswith(".md")}
        self.there = set(files)
        self.names = {}
        for path in files:
            self.names.setdefault(os.path.basename(path), []).append("/" + path)
            while path:
                path = os.path.dirname(path)
                self.there.add(path)

    def links(self, page):
        """(link as it is written, path that it leads to, anchor) of links within the repository."""
        for link in LINK.findall(CODE.sub("", prose(self.pages[page]))):
            if re.match(r"[a-z][a-z0-9+.-]*:", link):
                continue
            path, _, anchor = link.partition("#")
            target = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
            yield link, "" if target == "." else target, anchor

    def broken_links(self, page):
        for link, target, anchor in self.links(page):
            if target not in self.there:
                yield "%s: %s: there is no %s" % (page, link, target)
            elif anchor and anchor not in anchors(self.pages.get(target, "")):
                yield "%s: %s: %s has no such heading" % (page, link, target)

    def missing_files(self, page):
        """Files that a page names, from the root, from its folder, or by the end of their path."""
        at = os.path.dirname(page)
        for words in CODE.findall(prose(self.pages[page])):
            for word in words.split():
                if not NAMED.fullmatch(word) or MADE.fullmatch(word):
                    continue
                near = os.path.normpath(os.path.join(at, word))
                if near in self.there or os.path.normpath(word) in self.there:
                    continue
                if not any(path.endswith("/" + word)
                           for path in self.names.get(os.path.basename(word), [])):
                    yield "%s names %s, which is not there" % (page, word)

    def unreachable(self, first):
        """Pages to which no links lead from the page `first`."""
        seen, todo = set(), [first]
        while todo:
            page = todo.pop()
            if page not in seen:
                seen.add(page)
                for _, target, _ in self.links(page):
                    todo += [p for p in (target, os.path.join(target, "README.md"))
                             if p in self.pages]
        return sorted(set(self.pages) - seen)


def read(root):
    files = {}
    for at, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders
                            if not f.startswith((".", "build", "__pycache__", "node_modules")))
        for name in sorted(names):
            full = os.path.join(at, name)
            text = None
            if name.endswith(".md"):
                with open(full, encoding="utf-8") as f:
                    text = f.read()
            files[os.path.relpath(full, root)] = text
    return Tree(files)


class DocsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tree = read(SOURCE)

    def test_links(self):
        self.assertGreater(len(self.tree.pages), 30, "is %s the repository?" % SOURCE)
        count = sum(len(list(self.tree.links(page))) for page in self.tree.pages)
        self.assertGreater(count, 100)
        self.assertEqual([b for page in sorted(self.tree.pages)
                          for b in self.tree.broken_links(page)], [])

    def test_files_that_pages_name(self):
        self.assertEqual([m for page in sorted(self.tree.pages)
                          for m in self.tree.missing_files(page)], [])

    def test_every_page_is_found_from_the_readme(self):
        self.assertEqual(self.tree.unreachable("README.md"), [])

    def test_the_guide_has_every_command(self):
        commands = set()
        for path in self.tree.there:
            if path.startswith("coordinator/cli/") and path.endswith("_command.cc"):
                with open(os.path.join(SOURCE, path), encoding="utf-8") as f:
                    commands.update(re.findall(r'commands\.Add\(\s*"([a-z-]+)"', f.read()))
        self.assertGreater(len(commands), 20)
        told = set(CODE.findall(self.tree.pages["coordinator/cli/README.md"]))
        self.assertEqual(commands - told, set())

    def test_the_readme_is_short(self):
        self.assertLessEqual(self.tree.pages["README.md"].count("\n"), README_LINES,
                             "move what is about one folder to that folder's page")

    def test_what_is_wrong_is_found(self):
        files = {"README.md": "# A `b_c` (d): e\n\n## A\n\n## A\n", "common/x.h": None,
                 "common/plan/y.cc": None}
        good = ["[a](x.h)", "[a](../README.md)", "[a](../README.md#a-b_c-d-e)", "[a](../README.md#a-1)",
                "[a](../common)", "[a](#here)", "![a](x.h)", "[a `[b]` c](x.h \"title\")",
                "[a](https://example.org/x#y)", "`[a](none.h)`", "\n    [a](none.h)\n",
                "\n```\n[a](none.h)\n`none.h`\n```\n", "`x.h`, `plan/y.cc`, `common/plan`, `y.cc --all`",
                "`config.json`, `--x none.html`", "`NAME_x.h`, `..._x.h`, `build/none.md`"]
        links = ["[a](y.h)", "[a](../../README.md)", "[a](../README.md#b)", "[a](../README.md#a-2)",
                 "[a](#there)", "![a](none.png)", "[a](x.h#there)", "[a\nb](none.md)"]
        names = ["`none.h`", "`common/none`", "`plan/none.py`", "`plan/x.h`", "`common/none.py DIR`",
                 "`../none.h`", "`NONE.md`"]
        for wrong, text in ([(0, t) for t in good] + [(1, t) for t in links] +
                            [(2, t) for t in names]):
            with self.subTest(text=text):
                tree = Tree({**files, "common/page.md": "# Here\n\n" + text + "\n"})
                self.assertEqual(
                    (len(list(tree.broken_links("common/page.md"))),
                     len(list(tree.missing_files("common/page.md")))),
                    (int(wrong == 1), int(wrong == 2)))
        tree = Tree({"README.md": "[a](a.md), [b](b)", "a.md": "[c](b/c.md)", "b/README.md": "",
                     "b/c.md": "", "d.md": "[a](a.md)"})
        self.assertEqual(tree.unreachable("README.md"), ["d.md"])


if __name__ == "__main__":
    unittest.main()
