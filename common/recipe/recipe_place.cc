#include "common/recipe/recipe_place.h"

#include <charconv>
#include <optional>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace merganser {
namespace {

constexpr char kUrl[] = "merganser/recipe-place";  // "LINE KEY"

}  // namespace

absl::Status WithPlace(absl::Status status, int line, std::string_view key) {
  status.SetPayload(kUrl, absl::Cord(absl::StrCat(line, " ", std::string(key))));
  return status;
}

RecipePlace PlaceOf(const absl::Status& status) {
  RecipePlace place;
  const auto payload = status.GetPayload(kUrl);
  if (!payload.has_value()) return place;
  const std::string text(*payload);
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, place.line);
  if (error == std::errc() && rest != end) place.key.assign(rest + 1, end);
  return place;
}

}  // namespace merganser
