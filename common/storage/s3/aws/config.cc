#include "common/storage/s3/aws/config.h"

#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/storage/s3/aws/small_file.h"
#include "common/storage/s3/aws/words.h"

namespace merganser::s3 {
namespace {

std::string Path(const Variables& variables, std::string_view name, std::string_view otherwise) {
  const std::string path = Get(variables, name);
  return WithHome(variables, path.empty() ? otherwise : path);
}

std::string Find(const IniFile& file, std::string_view section, std::string_view key) {
  const auto found = file.find(section);
  if (found == file.end()) return "";
  const auto value = found->second.find(key);
  return value == found->second.end() ? "" : value->second;
}

absl::StatusOr<std::string> Text(const std::string& path) {
  MERGANSER_ASSIGN_OR_RETURN(std::optional<std::string> text, ReadSmallFile(path));
  return std::move(text).value_or("");
}

absl::StatusOr<IniFile> Parsed(const std::string& text, const std::string& path) {
  absl::StatusOr<IniFile> file = ParseIni(text);
  if (!file.ok()) return Annotate(file.status(), Shown(path));
  return file;
}

}  // namespace

Config::Config(const Variables& variables)
    : variables_(variables),
      config_path_(Path(variables, "AWS_CONFIG_FILE", "~/.aws/config")),
      credentials_path_(Path(variables, "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")),
      profile_(FirstOf(variables, "AWS_PROFILE", "AWS_DEFAULT_PROFILE")) {}

absl::StatusOr<Config> Config::Load(const Variables& variables) {
  Config config(variables);
  SharedFiles files;
  MERGANSER_ASSIGN_OR_RETURN(files.config, Text(config.config_path_));
  MERGANSER_ASSIGN_OR_RETURN(files.credentials, Text(config.credentials_path_));
  MERGANSER_RETURN_IF_ERROR(config.Add(files));
  return config;
}

absl::StatusOr<Config> Config::Parse(const Variables& variables, const SharedFiles& files) {
  Config config(variables);
  MERGANSER_RETURN_IF_ERROR(config.Add(files));
  return config;
}

absl::Status Config::Add(const SharedFiles& files) {
  MERGANSER_ASSIGN_OR_RETURN(credential_profiles_, Parsed(files.credentials, credentials_path_));
  MERGANSER_ASSIGN_OR_RETURN(IniFile sections, Parsed(files.config, config_path_));
  for (auto& [name, section] : sections) {
    const auto words = SplitWords(name);
    if (!words.has_value()) continue;
    if (words->size() == 1 && words->front() == "default") {
      profiles_.emplace("default", std::move(section));  // [profile default] goes before it
    } else if (words->size() == 2) {
      const std::string& kind = words->front();
      IniFile* const kept = kind == "profile"       ? &profiles_
                            : kind == "sso-session" ? &sso_sessions_
                            : kind == "services"    ? &services_
                                                    : nullptr;
      if (kept != nullptr) (*kept)[words->back()] = std::move(section);
    }
  }
  if (profile_.empty()) {
    profile_ = "default";
  } else if (!Has(profile_)) {
    std::vector<std::string> names = Profiles();
    for (std::string& name : names) name = Shown(name);
    return absl::InvalidArgumentError(absl::StrCat(
        "AWS_PROFILE: found no profile ", Shown(profile_), " in ", Shown(config_path_), " or ",
        Shown(credentials_path_), "; ",
        names.empty() ? "they have none" : absl::StrCat("they have ", absl::StrJoin(names, ", "))));
  }
  return absl::OkStatus();
}

std::vector<std::string> Config::Profiles() const {
  std::set<std::string> names;
  for (const auto& [name, section] : profiles_) names.insert(name);
  for (const auto& [name, section] : credential_profiles_) names.insert(name);
  return {names.begin(), names.end()};
}

bool Config::Has(std::string_view profile) const {
  return profiles_.contains(profile) || credential_profiles_.contains(profile);
}

std::string Config::Of(std::string_view profile, std::string_view key) const {
  std::string value = OfCredentialsFile(profile, key);
  return value.empty() ? Find(profiles_, profile, key) : value;
}

std::string Config::OfCredentialsFile(std::string_view profile, std::string_view key) const {
  return Find(credential_profiles_, profile, key);
}

std::string Config::OfSsoSession(std::string_view session, std::string_view key) const {
  return Find(sso_sessions_, session, key);
}

bool Config::HasSsoSession(std::string_view session) const {
  return sso_sessions_.contains(session);
}

std::string Config::Region() const {
  std::string region = FirstOf(variables_, "AWS_REGION", "AWS_DEFAULT_REGION");
  return region.empty() ? Setting("region") : region;
}

std::string Config::EndpointUrl(std::string_view service) const {
  const std::string ignored = Get(variables_, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
  if (IsTrue(ignored.empty() ? Setting("ignore_configured_endpoint_urls") : ignored)) return "";
  const std::string name(service);
  std::string url =
      FirstOf(variables_, absl::StrCat("AWS_ENDPOINT_URL_", absl::AsciiStrToUpper(name)),
              "AWS_ENDPOINT_URL");
  if (url.empty()) url = Find(services_, Setting("services"), absl::StrCat(name, ".endpoint_url"));
  return url.empty() ? Setting("endpoint_url") : url;
}

std::string Config::CaBundle() const {
  const std::string path = Get(variables_, "AWS_CA_BUNDLE");
  return WithHome(variables_, path.empty() ? Setting("ca_bundle") : path);
}

}  // namespace merganser::s3
