// Requests to a coordinator's pages: "METHOD PATH?QUERY", headers a line each, an empty line, the
// body.
//
// Every request has an answer that no header or address of a client can break out of, and nobody
// gets further than pages without a token.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "coordinator/http/body_claim.h"
#include "coordinator/http/site/site.h"
#include "coordinator/http/site/text.h"
#include "coordinator/service/auth/authorizer.h"
#include "tests/fuzz/check.h"

namespace merganser::fuzz {
namespace {

constexpr char kToken[] = "a-token-0123456789abcdef";

std::string_view TakeLine(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(text.size(), line.size() + 1));
  return line;
}

// As the server hands requests on: methods and paths without spaces, headers without line ends.
http::Request RequestOf(std::string_view text) {
  http::Request request;
  std::string_view first = TakeLine(text);
  const size_t space = std::min(first.find(' '), first.size());
  request.method = std::string(first.substr(0, space));
  first.remove_prefix(std::min(first.size(), space + 1));
  const size_t question = std::min(first.find('?'), first.size());
  request.path = std::string(first.substr(0, question));
  request.query = std::string(first.substr(std::min(first.size(), question + 1)));
  while (!text.empty()) {
    const std::string_view line = TakeLine(text);
    if (line.empty()) break;
    const size_t colon = std::min(line.find(": "), line.size());
    request.headers.emplace_back(absl::AsciiStrToLower(absl::string_view(line.data(), colon)),
                                 std::string(line.substr(std::min(line.size(), colon + 2))));
  }
  request.body = std::string(text);
  request.peer = "10.0.0.7";
  return request;
}

// Answers with what it was asked, to whoever has the token.
class OpenedApi final : public http::Api {
 public:
  explicit OpenedApi(const Authorizer& authorizer) : authorizer_(authorizer) {}
  http::Course Begin(const http::Request&, std::string_view path,
                     const http::Asker& asker) override {
    Require(path.starts_with('/'), "a path that is none", path);
    http::Course course;
    const auto caller = authorizer_.Identify(asker.Values());
    course.response = caller.ok() ? http::JsonResponse("{}") : http::ErrorResponse(caller.status());
    if (!caller.ok()) Require(course.response->status >= 400, "nobody, and answered");
    return course;
  }

 private:
  const Authorizer& authorizer_;
};

struct Server {
  Server() {
    authorizer.Open();
    http::SiteOptions options;
    options.metrics = std::make_shared<MetricRegistry>();
    options.names = {"head.example"};
    options.authorizer = &authorizer;
    options.api = &api;
    options.files = kFiles;
    options.instance = "0badcafe";
    options.login_failures = {1e9, 1e9};
    site = std::make_unique<http::Site>(std::move(options));
  }
  static constexpr web::StaticFile kFiles[] = {
      {"index.html", "text/html; charset=utf-8", "<!doctype html>",
       "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"},
      {"app.0123456789ab.js", "text/javascript; charset=utf-8", "let a;",
       "11112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"}};
  Authorizer authorizer{*TokenKeeper::FromToken(kToken)};
  OpenedApi api{authorizer};
  std::unique_ptr<http::Site> site;
};

void RequireAnswer(const http::Response& response) {
  Require(response.status >= 200 && response.status <= 599, "a status that is none");
  for (const auto& [name, value] : response.headers) {
    Require(!name.empty(), "a header without a name");
    for (const char c : value) {
      Require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f, "a header that is broken up",
              name + ": " + value);
    }
  }
}

void RequireTexts(const http::Request& request) {
  using namespace http;
  if (const auto pairs = ParseQuery(request.query); pairs.ok()) {
    for (const auto& [name, value] : *pairs) {
      Require(name.size() + value.size() <= request.query.size(), "more than was said");
    }
  } else {
    RequireRefusal(pairs.status(), {absl::StatusCode::kInvalidArgument});
  }
  for (const std::string_view text : request.All("host")) {
    const std::optional<HostPort> host = ParseHost(text);
    if (!host.has_value()) continue;
    Require(!host->host.empty(), "a host without a name", text);
    const bool six = host->host.find(':') != std::string::npos;
    std::string spelled = six ? "[" + host->host + "]" : host->host;
    if (!host->port.empty()) spelled += ":" + host->port;
    Require(ParseHost(spelled) == host, "a host that is read as another", spelled);
  }
  for (const std::string& next :
       {request.path, request.query, request.path + "?" + request.query}) {
    const std::string safe = SafeNext(next);
    Require(safe.starts_with('/') && !safe.starts_with("//") && !safe.starts_with("/\\"),
            "a path that may lead elsewhere", safe);
    Require(SafeNext(safe) == safe, "safe, and safe again it is another", safe);
  }
  if (const auto id = CookieOf(request, "merganser-0badcafe"); id.has_value()) {
    Require(id->find(';') == std::string_view::npos, "a cookie of two", *id);
  }
  const BodyClaim claim = ClaimOf(request);
  Require(!(claim.chunked && claim.bytes.has_value()), "two lengths");
  if (request.All("origin").size() == 1 && IsSameOrigin(request)) {
    Require(request.All("origin")[0].starts_with("http"), "an origin that is none");
  }
}

}  // namespace
}  // namespace merganser::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace merganser;
  using namespace merganser::fuzz;
  static Server server;
  http::Request request = RequestOf(TextOf(data, size));
  RequireTexts(request);
  const std::string body = std::exchange(request.body, "");
  http::Course course = server.site->Begin(request);
  Require(course.response.has_value() || course.answer, "no answer", request.path);
  if (course.response.has_value()) {
    RequireAnswer(*course.response);
  } else if (body.size() <= course.body_limit || body.empty()) {
    request.body = body;
    RequireAnswer(course.answer(request));
  }
  return 0;
}
