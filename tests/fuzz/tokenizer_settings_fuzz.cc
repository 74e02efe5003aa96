// What stands beside a tokenizer: a text, "%%", generation_config.json or tokenizer_config.json,
// "%%", config.json.
//
// A template that is put into a file is found in it; numbers of tokens that are replaced are those
// that were asked for.
#include <optional>
#include <string>

#include "common/auxiliary/chat_templates.h"
#include "common/base/utf8.h"
#include "common/config/json_key.h"
#include "common/prepare/token_numbers.h"
#include "common/tokenizer/tokenizer_facts.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace merganser;
  using namespace merganser::fuzz;
  const auto parts = PartsOf(TextOf(data, size), 3);
  const std::string_view settings = parts[1], config = parts[2];
  const std::string_view text = FirstInvalidUtf8(parts[0]).has_value() ? "none" : parts[0];

  (void)ChatTemplateIn(settings);
  const auto set = WithTextKey(settings, "chat_template", text, "tokenizer_config.json");
  if (set.ok()) {
    // Python's files may have a key twice; the last one counts, and all are replaced.
    Require(ChatTemplateIn(*set) == std::string(text), "another template than was put there", *set);
  } else {
    RequireRefusal(set.status(), {absl::StatusCode::kInvalidArgument});
  }

  for (const auto& [role, said] : NumbersSaid(settings, config)) {
    Require(!said.numbers.empty(), "a role that says nothing", role);
  }

  const NewNumber moved = [](uint64_t number) -> absl::StatusOr<std::optional<uint64_t>> {
    if (number % 3 == 0) return std::nullopt;
    return number < 1000 ? number + 1000 : number;
  };
  const auto numbers = NumbersInConfig(settings, "a.json", config, "b.json", moved);
  const auto same = NumbersInConfig(settings, "a.json", settings, "a.json", moved);
  const auto generation =
      NumbersInGeneration(settings, "a.json", config, "b.json", /*add=*/true, moved);
  for (const absl::Status& status : {numbers.status(), same.status(), generation.status()}) {
    if (!status.ok()) RequireRefusal(status, {absl::StatusCode::kInvalidArgument});
  }
  if (same.ok()) {
    Require(same->top.empty() && same->text_config.empty(), "its own numbers are others", settings);
  }
  if (numbers.ok()) {
    const auto written = WithKeys(settings, numbers->top, numbers->text_config, "a.json");
    Require(written.ok(), "numbers that cannot be written", written.status().ToString());
    for (const auto& [key, value] : numbers->top) {
      Require(NamesTokens(key), "a key that names no tokens", key);
    }
  }
  return 0;
}
