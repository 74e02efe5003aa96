#include "coordinator/cli/http_site.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/descriptors.h"
#include "common/base/digest.h"
#include "common/base/host.h"
#include "common/base/private_file.h"
#include "common/base/status.h"
#include "coordinator/front/listener.h"
#include "coordinator/front/tls.h"
#include "coordinator/http/api/board_feed.h"
#include "coordinator/http/api/cluster_json.h"
#include "coordinator/http/api/event_hub.h"
#include "coordinator/http/api/merge_json.h"
#include "coordinator/http/limits.h"
#include "coordinator/http/server.h"
#include "coordinator/http/site/metrics_tokens.h"
#include "coordinator/http/site/site.h"
#include "coordinator/web/static_files.h"
#include "proto/channel/address.h"

namespace merganser::cli {
namespace {

bool IsAnyAddress(const std::string& host) { return host == "0.0.0.0" || host == "::"; }

absl::Status CheckWorkerHttp(const HttpFlags& flags) {
  if (flags.tls_cert.empty() != flags.tls_key.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("found ", flags.tls_cert.empty() ? "--http-tls-key" : "--http-tls-cert",
                     " alone, expected --http-tls-cert and --http-tls-key together"));
  }
  if (flags.tls_cert.empty() && !flags.plaintext && !IsLoopback(flags.listen)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--http ", OneLine(flags.listen),
                     ": found an address beyond loopback and no TLS, expected --http-tls-cert and "
                     "--http-tls-key, or --http-plaintext where others may read metrics"));
  }
  return absl::OkStatus();
}

}  // namespace

HttpSite::HttpSite() = default;

HttpSite::~HttpSite() { Stop(); }

absl::StatusOr<std::unique_ptr<HttpSite>> HttpSite::Open(const HttpFlags& flags,
                                                         const ServerSecurity& security,
                                                         std::shared_ptr<MetricRegistry> metrics) {
  std::unique_ptr<HttpSite> site(new HttpSite());
  site->flags_ = flags;
  site->metrics_ = std::move(metrics);
  site->behind_proxy_ = security.behind_proxy;
  http::ServerOptions options;
  options.listen = flags.listen;
  options.behind_proxy = security.behind_proxy;
  options.log = security.log;
  options.limits = http::LimitsFor(RaiseDescriptorLimit());
  options.metrics = site->metrics_;
  options.routes = http::SiteRoutes();
  for (std::string& route : http::MergeJsonRoutes()) options.routes.push_back(std::move(route));
  if (!security.tls_cert.empty()) {
    site->tls_ = true;
    MERGANSER_ASSIGN_OR_RETURN(options.tls, MakeTls(security, front::TlsProtocol::kHttp1));
  }
  site->connections_ = options.limits.connections;
  site->descriptors_ = http::DescriptorsOf(options.limits, site->tls_);
  if (!flags.metrics_token.empty()) {
    MERGANSER_ASSIGN_OR_RETURN(site->metrics_tokens_,
                               http::MetricsTokens::Open(flags.metrics_token, security.log));
  }
  MERGANSER_ASSIGN_OR_RETURN(site->server_, http::Server::Open(std::move(options)));
  return site;
}

absl::StatusOr<std::unique_ptr<HttpSite>> HttpSite::OpenCoordinators(
    const HttpFlags& flags, const ServerSecurity& security, const std::string& identity,
    std::shared_ptr<MetricRegistry> metrics) {
  if (flags.listen.empty()) return std::unique_ptr<HttpSite>(new HttpSite());
  MERGANSER_RETURN_IF_ERROR(front::ParseListenAddress(flags.listen, "--http").status());
  MERGANSER_RETURN_IF_ERROR(CheckServerSecurity(flags.listen, security, "--http"));
  if (!flags.login_link.empty() && !security.token_file.empty()) {
    return absl::InvalidArgumentError(
        "--login-link: found --token-file as well, expected the token that the coordinator makes, "
        "or "
        "MERGANSER_TOKEN: a link logs in as whoever has it");
  }
  MERGANSER_ASSIGN_OR_RETURN(std::unique_ptr<HttpSite> site,
                             Open(flags, security, std::move(metrics)));
  site->instance_ =
      DigestHex(absl::StrCat(HostName(), " ", site->server_->port(), " ", identity)).substr(0, 8);
  return site;
}

