#include "coordinator/http/site/text.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "proto/convert/status_codec.h"

namespace merganser::http {
namespace {

using nlohmann::json;

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string Lower(std::string_view text) {
  return absl::AsciiStrToLower(absl::string_view(text.data(), text.size()));
}

absl::StatusCode CodeOf(int http_status) {
  switch (http_status) {
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
      return absl::StatusCode::kNotFound;
    case 405:
    case 501:
    case 505:
      return absl::StatusCode::kUnimplemented;
    case 429:
      return absl::StatusCode::kResourceExhausted;
    case 503:
      return absl::StatusCode::kUnavailable;
    default:
      return http_status >= 500 ? absl::StatusCode::kInternal : absl::StatusCode::kInvalidArgument;
  }
}

// Others' text may be no UTF-8.
std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

Response Error(int http_status, absl::StatusCode code, std::string_view message, json details,
               std::optional<std::chrono::seconds> delay) {
  json error = {{"code", http_status},
                {"status", absl::StatusCodeToString(code)},
                {"message", std::string(message)},
                {"details", std::move(details)}};
  Response response = JsonResponse("");
  if (delay.has_value()) {
    error["retry_delay"] = absl::StrCat(delay->count(), "s");
    response.headers.emplace_back("Retry-After", absl::StrCat(delay->count()));
  }
  if (http_status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  response.status = http_status;
  response.body = Dump({{"error", std::move(error)}});
  return response;
}

}  // namespace

std::optional<std::string> PercentDecoded(std::string_view text, bool plus) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      const int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+' && plus) {
      c = ' ';
    }
    const auto byte = static_cast<unsigned char>(c);
    // A recipe is posted; nothing that stands in an address has several lines.
    if (byte < 0x20 || byte == 0x7f) return std::nullopt;
    decoded.push_back(c);
  }
  return decoded;
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ParseQuery(
    std::string_view query) {
  std::vector<std::pair<std::string, std::string>> pairs;
  while (!query.empty()) {
    const std::string_view item = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), item.size() + 1));
    if (item.empty()) continue;
    const size_t equals = item.find('=');
    const std::optional<std::string> name = PercentDecoded(item.substr(0, equals), true);
    const std::optional<std::string> value =
        PercentDecoded(equals == std::string_view::npos ? "" : item.substr(equals + 1), true);
    if (!name.has_value() || !value.has_value()) {
      return ReasonedError(absl::StatusCode::kInvalidArgument, "QUERY_INVALID",
                           "found a query that is not percent-encoded text");
    }
    pairs.emplace_back(*name, *value);
  }
  return pairs;
}

std::optional<std::string_view> CookieOf(const Request& request, std::string_view name) {
  for (std::string_view cookies : request.All("cookie")) {
    while (!cookies.empty()) {
      std::string_view item = cookies.substr(0, cookies.find(';'));
      cookies.remove_prefix(std::min(cookies.size(), item.size() + 1));
      while (!item.empty() && item.front() == ' ') item.remove_prefix(1);
      if (item.size() > name.size() && item.substr(0, name.size()) == name &&
          item[name.size()] == '=') {
        return item.substr(name.size() + 1);
      }
    }
  }
  return std::nullopt;
}

std::optional<HostPort> ParseHost(std::string_view text) {
  HostPort found;
  std::string_view rest;
  if (!text.empty() && text.front() == '[') {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    found.host = Lower(text.substr(1, end - 1));
    in6_addr address;
    // The C library reads up to a zero byte.
    if (found.host.find('\0') != std::string::npos) return std::nullopt;
    if (::inet_pton(AF_INET6, found.host.c_str(), &address) != 1) return std::nullopt;
    found.number = true;
    rest = text.substr(end + 1);
  } else {
    const size_t end = std::min(text.size(), text.find(':'));
    found.host = Lower(text.substr(0, end));
    rest = text.substr(end);
    if (found.host.size() > 253) return std::nullopt;
    for (const char c : found.host) {
      if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '.' && c != '_') {
        return std::nullopt;
      }
    }
    if (found.host.ends_with('.')) found.host.pop_back();
    if (found.host.empty() || found.host.back() == '.') return std::nullopt;
    in_addr address;
    found.number = ::inet_pton(AF_INET, found.host.c_str(), &address) == 1;
  }
  if (rest.empty()) return found;
  if (rest.front() != ':' || rest.size() > 6) return std::nullopt;
  found.port = std::string(rest.substr(1));
  if (found.port.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  return found;
}

bool IsSameOrigin(const Request& request) {
  const std::vector<std::string_view> origins = request.All("origin");
  if (origins.size() > 1) return false;
  if (origins.empty()) return request.Header("sec-fetch-site") == "same-origin";
  std::string_view origin = origins.front();
  const size_t scheme = origin.find("://");
  if (scheme == std::string_view::npos) return false;  // "null"
  const bool secure = origin.substr(0, scheme) == "https";
  if (!secure && origin.substr(0, scheme) != "http") return false;
  std::optional<HostPort> theirs = ParseHost(origin.substr(scheme + 3));
  std::optional<HostPort> ours = ParseHost(request.Header("host").value_or(""));
  if (!theirs.has_value() || !ours.has_value()) return false;
  // Behind a proxy that ends TLS the scheme is the proxy's; the port tells them apart as well.
  if (request.secure && !secure) return false;
  for (HostPort* each : {&*theirs, &*ours}) {
    if (each->port.empty()) each->port = secure ? "443" : "80";
  }
  return *theirs == *ours;
}

std::string SafeNext(std::string_view next) {
  // "//host" and "/\host" are other sites to browsers.
  if (next.size() > 2048 || next.empty() || next[0] != '/') return "/";
  if (next.size() > 1 && (next[1] == '/' || next[1] == '\\')) return "/";
  for (const char c : next) {
    if (static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7f ||
        c == '\\') {
      return "/";
    }
  }
  return std::string(next);
}

int HttpStatus(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kCancelled:
      return 499;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
      return 409;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kUnimplemented:
      return 501;
    case absl::StatusCode::kUnavailable:
      return 503;
    default:
      return 500;
  }
}

Response JsonResponse(std::string text) {
  Response response;
  response.headers = {{"Content-Type", "application/json"}, {"Cache-Control", "no-store"}};
  response.body = std::move(text);
  return response;
}

Response ErrorResponse(const absl::Status& status) {
  json details = json::array();
  const std::string reason = ReasonOf(status);
  json detail = {{"reason", reason.empty() ? absl::StatusCodeToString(status.code()) : reason},
                 {"domain", std::string(kErrorDomain)},
                 {"metadata", json::object()}};
  for (const auto& [key, value] : MetadataOf(status)) detail["metadata"][key] = value;
  details.push_back(std::move(detail));
  return Error(HttpStatus(status.code()), status.code(),
               std::string_view(status.message().data(), status.message().size()),
               std::move(details), RetryDelayOf(status));
}

Response ErrorResponse(int http_status, std::string_view why) {
  std::optional<std::chrono::seconds> delay;
  if (http_status == 503) delay = std::chrono::seconds(1);
  return Error(http_status, CodeOf(http_status), why, json::array(), delay);
}

}  // namespace merganser::http
