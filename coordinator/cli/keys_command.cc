// `merganser keys`.
#include <cstdio>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/recipe/recipe_keys.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"

namespace merganser::cli {
namespace {

// A line a key, under the place where it stands.
std::string KeysText() {
  std::string out;
  std::string_view place;
  for (const RecipeKey& key : RecipeKeys()) {
    if (key.about.empty()) continue;
    if (const std::string_view now = PlaceWord(key.place); now != place) {
      absl::StrAppend(&out, out.empty() ? "" : "\n", "in ", std::string(now), ":\n");
      place = now;
    }
    absl::StrAppend(&out, "  ", std::string(key.form.empty() ? key.key : key.form), ": ",
                    std::string(VerdictWord(key.verdict)), ", ", std::string(key.about), "\n");
  }
  return out;
}

}  // namespace

int RunKeys(bool json, bool markdown) {
  const std::string out = json ? RecipeKeysJson() : markdown ? RecipeKeysMarkdown() : KeysText();
  std::fputs(out.c_str(), stdout);
  return kDone;
}

}  // namespace merganser::cli
