// `merganser keys`.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/recipe/recipe_keys.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"

namespace merganser::cli {
namespace {

struct KeysFlags {
  bool json = false;
  bool markdown = false;  // RECIPE.md's table
};

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

int Run(const KeysFlags& flags) {
  const std::string out = flags.json       ? RecipeKeysJson()
                          : flags.markdown ? RecipeKeysMarkdown()
                                           : KeysText();
  std::fputs(out.c_str(), stdout);
  return kDone;
}

}  // namespace

void AddKeys(Commands& commands) {
  const auto flags = std::make_shared<KeysFlags>();
  CLI::App& command =
      commands.Add("keys", "List what a recipe may have: accepted, noted, warned of, refused",
                   [flags] { return Run(*flags); });
  CLI::Option* json = command.add_flag("--json", flags->json, "Print JSON");
  command.add_flag("--markdown", flags->markdown, "Print a Markdown table")->excludes(json);
}

}  // namespace merganser::cli
