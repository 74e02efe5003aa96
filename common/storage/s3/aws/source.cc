#include "common/storage/s3/aws/source.h"

#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/storage/s3/aws/cached_credentials.h"
#include "common/storage/s3/aws/chain.h"

namespace merganser::s3 {

absl::StatusOr<HttpOptions> ConnectionsOf(const Config& config) {
  HttpOptions options;
  options.ca_file = config.CaBundle();
  if (!options.ca_file.empty() && ::access(options.ca_file.c_str(), R_OK) != 0) {
    return ErrnoStatus(errno, absl::StrCat("read the certificates of AWS_CA_BUNDLE or ca_bundle, ",
                                           Shown(options.ca_file)));
  }
  return options;
}

CredentialsSource SourceOf(const Variables& variables, std::shared_ptr<HttpClient> http,
                           const Settings& settings) {
  if (settings.anonymous) {
    return [](const Credentials*) -> absl::StatusOr<Credentials> { return Credentials(); };
  }
  const auto fetch = [variables, http = std::move(http)]() -> absl::StatusOr<Credentials> {
    MERGANSER_ASSIGN_OR_RETURN(const Config config, Config::Load(variables));
    return FindCredentials(config, *http);
  };
  const auto cached = std::make_shared<CachedCredentials>(fetch, SystemClock());
  return [cached](const Credentials* ended) { return cached->Get(ended); };
}

}  // namespace merganser::s3
