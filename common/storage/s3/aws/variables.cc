#include "common/storage/s3/aws/variables.h"

#include <pwd.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace merganser::s3 {
namespace {

std::string HomeOfUser() {
  constexpr size_t kRoom = size_t{16} << 10;
  std::vector<char> room(kRoom);
  struct passwd entry;
  struct passwd* found = nullptr;
  if (::getpwuid_r(::geteuid(), &entry, room.data(), room.size(), &found) != 0) return "";
  return found == nullptr || found->pw_dir == nullptr ? "" : found->pw_dir;
}

}  // namespace

Variables ProcessVariables() {
  Variables variables;
  for (char** at = environ; at != nullptr && *at != nullptr; ++at) {
    const std::string_view text = *at;
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view name = text.substr(0, equals);
    if (name != "HOME" && !name.starts_with("AWS_")) continue;
    variables.emplace(name, text.substr(equals + 1));
  }
  std::string& home = variables["HOME"];
  if (home.empty()) home = HomeOfUser();
  return variables;
}

std::string Get(const Variables& variables, std::string_view name) {
  const auto found = variables.find(name);
  return found == variables.end() ? "" : found->second;
}

std::string FirstOf(const Variables& variables, std::string_view name, std::string_view otherwise) {
  std::string value = Get(variables, name);
  return value.empty() ? Get(variables, otherwise) : value;
}

bool IsTrue(std::string_view text) {
  return absl::EqualsIgnoreCase(absl::string_view(text.data(), text.size()), "true");
}

std::string WithHome(const Variables& variables, std::string_view path) {
  if (!path.starts_with("~/")) return std::string(path);
  return absl::StrCat(Get(variables, "HOME"), std::string(path.substr(1)));
}

}  // namespace merganser::s3
