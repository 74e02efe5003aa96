#include "common/storage/s3/aws/ask.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "common/base/status.h"

namespace merganser::s3 {

absl::StatusOr<HttpAnswer> Ask(HttpClient& http, const HttpRequest& request, int tries) {
  constexpr std::chrono::milliseconds kPause(100);
  for (int left = tries - 1;; --left) {
    absl::StatusOr<HttpAnswer> answer = http.Do(request);
    const bool again =
        answer.ok() ? answer->code == 429 || answer->code >= 500 : IsRetryable(answer.status());
    if (!again || left <= 0) return answer;
    std::this_thread::sleep_for(kPause);
  }
}

absl::StatusOr<std::shared_ptr<HttpClient>> MetadataClient(Duration timeout) {
  HttpOptions options;
  options.connect_timeout = timeout;
  options.stall_timeout = timeout;
  options.connections = 1;
  options.proxies = false;
  return HttpClient::Make(options);
}

bool IsHeaderValue(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace merganser::s3
