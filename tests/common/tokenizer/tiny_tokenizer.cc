#include "tests/common/tokenizer/tiny_tokenizer.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/tokenizer/tokenizer_tokens.h"

namespace merganser {

std::string AddedJson(const std::string& text, uint64_t number, const std::string& flags) {
  return absl::StrCat("{\"id\": ", number, ", \"content\": \"", text, "\", ", flags, "}");
}

std::string TinyTokenizer::Json() const {
  std::vector<std::string> entries;
  for (const auto& [text, number] : added) {
    entries.push_back(AddedJson(text, number,
                                "\"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
                                "\"normalized\": false, \"special\": true"));
  }
  const bool list = kind == "Unigram";
  return absl::StrCat(
      "{\"version\": \"1.0\", \"added_tokens\": [", absl::StrJoin(entries, ", "), "]", rules,
      ", \"model\": {\"type\": \"", kind, "\"", model, ", \"vocab\": ", list ? "[" : "{",
      absl::StrJoin(vocabulary, ", "), list ? "]" : "}",
      kind == "BPE" ? absl::StrCat(", \"merges\": [", absl::StrJoin(merges, ", "), "]")
                    : std::string(),
      "}}\n");
}

TokenizerFiles Model(const std::string& name, const TinyTokenizer& tokenizer,
                     std::map<std::string, std::string, std::less<>> more, uint64_t rows) {
  TokenizerFiles files;
  files.model = name;
  files.where = "/models/" + name;
  files.texts = std::move(more);
  files.texts["tokenizer.json"] = tokenizer.Json();
  files.rows = rows;
  return files;
}

std::map<std::string, uint64_t> Numbers(const std::string& tokenizer, const std::string& config) {
  TokenizerFiles files;
  files.where = "/output";
  files.texts = {{"tokenizer.json", tokenizer}, {"tokenizer_config.json", config}};
  const auto table = ReadTokenTable(files, false);
  EXPECT_TRUE(table.ok()) << table.status() << "\n" << tokenizer;
  std::map<std::string, uint64_t> numbers;
  if (!table.ok()) return numbers;
  for (const TokenEntry& token : table->tokens) numbers[token.text] = token.number;
  return numbers;
}

std::map<std::string, std::string, std::less<>> After(const TokenizerFiles& first,
                                                      const UnitedTokenizer& united) {
  auto files = first.texts;
  for (const std::string& name : united.left_out) files.erase(name);
  for (const auto& [name, text] : united.written) files[name] = text;
  return files;
}

}  // namespace merganser
