#include "coordinator/http/site/site.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "coordinator/http/site/text.h"
#include "nlohmann/json.hpp"
#include "proto/convert/status_codec.h"

namespace merganser::http {
namespace {

using nlohmann::json;

constexpr size_t kMaxLoginBytes = 4096;
constexpr size_t kMaxPeersWithFailures = 10'000;
constexpr std::string_view kApi = "/api/v1";

// Pages: each is the same shell, which looks at the address itself.
constexpr std::string_view kPages[] = {"/", "/jobs", "/workers", "/submit", "/compare", "/login"};

// Of all jobs one route.
constexpr std::string_view kJobPage = "/jobs/*";
constexpr std::string_view kStatic = "/static/*";
constexpr std::string_view kSession = "/api/v1/session";
constexpr std::string_view kElse[] = {"/healthz", "/readyz", "/metrics",
                                      kStatic,    kSession,  kJobPage};

// The route of a page; empty where the path is none.
std::string_view PageRoute(std::string_view path) {
  const auto* page = std::find(std::begin(kPages), std::end(kPages), path);
  if (page != std::end(kPages)) return *page;
  return path.substr(0, 6) == "/jobs/" && path.size() <= 256 ? kJobPage : "";
}

Course As(std::string_view route, Course course) {
  course.route = std::string(route);
  return course;
}

Course At(Response response) {
  Course course;
  course.response = std::move(response);
  return course;
}

Course Later(Course::Where where, std::function<Response(const Request&)> answer,
             size_t body_limit = 0) {
  Course course;
  course.where = where;
  course.answer = std::move(answer);
  course.body_limit = body_limit;
  return course;
}

Response Text(int status, std::string text) {
  Response response;
  response.status = status;
  response.headers = {{"Content-Type", "text/plain; charset=utf-8"}, {"Cache-Control", "no-store"}};
  response.body = std::move(text);
  return response;
}

Response SeeOther(std::string_view where) {
  Response response = Text(303, "");
  response.headers.emplace_back("Location", std::string(where));
  return response;
}

bool IsLook(const Request& request) { return request.method == "GET" || request.method == "HEAD"; }

Response NotAllowed(std::string_view allowed) {
  Response response = ErrorResponse(405, absl::StrCat("expected ", std::string(allowed)));
  response.headers.emplace_back("Allow", std::string(allowed));
  return response;
}

std::string_view BearerOf(const Request& request) {
  const std::string_view value = request.Header("authorization").value_or("");
  constexpr std::string_view kBearer = "bearer ";
  if (value.size() <= kBearer.size() ||
      !absl::StartsWithIgnoreCase(absl::string_view(value.data(), value.size()),
                                  absl::string_view(kBearer.data(), kBearer.size()))) {
    return "";
  }
  return value.substr(kBearer.size());
}

// A name with twelve hexadecimal digits between dots.
bool HoldsHash(std::string_view name) {
  for (size_t dot = name.find('.'); dot != std::string_view::npos; dot = name.find('.', dot + 1)) {
    const std::string_view part = name.substr(dot + 1, 13);
    if (part.size() == 13 && part.back() == '.' &&
        part.find_first_not_of("0123456789abcdef") == 12) {
      return true;
    }
  }
  return false;
}

// For every answer. What is not said by a page's own policy is not to be done for it.
void AddSecurityHeaders(Response& response) {
  static constexpr std::pair<const char*, const char*> kAll[] = {
      {"Content-Security-Policy",
       "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src "
       "'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"},
      {"X-Content-Type-Options", "nosniff"},
      {"Referrer-Policy", "no-referrer"},
      {"Cross-Origin-Opener-Policy", "same-origin"},
      {"Cross-Origin-Resource-Policy", "same-origin"},
  };
  for (const auto& [name, value] : kAll) {
    const bool there = std::any_of(response.headers.begin(), response.headers.end(),
                                   [n = name](const auto& header) { return header.first == n; });
    if (!there) response.headers.emplace_back(name, value);
  }
}

absl::Status Denied(std::string_view reason, std::string_view message) {
  return ReasonedError(absl::StatusCode::kPermissionDenied, reason, message);
}

json SessionJson(const Session& session) {
  json roles = json::array();
  for (const Role role : {Role::kRead, Role::kSubmit, Role::kWork, Role::kAdmin}) {
    if (session.caller.roles.Allows(role)) roles.push_back(std::string(RoleName(role)));
  }
  json text = {{"name", session.caller.name}, {"roles", roles}};
  if (session.expires != WallTime()) text["expires"] = FormatWallTime(session.expires);
  return text;
}

}  // namespace

std::vector<std::string> SiteRoutes() {
  std::vector<std::string> routes(std::begin(kPages), std::end(kPages));
  routes.insert(routes.end(), std::begin(kElse), std::end(kElse));
  return routes;
}

Site::Site(SiteOptions options, const Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      // Browsers take the prefix only of what is for this host and over TLS.
      cookie_(
          absl::StrCat(options_.secure_cookie ? "__Host-" : "", "merganser-", options_.instance)) {
  if (options_.authorizer != nullptr) {
    sessions_ = std::make_shared<Sessions>(*options_.authorizer, clock_, options_.sessions);
  }
  for (const web::StaticFile& file : options_.files) files_.emplace(file.name, &file);
}

Response Site::Refuse(int status, std::string_view why) {
  Response response = ErrorResponse(status, why);
  AddSecurityHeaders(response);
  return response;
}

Course Site::Begin(const Request& request) {
  Course course = Route(request);
  if (course.response.has_value()) AddSecurityHeaders(*course.response);
  if (course.answer) {
    course.answer = [answer = std::move(course.answer)](const Request& whole) {
      Response response = answer(whole);
      AddSecurityHeaders(response);
      return response;
    };
  }
  return course;
}

bool Site::Named(const Request& request) const {
  const std::vector<std::string_view> hosts = request.All("host");
  if (hosts.empty()) return true;  // HTTP/1.0: no browser
  const std::optional<HostPort> host = hosts.size() == 1 ? ParseHost(hosts[0]) : std::nullopt;
  if (!host.has_value()) return false;
  return host->number || host->host == "localhost" || options_.any_name ||
         std::find(options_.names.begin(), options_.names.end(), host->host) !=
             options_.names.end();
}

Course Site::Route(const Request& request) {
  const std::string_view path = request.path;
  if (path == "/healthz" || path == "/readyz") {
    if (!IsLook(request)) return As(path, At(NotAllowed("GET, HEAD")));
    if (path == "/healthz" || !options_.ready) return As(path, At(Text(200, "ok\n")));
    const absl::Status ready = options_.ready();
    return As(path, At(ready.ok() ? Text(200, "ok\n")
                                  : Text(503, absl::StrCat(std::string(ready.message()), "\n"))));
  }
  if (!Named(request)) {
    return At(ErrorResponse(421,
                            "found a Host that is none of this server's, expected an address, "
                            "localhost, or a name that --http-name gives"));
  }
  if (path == "/metrics") return As(path, Metrics(request));
  if (options_.authorizer == nullptr) return At(ErrorResponse(404, "found no such path"));

  if (path.substr(0, 8) == "/static/") return As(kStatic, Page(request, path.substr(8)));
  if (path == "/login" && request.method == "GET" && !request.query.empty() &&
      options_.login_key != nullptr && request.query.find("key=") != std::string::npos) {
    return As(path, Later(Course::Where::kHere,
                          [this](const Request& whole) { return LoginByLink(whole); }));
  }
  if (const std::string_view route = PageRoute(path); !route.empty()) {
    return As(route, Page(request, "index.html"));
  }
  if (path.substr(0, kApi.size() + 1) != absl::StrCat(std::string(kApi), "/")) {
    return At(ErrorResponse(404, "found no such path"));
  }
  // A token is enough by itself: no browser adds it to what another site has it ask.
  Asker asker;
  std::optional<Session> session;
  for (const std::string_view value : request.All("authorization")) {
    asker.authorization.emplace_back(value);
  }
  const bool by_token = !asker.authorization.empty();
  if (!by_token) {
    const std::optional<std::string_view> id = CookieOf(request, cookie_);
    if (id.has_value()) session = sessions_->Find(*id);
    if (session.has_value()) {
      asker.authorization.push_back(session->authorization);
      asker.still = [sessions = sessions_, name = std::string(*id)] {
        return sessions->Find(name).has_value();
      };
    }
    const std::string_view site = request.Header("sec-fetch-site").value_or("same-origin");
    if (!IsLook(request)) {
      if (request.Header("x-merganser") != "1") {
        return At(ErrorResponse(Denied("HEADER_MISSING",
                                       "found no header `X-Merganser: 1`, which every change by a "
                                       "browser needs")));
      }
      if (!IsSameOrigin(request)) {
        return At(ErrorResponse(
            Denied("OTHER_ORIGIN", "found another site's Origin, or none; expected this one's")));
      }
    } else if (site != "same-origin" && site != "none") {
      return At(ErrorResponse(Denied("OTHER_ORIGIN", "found a request that another site made")));
    }
  }
  const std::string_view inner = path.substr(kApi.size());
  if (inner == "/session") {
    if (by_token) {
      absl::StatusOr<Caller> caller = options_.authorizer->Identify(asker.Values());
      if (!caller.ok()) return As(kSession, At(ErrorResponse(caller.status())));
      session = Session{"", *std::move(caller), WallTime()};
    }
    return As(kSession, SessionRoute(request, session));
  }
  if (options_.api == nullptr) return At(ErrorResponse(404, "found no such path"));
  return options_.api->Begin(request, inner, asker);
}

Course Site::Metrics(const Request& request) {
  if (!IsLook(request)) return At(NotAllowed("GET, HEAD"));
  if (options_.metrics_tokens != nullptr && !options_.metrics_tokens->Holds(BearerOf(request))) {
    return At(ErrorResponse(absl::UnauthenticatedError(
        "found no token of --metrics-token, expected `Authorization: Bearer TOKEN`")));
  }
  // Gauges are looked at under locks of others.
  return Later(Course::Where::kOwn, [this](const Request&) {
    Response response = Text(200, MetricsText(*options_.metrics, options_.labels));
    response.headers[0].second = std::string(kMetricsContentType);
    return response;
  });
}

Course Site::Page(const Request& request, std::string_view name) {
  if (!IsLook(request)) return At(NotAllowed("GET, HEAD"));
  const auto at = files_.find(name);
  if (at == files_.end()) return At(ErrorResponse(404, "found no such file"));
  const web::StaticFile& file = *at->second;
  Response response;
  const std::string tag = absl::StrCat("\"", std::string(file.sha256.substr(0, 32)), "\"");
  response.headers = {
      {"Content-Type", std::string(file.type)},
      {"Cache-Control", HoldsHash(name) ? "public, max-age=31536000, immutable" : "no-cache"},
      {"ETag", tag}};
  for (const std::string_view known : request.All("if-none-match")) {
    if (known.find(tag) != std::string_view::npos) {
      response.status = 304;
      return At(std::move(response));
    }
  }
  response.fixed = file.bytes;
  return At(std::move(response));
}

Course Site::SessionRoute(const Request& request, const std::optional<Session>& session) {
  if (request.method == "POST") {
    if (const absl::Status may = MayTry(request.peer); !may.ok()) return At(ErrorResponse(may));
    return Later(
        Course::Where::kHere, [this](const Request& whole) { return Login(whole); },
        kMaxLoginBytes);
  }
  if (request.method == "DELETE") {
    if (const auto id = CookieOf(request, cookie_); id.has_value()) sessions_->Close(*id);
    Response response = JsonResponse("{}");
    response.headers.emplace_back("Set-Cookie", Cookie("", /*ends=*/true));
    return At(std::move(response));
  }
  if (!IsLook(request)) return At(NotAllowed("GET, HEAD, POST, DELETE"));
  if (!session.has_value()) {
    return At(ErrorResponse(ReasonedError(absl::StatusCode::kUnauthenticated, "SESSION_MISSING",
                                          "nobody is logged in here, or not any more")));
  }
  return At(JsonResponse(SessionJson(*session).dump()));
}

Response Site::Login(const Request& request) {
  const json body = json::parse(request.body, nullptr, /*allow_exceptions=*/false);
  if (!body.is_object() || body.size() != 1 || !body.contains("token") ||
      !body["token"].is_string()) {
    return ErrorResponse(absl::InvalidArgumentError("expected {\"token\": \"...\"}"));
  }
  const absl::StatusOr<Sessions::Opened> opened =
      sessions_->Open(body["token"].get_ref<const std::string&>());
  if (!opened.ok()) {
    if (absl::IsUnauthenticated(opened.status())) Failed(request.peer);
    return ErrorResponse(opened.status());
  }
  return Opened(*opened);
}

Response Site::LoginByLink(const Request& request) {
  // Who looks at links ahead of whoever follows them does not use them up.
  if (request.Header("sec-purpose").has_value() || request.Header("purpose").has_value()) {
    return ErrorResponse(503, "found a look ahead");
  }
  std::string key, next = "/";
  if (const auto query = ParseQuery(request.query); query.ok()) {
    for (const auto& [name, value] : *query) {
      if (name == "key") key = value;
      if (name == "next") next = SafeNext(value);
    }
  }
  if (!MayTry(request.peer).ok()) return SeeOther("/login?link=spent");
  const std::optional<std::string> token = options_.login_key->Use(key);
  if (!token.has_value()) {
    Failed(request.peer);
    return SeeOther("/login?link=spent");
  }
  const absl::StatusOr<Sessions::Opened> opened = sessions_->Open(*token);
  if (!opened.ok()) return SeeOther("/login?link=spent");
  Response response = SeeOther(next);
  response.headers.emplace_back("Set-Cookie", Cookie(opened->id, /*ends=*/false));
  return response;
}

Response Site::Opened(const Sessions::Opened& opened) const {
  Response response = JsonResponse(SessionJson(opened.session).dump());
  response.headers.emplace_back("Set-Cookie", Cookie(opened.id, /*ends=*/false));
  return response;
}

std::string Site::Cookie(std::string_view value, bool ends) const {
  const auto age = std::chrono::duration_cast<std::chrono::seconds>(options_.sessions.age).count();
  return absl::StrCat(cookie_, "=", std::string(value), "; Path=/; Max-Age=", ends ? 0 : age,
                      "; HttpOnly; SameSite=Lax", options_.secure_cookie ? "; Secure" : "");
}

absl::Status Site::MayTry(const std::string& peer) {
  MutexLock lock(mutex_);
  const MonotonicTime now = clock_.Now();
  const auto at = failures_.find(peer);
  if (at == failures_.end()) return absl::OkStatus();
  if (at->second.Full(now)) {
    failures_.erase(at);
    return absl::OkStatus();
  }
  if (at->second.Has(1, now)) return absl::OkStatus();
  return RetryAfter(ReasonedError(absl::StatusCode::kResourceExhausted, "TOO_MANY_LOGINS",
                                  "found too many logins in vain from this address; wait"),
                    std::chrono::seconds(10));
}

void Site::Failed(const std::string& peer) {
  MutexLock lock(mutex_);
  const MonotonicTime now = clock_.Now();
  if (failures_.size() >= kMaxPeersWithFailures) {
    for (auto at = failures_.begin(); at != failures_.end();) {
      at = at->second.Full(now) ? failures_.erase(at) : std::next(at);
    }
    if (failures_.size() >= kMaxPeersWithFailures) failures_.erase(failures_.begin());
  }
  failures_.try_emplace(peer, options_.login_failures).first->second.Charge(1, now);
}

}  // namespace merganser::http
