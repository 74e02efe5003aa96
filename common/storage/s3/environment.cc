#include "common/storage/s3/environment.h"

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"

namespace merganser::s3 {
namespace {

// A name that can be part of a host's: what stands in it cannot be taken for anything else.
absl::Status CheckBucket(std::string_view bucket) {
  if (bucket.ends_with("--x-s3")) {
    return absl::InvalidArgumentError(absl::StrCat(
        "bucket ", Shown(bucket),
        ": is a directory bucket (S3 Express), which wants sessions that this program does not "
        "make; expected a general purpose bucket"));
  }
  const bool plain = std::all_of(bucket.begin(), bucket.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_';
  });
  if (plain && bucket.size() >= 3 && bucket.size() <= 255) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "bucket ", Shown(bucket),
      ": expected 3 to 255 letters, digits, '-', '.' and '_', as in s3://bucket/prefix"));
}

// Whether a variable, else a setting of the profile, is "true".
bool Wants(const Config& config, const char* variable, const char* setting) {
  const std::string value = Get(config.variables(), variable);
  return IsTrue(value.empty() ? config.Setting(setting) : value);
}

}  // namespace

absl::StatusOr<Endpoint> ParseEndpoint(std::string_view url) {
  const auto refused = [&] {
    // Of what has an '@' nobody knows where its password ends.
    const bool has_user = url.find('@') != std::string_view::npos;
    return absl::InvalidArgumentError(absl::StrCat(
        "endpoint ", has_user ? "with a user" : Shown(url.substr(0, url.find_first_of("?#"))),
        ": expected https://HOST[:PORT][/PATH], or http://, without a user or a query"));
  };
  const size_t colon = url.find("://");
  if (colon == std::string_view::npos) return refused();
  Endpoint endpoint;
  endpoint.scheme = absl::AsciiStrToLower(std::string(url.substr(0, colon)));
  if (endpoint.scheme != "https" && endpoint.scheme != "http") return refused();
  std::string_view rest = url.substr(colon + 3);
  while (rest.ends_with('/')) rest.remove_suffix(1);
  const size_t slash = std::min(rest.find('/'), rest.size());
  endpoint.host = absl::AsciiStrToLower(std::string(rest.substr(0, slash)));
  endpoint.path = rest.substr(slash);
  const bool plain = std::all_of(rest.begin(), rest.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           std::string_view("-._~:[]/%").find(c) != std::string_view::npos;
  });
  if (endpoint.host.empty() || !plain) return refused();
  return endpoint;
}

absl::Status CheckRegion(std::string_view region) {
  constexpr size_t kLongest = 63;
  const bool plain = std::all_of(region.begin(), region.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-';
  });
  if (plain && !region.empty() && region.size() <= kLongest) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "region ", Shown(region), ": expected letters, digits and '-', as in AWS_REGION=us-east-1"));
}

std::string AmazonDomain(std::string_view region) {
  return region.starts_with("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
}

absl::StatusOr<Endpoint> EndpointOf(const Config& config, std::string_view bucket) {
  MERGANSER_RETURN_IF_ERROR(CheckBucket(bucket));
  const std::string region = config.Region();
  if (!region.empty()) MERGANSER_RETURN_IF_ERROR(CheckRegion(region));
  const std::string url = config.EndpointUrl("s3");
  Endpoint endpoint;
  if (url.empty()) {
    const bool fips = Wants(config, "AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint");
    const bool dual = Wants(config, "AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint");
    endpoint.host_pattern = absl::StrCat(fips ? "s3-fips." : "s3.", dual ? "dualstack." : "",
                                         std::string(kRegionOfHost), ".", AmazonDomain(region));
  } else {
    MERGANSER_ASSIGN_OR_RETURN(endpoint, ParseEndpoint(url));
  }
  if (!region.empty()) endpoint.region = region;
  endpoint.ask_region = url.empty() && region.empty();
  if (url.empty()) endpoint.host = HostIn(endpoint, endpoint.region);
  endpoint.ways = WaysOf(endpoint.host);
  const std::string style = config.Setting("s3.addressing_style");
  if (!style.empty() && style != "auto" && style != "path" && style != "virtual") {
    return absl::InvalidArgumentError(absl::StrCat("profile ", Shown(config.profile()),
                                                   ": found s3.addressing_style ", Shown(style),
                                                   ", expected auto, path or virtual"));
  }
  // A dot in the bucket's name is one more level than Amazon's certificate has, and '_' is in no
  // host's name.
  const std::string_view path_alone = url.empty() ? "._" : "_";
  const bool fits = bucket.find_first_of(path_alone) == std::string_view::npos;
  const bool wanted = style == "virtual" || (url.empty() && style != "path");
  endpoint.path_style = !(wanted && fits);
  return endpoint;
}

absl::StatusOr<Endpoint> GoogleEndpoint(const Config& config, std::string_view bucket) {
  MERGANSER_RETURN_IF_ERROR(CheckBucket(bucket));
  std::string url = Get(config.variables(), "AWS_ENDPOINT_URL_GS");
  if (url.empty()) url = "https://storage.googleapis.com";
  MERGANSER_ASSIGN_OR_RETURN(Endpoint endpoint, ParseEndpoint(url));
  endpoint.region = "auto";
  endpoint.path_style = true;
  endpoint.ways.google = true;
  return endpoint;
}

}  // namespace merganser::s3
