#include "common/storage/http/tokens.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"

namespace merganser {

absl::StatusOr<HttpTokens> HttpTokens::Parse(std::string_view text) {
  HttpTokens tokens;
  const absl::string_view all(text.data(), text.size());
  for (const absl::string_view entry :
       absl::StrSplit(all, absl::ByAnyChar(", \t\r\n"), absl::SkipEmpty())) {
    const size_t equals = entry.find('=');
    const bool named = equals != absl::string_view::npos && equals > 0;
    const std::string token(named ? entry.substr(equals + 1) : "");
    const bool plain = !token.empty() && std::all_of(token.begin(), token.end(),
                                                     [](char c) { return c > ' ' && c < 0x7f; });
    const absl::StatusOr<HttpUrl> url =
        ParseHttpUrl(absl::StrCat("https://", named ? entry.substr(0, equals) : ""));
    if (!plain || !url.ok() || url->target != "/") {
      return absl::InvalidArgumentError(
          absl::StrCat(kHttpTokensVariable,
                       ": found an entry that is none, expected HOST=TOKEN or HOST:PORT=TOKEN, "
                       "several with commas between them"));
    }
    tokens.by_origin_[url->Origin()] = token;
  }
  return tokens;
}

std::string HttpTokens::For(const HttpUrl& url) const {
  // The same server without TLS has the same port as it is written.
  HttpUrl as_https = url;
  as_https.scheme = "https";
  const auto found = by_origin_.find(as_https.Origin());
  return found == by_origin_.end() ? "" : found->second;
}

}  // namespace merganser