absl::StatusOr<std::unique_ptr<HttpSite>> HttpSite::OpenWorkers(
    const HttpFlags& flags, LogSink log, std::shared_ptr<MetricRegistry> metrics) {
  if (flags.listen.empty()) return std::unique_ptr<HttpSite>(new HttpSite());
  MERGANSER_RETURN_IF_ERROR(front::ParseListenAddress(flags.listen, "--http").status());
  MERGANSER_RETURN_IF_ERROR(CheckWorkerHttp(flags));
  ServerSecurity security;
  security.tls_cert = flags.tls_cert;
  security.tls_key = flags.tls_key;
  security.log = std::move(log);
  return Open(flags, security, std::move(metrics));
}

http::SiteOptions HttpSite::Options(const CommonLabels& labels) {
  http::SiteOptions options;
  options.metrics = metrics_;
  options.labels = labels;
  options.metrics_tokens = std::move(metrics_tokens_);
  for (const std::string& name : flags_.names) options.names.push_back(absl::AsciiStrToLower(name));
  options.names.push_back(absl::AsciiStrToLower(HostName()));
  if (const auto listen = front::ParseListenAddress(flags_.listen); listen.ok()) {
    options.names.push_back(absl::AsciiStrToLower(listen->host));
  }
  // A browser has held the certificate against the name.
  options.any_name = tls_;
  return options;
}

absl::Status HttpSite::ServeWorker(const CommonLabels& labels) {
  if (server_ == nullptr) return absl::OkStatus();
  return server_->Serve(std::make_shared<http::Site>(Options(labels)));
}

absl::Status HttpSite::ServeCoordinator(Server& server, const CommonLabels& labels) {
  if (server_ == nullptr) return absl::OkStatus();
  http::SiteOptions options = Options(labels);
  options.ready = [&server] { return server.Ready(); };
  options.authorizer = &server.authorizer();
  options.files = web::StaticFiles();
  http::BoardSources sources;
  sources.board = &server.jobs().board();
  sources.cluster = [&api = server.api()] { return http::ClusterJson(api); };
  sources.workers = [&api = server.api()] { return http::WorkersJson(api); };
  feed_ = std::make_unique<http::BoardFeed>(std::move(sources));
  MERGANSER_ASSIGN_OR_RETURN(
      events_, http::EventHub::Start(*feed_, server.authorizer(), SystemClock(), HubLimits()));
  api_ = std::make_unique<http::MergeJson>(server.api(), server.authorizer(), events_.get());
  options.api = api_.get();
  options.instance = instance_;
  // A proxy before it ends TLS: nothing else would be let beyond loopback.
  options.secure_cookie = tls_ || behind_proxy_;
  if (!flags_.login_link.empty()) {
    options.login_key = std::make_shared<http::LoginKey>(server.token(), SystemClock());
    const absl::StatusOr<FileStamp> written = WritePrivateFile(
        flags_.login_link, absl::StrCat(address(), "/login?key=", options.login_key->key(), "\n"));
    if (!written.ok()) return Annotate(written.status(), "--login-link");
    link_ = flags_.login_link;
  }
  return server_->Serve(std::make_shared<http::Site>(std::move(options)));
}

http::HubLimits HttpSite::HubLimits() const {
  http::HubLimits limits;
  // Streams leave room for those who ask.
  limits.streams = std::min(limits.streams, static_cast<int>(connections_ / 2));
  return limits;
}

std::string HttpSite::address() const {
  if (server_ == nullptr) return "";
  const auto listen = front::ParseListenAddress(flags_.listen);
  std::string host = listen.ok() ? listen->host : "localhost";
  if (IsAnyAddress(host)) host = HostName();
  if (host.find(':') != std::string::npos) host = absl::StrCat("[", host, "]");
  return absl::StrCat(tls_ ? "https://" : "http://", host, ":", server_->port());
}

void HttpSite::Stop() {
  if (server_ != nullptr) server_->Stop();
  if (events_ != nullptr) events_->Stop();
  if (!link_.empty()) ::unlink(std::exchange(link_, std::string()).c_str());
}

}  // namespace merganser::cli
