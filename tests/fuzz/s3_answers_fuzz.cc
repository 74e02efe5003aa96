// What a bucket answers: its code, "%%", headers a line each, "%%", the body.
//
// Pages say no more than their answer, parts have the numbers that parts have, every answer has a
// verdict, and a range is just what was asked for.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/storage/http/ranges.h"
#include "common/storage/s3/aws/clock_skew.h"
#include "common/storage/s3/aws/credential_answers.h"
#include "common/storage/s3/errors.h"
#include "common/storage/s3/xml.h"
#include "tests/fuzz/check.h"

namespace merganser::fuzz {
namespace {

HttpAnswer AnswerOf(const std::vector<std::string_view>& parts) {
  HttpAnswer answer;
  answer.code = static_cast<int>(NumberIn(parts[0], 999));
  std::string_view lines = parts[1];
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(std::min(lines.size(), line.size() + 1));
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    answer.headers[std::string(line.substr(0, colon))] = std::string(line.substr(colon + 1));
  }
  answer.body = std::string(parts[2]);
  return answer;
}

template <typename Page>
bool Parsed(const absl::StatusOr<Page>& page) {
  if (!page.ok()) RequireRefusal(page.status(), {absl::StatusCode::kDataLoss});
  return page.ok();
}

void RequirePages(std::string_view body) {
  using namespace s3;
  // Nothing expands but what comes as UTF-16.
  const auto within = [&](std::string_view text) {
    Require(text.size() <= 2 * body.size(), "a text longer than its answer", text);
  };
  if (const auto page = ParseListPage(body); Parsed(page)) {
    for (const ListedKey& key : page->keys) within(key.key);
    within(page->next);
  }
  if (const auto id = ParseUploadId(body); Parsed(id)) Require(!id->empty(), "no id");
  if (const auto page = ParsePartsPage(body); Parsed(page)) {
    for (const ListedPart& part : page->parts) {
      Require(part.number >= 1 && part.number <= 10'000, "a number that no part has",
              absl::StrCat(part.number));
      within(part.etag);
    }
  }
  if (const auto page = ParseUploadsPage(body); Parsed(page)) {
    Require(!page->more || !page->next_key.empty(), "more, and no marker");
  }
  if (const absl::Status done = CheckCompleted(body); !done.ok()) {
    RequireRefusal(done, {absl::StatusCode::kDataLoss});
  }
  if (const auto credentials = OfTokenService(body); Parsed(credentials)) {
    Require(!credentials->anonymous() && credentials->expires.has_value(), "no credentials");
  }
}

void RequireVerdict(const HttpAnswer& answer) {
  using namespace s3;
  const Verdict verdict = Judge(answer, "s3:GetObject");
  Require((verdict.outcome == Outcome::kDone) == verdict.status.ok(), "done, and an error");
  if (verdict.outcome == Outcome::kDone) {
    Require(answer.code >= 200 && answer.code < 300, "done, by its code it is not");
    return;
  }
  RequireRefusal(verdict.status,
                 {absl::StatusCode::kNotFound, absl::StatusCode::kPermissionDenied,
                  absl::StatusCode::kUnauthenticated, absl::StatusCode::kFailedPrecondition,
                  absl::StatusCode::kAborted, absl::StatusCode::kOutOfRange,
                  absl::StatusCode::kUnimplemented, absl::StatusCode::kResourceExhausted,
                  absl::StatusCode::kInvalidArgument, absl::StatusCode::kUnavailable});
}

}  // namespace
}  // namespace merganser::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace merganser;
  using namespace merganser::fuzz;
  HttpAnswer answer = AnswerOf(PartsOf(TextOf(data, size), 3));
  RequirePages(answer.body);
  RequireVerdict(answer);
  (void)s3::ClockSkew(answer, WallTime());
  answer.sunk = 10;
  if (const auto whole = CheckRange(answer, 5, 10); whole.ok()) {
    const auto range = ParseContentRange(answer.Header("content-range"));
    Require(answer.code == 206 && range.has_value() && range->begin == 5 && range->end == 15 &&
                range->total == *whole,
            "a range that was not asked for");
  } else {
    RequireRefusal(whole.status(),
                   {absl::StatusCode::kOutOfRange, absl::StatusCode::kFailedPrecondition});
  }
  return 0;
}
