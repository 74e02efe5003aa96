#include "common/storage/http/url.h"

#include <curl/curl.h>

#include <memory>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace merganser {
namespace {

struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Url = std::unique_ptr<CURLU, FreeUrl>;

std::optional<std::string> Part(const Url& url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url.get(), part, &text, CURLU_DEFAULT_PORT) != CURLUE_OK) return std::nullopt;
  const std::unique_ptr<char, void (*)(void*)> owner(text, curl_free);
  return std::string(text);
}

absl::Status Bad(std::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("found a URL ", std::string(why), ", expected one such as https://host/path"));
}

absl::StatusOr<HttpUrl> Split(const Url& url) {
  const std::optional<std::string> scheme = Part(url, CURLUPART_SCHEME);
  const std::optional<std::string> host = Part(url, CURLUPART_HOST);
  const std::optional<std::string> port = Part(url, CURLUPART_PORT);
  const std::optional<std::string> path = Part(url, CURLUPART_PATH);
  if (!scheme || !host || !port || !path || host->empty()) return Bad("without a host");
  if (*scheme != "http" && *scheme != "https") return Bad("that is neither http nor https");
  if (Part(url, CURLUPART_USER) || Part(url, CURLUPART_PASSWORD)) return Bad("with a user part");
  uint32_t number = 0;
  if (!absl::SimpleAtoi(*port, &number) || number == 0 || number > 65535) {
    return Bad("with a port that is none");
  }
  HttpUrl out;
  out.scheme = *scheme;
  out.host = absl::AsciiStrToLower(*host);
  out.port = static_cast<uint16_t>(number);
  out.target = *path;
  if (const std::optional<std::string> query = Part(url, CURLUPART_QUERY)) {
    absl::StrAppend(&out.target, "?", *query);
  }
  return out;
}

absl::StatusOr<HttpUrl> Parse(const std::string& base, std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f || c == '\\') {
      return Bad("with a space, a control character or a backslash");
    }
  }
  const Url url(curl_url());
  if (url == nullptr) return absl::ResourceExhaustedError("no memory for a URL");
  if (!base.empty() && curl_url_set(url.get(), CURLUPART_URL, base.c_str(), 0) != CURLUE_OK) {
    return Bad("that is none");
  }
  const CURLUcode set = curl_url_set(url.get(), CURLUPART_URL, std::string(text).c_str(), 0);
  if (set == CURLUE_OUT_OF_MEMORY) return absl::ResourceExhaustedError("no memory for a URL");
  if (set == CURLUE_UNSUPPORTED_SCHEME) return Bad("that is neither http nor https");
  if (set != CURLUE_OK) return Bad("that is none");
  return Split(url);
}

}  // namespace

std::string HttpUrl::Origin() const {
  const uint16_t own = scheme == "https" ? 443 : 80;
  return absl::StrCat(scheme, "://", host, port == own ? "" : absl::StrCat(":", port));
}

std::string HttpUrl::ToString() const { return absl::StrCat(Origin(), target); }

absl::StatusOr<HttpUrl> ParseHttpUrl(std::string_view text) { return Parse("", text); }

absl::StatusOr<HttpUrl> ResolveLocation(const HttpUrl& base, std::string_view location) {
  return Parse(base.ToString(), location);
}

std::string EncodePath(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte) || std::string_view("-._~/").find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

}  // namespace merganser
