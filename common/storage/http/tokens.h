// Bearer tokens of web servers, each for one of them.
#ifndef MERGANSER_COMMON_STORAGE_HTTP_TOKENS_H_
#define MERGANSER_COMMON_STORAGE_HTTP_TOKENS_H_

#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/storage/http/url.h"

namespace merganser {

inline constexpr char kHttpTokensVariable[] = "MERGANSER_HTTPS_TOKENS";

// What an environment variable holds: "HOST=TOKEN" or "HOST:PORT=TOKEN", several with commas or
// white space between them. A token is named with its server, or whoever names a model to a service
// could have it sent to a server of his own.
class HttpTokens {
 public:
  HttpTokens() = default;
  // kInvalidArgument, which shows none of the text.
  static absl::StatusOr<HttpTokens> Parse(std::string_view text);

  // Empty where there is none.
  std::string For(const HttpUrl& url) const;

 private:
  std::map<std::string, std::string> by_origin_;  // of https
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_HTTP_TOKENS_H_
