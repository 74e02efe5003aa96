// JSON as events, and the ways in which it is written.
//
// Text that is shown or quoted is the same JSON; members are found where they stand; what is
// appended is there, and nothing else changes.
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/utf8.h"
#include "common/config/json_append.h"
#include "common/config/json_key.h"
#include "common/format/json_events.h"
#include "common/format/text.h"
#include "tests/fuzz/check.h"

namespace merganser::fuzz {
namespace {

constexpr size_t kDepth = 64;

// All that a text says, as one text.
class Transcript final : public JsonHandler {
 public:
  absl::Status On(const JsonEvent& event) override {
    absl::StrAppend(&said, static_cast<int>(event.kind), " ", event.number, " ", event.boolean, " ",
                    event.text.size(), ":", std::string(event.text), "\n");
    const std::string described = DescribeJson(event);
    Require(described.size() < 1000 && described.find('\n') == std::string::npos,
            "a description of more than a line", described);
    return absl::OkStatus();
  }
  std::string said;
};

std::optional<std::string> Said(std::string_view json) {
  Transcript transcript;
  const absl::Status read = ReadJson(json, kDepth, transcript);
  if (read.ok()) return std::move(transcript.said);
  RequireRefusal(read, {absl::StatusCode::kDataLoss});
  return std::nullopt;
}

void RequireStrings(std::string_view text) {
  Require(Quoted(text).find('\n') == std::string::npos, "a quotation of several lines", text);
  if (FirstInvalidUtf8(text).has_value()) return;
  std::string quoted;
  AppendJsonString(text, quoted);
  const std::optional<std::string> said = Said(quoted);
  Require(said.has_value(), "a quoted text is no JSON", quoted);
  Transcript expected;
  JsonEvent event{.kind = JsonEvent::Kind::kString};
  event.text = text;
  (void)expected.On(event);
  Require(*said == expected.said, "a quoted text is another", quoted);
}

// Without the end of the object.
std::string_view WithoutLastLine(std::string_view said) {
  return said.substr(0, said.rfind('\n', said.size() - 2) + 1);
}

void RequireMembers(std::string_view json) {
  size_t before = 0;
  for (const JsonMember& member : JsonMembers(json)) {
    Require(before <= member.begin && member.begin < member.end && member.end <= json.size(),
            "a member out of its place", member.key);
    before = member.end;
    const std::string_view value = json.substr(member.begin, member.end - member.begin);
    Require(Said(value).has_value(), "a member's value is no JSON", value);
  }
}

}  // namespace
}  // namespace merganser::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace merganser;
  using namespace merganser::fuzz;
  const auto parts = PartsOf(TextOf(data, size), 2);
  const std::string_view json = parts[0], text = parts[1];
  RequireStrings(text);
  const std::optional<std::string> said = Said(json);
  if (!said.has_value()) return 0;
  Require(Said(ShownJson(json)) == said, "shown, it says something else", json);
  const size_t first = json.find_first_not_of(" \t\r\n");
  if (json[first] != '{') return 0;
  RequireMembers(json);

  std::string quoted;
  AppendJsonString(FirstInvalidUtf8(text).has_value() ? "x" : text, quoted);
  // Behind the last member: said by whoever reads the longer text.
  const auto longer = AppendJson(json, {{{}, {absl::StrCat(quoted, ": [1, ", quoted, "]")}}});
  Require(longer.has_value(), "nothing can be added to an object", json);
  const auto long_said = Said(*longer);
  Require(long_said.has_value(), "with a member more it is no JSON", *longer);
  Require(long_said->starts_with(WithoutLastLine(*said)),
          "with a member more, the others are not what they were", *longer);
  const auto members = JsonMembers(*longer);
  Require(members.size() == JsonMembers(json).size() + 1, "not one member more", *longer);

  const auto keyed = WithTextKey(json, "a key that no seed has", "b", "x.json");
  if (!keyed.ok()) {
    RequireRefusal(keyed.status(), {absl::StatusCode::kInvalidArgument});
    return 0;
  }
  const auto value = JsonAt(*keyed, {"a key that no seed has"});
  Require(value == "\"b\"", "a key that was set has another value", *keyed);
  const auto twice = WithTextKey(*keyed, "a key that no seed has", "b", "x.json");
  Require(twice.ok() && *twice == *keyed, "set twice, it is another text", *keyed);
  return 0;
}
