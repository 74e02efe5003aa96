// What a coordinator, or a worker, serves over HTTP: whether it is alive, its metrics, pages, a
// login, and whatever is mounted below /api/v1.
#ifndef MERGANSER_COORDINATOR_HTTP_SITE_SITE_H_
#define MERGANSER_COORDINATOR_HTTP_SITE_SITE_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/exposition.h"
#include "common/base/metrics.h"
#include "common/base/mutex.h"
#include "coordinator/front/bucket.h"
#include "coordinator/http/message.h"
#include "coordinator/http/site/metrics_tokens.h"
#include "coordinator/http/site/sessions.h"
#include "coordinator/web/static_files.h"

namespace merganser::http {

// Who asks: whoever has these tokens.
struct Asker {
  std::vector<std::string> authorization;  // values of that header; none: nobody has logged in
  // Whether he is logged in still; any thread, quick. Never empty.
  std::function<bool()> still = [] { return true; };

  std::vector<std::string_view> Values() const {
    return {authorization.begin(), authorization.end()};
  }
};

// What courses of a Site are counted as (Course::route), but those of its Api.
std::vector<std::string> SiteRoutes();

// What is mounted below /api/v1/. Thread-safe.
class Api {
 public:
  virtual ~Api() = default;
  // As Handler::Begin. `path` is what follows "/api/v1". A change (not GET or HEAD) that a session
  // asks for comes from this site's own pages: that was checked.
  virtual Course Begin(const Request& request, std::string_view path, const Asker& asker) = 0;
};

struct SiteOptions {
  std::shared_ptr<MetricRegistry> metrics;
  CommonLabels labels;
  // Whether it can do its work; any thread, takes microseconds. May be empty: as soon as it is
  // alive.
  std::function<absl::Status()> ready;
  // Null: /metrics answers everybody.
  std::unique_ptr<MetricsTokens> metrics_tokens;
  // Hosts that requests may name, beside addresses and localhost: whoever has a name of his own
  // lead to this machine would else have browsers here ask for him. In lower case.
  std::vector<std::string> names;
  bool any_name = false;  // as where TLS has shown that it is ours

  // Without these there are neither pages nor logins.
  const Authorizer* authorizer = nullptr;
  Api* api = nullptr;  // may be null all the same
  std::span<const web::StaticFile> files;
  // Of the cookie, and who reads it: TLS, here or in a proxy. Tells instances on one host apart.
  std::string instance;
  bool secure_cookie = false;
  // Null: no link logs in.
  std::shared_ptr<LoginKey> login_key;
  SessionLimits sessions;
  // Logins in vain of one address; further ones wait.
  front::Rate login_failures{10, 0.1};
};

class Site : public Handler {
 public:
  // Pointers in `options`, and `clock`, must outlive the site.
  explicit Site(SiteOptions options, const Clock& clock = SystemClock());

  Course Begin(const Request& request) override;
  Response Refuse(int status, std::string_view why) override;

 private:
  Course Route(const Request& request);
  // Whether Host names this site.
  bool Named(const Request& request) const;
  Course Metrics(const Request& request);
  Course Page(const Request& request, std::string_view name);
  Course SessionRoute(const Request& request, const std::optional<Session>& session);
  Response Login(const Request& request);
  Response LoginByLink(const Request& request);
  Response Opened(const Sessions::Opened& opened) const;
  std::string Cookie(std::string_view value, bool ends) const;
  // OK where another try of this address is not one too many.
  absl::Status MayTry(const std::string& peer) MERGANSER_EXCLUDES(mutex_);
  void Failed(const std::string& peer) MERGANSER_EXCLUDES(mutex_);

  const SiteOptions options_;
  const Clock& clock_;
  const std::string cookie_;
  std::shared_ptr<Sessions> sessions_;
  std::map<std::string, const web::StaticFile*, std::less<>> files_;
  Mutex mutex_;
  std::map<std::string, front::Bucket> failures_ MERGANSER_GUARDED_BY(mutex_);  // by peer
};

}  // namespace merganser::http

#endif  // MERGANSER_COORDINATOR_HTTP_SITE_SITE_H_
