#include "coordinator/web/static_files.h"

#include <openssl/sha.h>

#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/escaping.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace merganser::web {
namespace {

using ::testing::HasSubstr;

std::string Sha256(std::string_view bytes) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  return absl::BytesToHexString(std::string(reinterpret_cast<const char*>(digest), sizeof(digest)));
}

const StaticFile* Find(std::string_view name) {
  for (const StaticFile& file : StaticFiles()) {
    if (file.name == name) return &file;
  }
  return nullptr;
}

// Other files that `file` names: in a page by their path, in a module beside it.
std::vector<std::string> Named(const StaticFile& file) {
  static const std::regex kForm("\"/static/([^\"]+)\"|(?:from |import\\()'\\./([^']+)'");
  const std::string text(file.bytes);
  std::vector<std::string> found;
  for (std::sregex_iterator it(text.begin(), text.end(), kForm), end; it != end; ++it) {
    found.push_back((*it)[(*it)[1].matched ? 1 : 2].str());
  }
  return found;
}

TEST(StaticFilesTest, EachIsWhatItsHashAndNameSay) {
  std::set<std::string_view> names;
  for (const StaticFile& file : StaticFiles()) {
    EXPECT_TRUE(names.insert(file.name).second) << file.name;
    EXPECT_FALSE(file.bytes.empty()) << file.name;
    EXPECT_FALSE(file.type.empty()) << file.name;
    EXPECT_EQ(file.sha256, Sha256(file.bytes)) << file.name;
    if (file.name == "index.html" || file.name == "icon.svg") continue;
    EXPECT_THAT(std::string(file.name),
                HasSubstr("." + std::string(file.sha256.substr(0, 12)) + "."));
  }
  EXPECT_EQ(names.size(), 7);
}

TEST(StaticFilesTest, TheShellLeadsToAllAndNothingElse) {
  std::set<std::string> reached = {"index.html"};
  std::vector<std::string> open = {"index.html"};
  while (!open.empty()) {
    const StaticFile* file = Find(open.back());
    ASSERT_NE(file, nullptr) << open.back();
    open.pop_back();
    for (const std::string& name : Named(*file)) {
      if (reached.insert(name).second) open.push_back(name);
    }
  }
  EXPECT_EQ(reached.size(), StaticFiles().size());
}

TEST(StaticFilesTest, NothingInlineAndNothingFromElsewhere) {
  const std::string shell(Find("index.html")->bytes);
  EXPECT_FALSE(
      std::regex_search(shell, std::regex("<style|style=|<script>|\\son[a-z]+=|javascript:")));
  static const std::regex kElsewhere("(https?:)?//[a-z0-9.-]+\\.[a-z]+");
  for (const StaticFile& file : StaticFiles()) {
    const std::string text(file.bytes);
    for (std::sregex_iterator it(text.begin(), text.end(), kElsewhere), end; it != end; ++it) {
      EXPECT_EQ(it->str(), "http://www.w3.org") << file.name;  // the name of SVG
    }
  }
}

// What comes before the list of jobs is seen: the shell, and all that it names itself.
TEST(StaticFilesTest, TheFirstViewIsSmall) {
  const StaticFile* shell = Find("index.html");
  size_t bytes = shell->bytes.size();
  const std::vector<std::string> first = Named(*shell);
  EXPECT_LE(first.size(), 7);
  for (const std::string& name : first) bytes += Find(name)->bytes.size();
  EXPECT_LE(bytes, 90'000);
}

}  // namespace
}  // namespace merganser::web
