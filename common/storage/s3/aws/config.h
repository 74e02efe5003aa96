// What the environment and the files that the AWS tools share say of one profile.
#ifndef MERGANSER_COMMON_STORAGE_S3_AWS_CONFIG_H_
#define MERGANSER_COMMON_STORAGE_S3_AWS_CONFIG_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/storage/s3/aws/ini.h"
#include "common/storage/s3/aws/variables.h"

namespace merganser::s3 {

// The two files as text; "" for one that is not there.
struct SharedFiles {
  std::string config;
  std::string credentials;
};

class Config {
 public:
  // Reads AWS_CONFIG_FILE (~/.aws/config) and AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials), and
  // chooses the profile AWS_PROFILE, AWS_DEFAULT_PROFILE, or "default". kInvalidArgument for one
  // that the variables name and neither file has, with those that they have, and for a file that
  // cannot be understood.
  static absl::StatusOr<Config> Load(const Variables& variables);
  // The same from text.
  static absl::StatusOr<Config> Parse(const Variables& variables, const SharedFiles& files);

  const Variables& variables() const { return variables_; }
  const std::string& profile() const { return profile_; }
  // As they are read, for messages.
  const std::string& config_path() const { return config_path_; }
  const std::string& credentials_path() const { return credentials_path_; }

  bool Has(std::string_view profile) const;
  // A setting of a profile, the credentials file's before the config file's; "" where there is
  // none.
  std::string Of(std::string_view profile, std::string_view key) const;
  // The same from the credentials file alone.
  std::string OfCredentialsFile(std::string_view profile, std::string_view key) const;
  // Of the chosen profile.
  std::string Setting(std::string_view key) const { return Of(profile_, key); }
  // Of [sso-session NAME].
  std::string OfSsoSession(std::string_view session, std::string_view key) const;
  bool HasSsoSession(std::string_view session) const;

  // AWS_REGION, AWS_DEFAULT_REGION, the profile's; "" where none is set.
  std::string Region() const;
  // The endpoint that is set for a service ("s3", "sts", "sso"), as the AWS tools look for it:
  // AWS_ENDPOINT_URL_SERVICE, AWS_ENDPOINT_URL, endpoint_url in the profile's services section,
  // then in the profile; "" where none is, or where they are to be ignored.
  std::string EndpointUrl(std::string_view service) const;
  // AWS_CA_BUNDLE, else the profile's ca_bundle.
  std::string CaBundle() const;

 private:
  explicit Config(const Variables& variables);

  // Profiles of both files, by name.
  std::vector<std::string> Profiles() const;
  absl::Status Add(const SharedFiles& files);

  Variables variables_;
  std::string config_path_, credentials_path_;
  std::string profile_;
  IniFile profiles_;             // of the config file
  IniFile credential_profiles_;  // of the credentials file
  IniFile sso_sessions_;
  IniFile services_;
};

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_AWS_CONFIG_H_
