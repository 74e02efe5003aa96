#include "coordinator/service/job_list.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "coordinator/service/job_filter.h"
#include "coordinator/service/job_limits.h"
#include "coordinator/service/job_order.h"
#include "coordinator/service/requests.h"
#include "proto/convert/status_codec.h"

namespace merganser {
namespace {

// Ties a token to the request that it goes on with, and keeps clients from making tokens of their
// own, which would hold every later version to this form.
std::string TokenDigest(const std::string& place, const JobQuery& query) {
  return DigestHex(
             std::string_view(absl::StrCat("page token ", place.size(), ":", place,
                                           query.filter.size(), ":", query.filter, query.order_by)))
      .substr(0, 16);
}

std::string MakeToken(const std::string& place, const JobQuery& query) {
  return absl::StrCat(absl::WebSafeBase64Escape(place), ".", TokenDigest(place, query));
}

absl::StatusOr<JobPlace> ReadToken(const JobQuery& query, const JobOrder& order) {
  const std::string& token = query.page_token;
  const size_t dot = token.rfind('.');
  std::string bytes;
  std::optional<JobPlace> place;
  if (dot != std::string::npos && absl::WebSafeBase64Unescape(token.substr(0, dot), &bytes) &&
      token == MakeToken(bytes, query)) {
    place = order.Unpack(bytes);
  }
  if (place.has_value()) return *std::move(place);
  return ReasonedError(absl::StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID",
                       absl::StrCat("page_token: found \"", Shown(token),
                                    "\", expected a next_page_token of an earlier answer to the "
                                    "same filter and order_by"),
                       {{"field", "page_token"}});
}

// Takes views out that are not for the page. Leaves one more than `size`, where there is one, to
// tell that there is another page.
void KeepPage(std::vector<JobView>& views, const JobOrder& order,
              const std::optional<JobPlace>& behind, size_t size) {
  if (behind.has_value()) {
    std::erase_if(views, [&](const JobView& view) { return !order.IsBehind(view, *behind); });
  }
  const size_t kept = std::min(views.size(), size + 1);
  if (!order.IsNewestFirst()) {  // else they are
    std::partial_sort(views.begin(), views.begin() + static_cast<ptrdiff_t>(kept), views.end(),
                      [&](const JobView& a, const JobView& b) { return order.Before(a, b); });
  }
  views.resize(kept);
}

}  // namespace

absl::StatusOr<JobPage> ListJobs(const JobBoard& board, const JobQuery& query) {
  MERGANSER_ASSIGN_OR_RETURN(const int page_size, CoercePageSize(query.page_size));
  MERGANSER_ASSIGN_OR_RETURN(const JobFilter filter, JobFilter::Parse(query.filter));
  MERGANSER_ASSIGN_OR_RETURN(const JobOrder order, JobOrder::Parse(query.order_by));
  const auto size = static_cast<size_t>(page_size);
  std::optional<JobPlace> behind;
  if (!query.page_token.empty()) {
    MERGANSER_ASSIGN_OR_RETURN(behind, ReadToken(query, order));
  }
  JobPage page;
  std::vector<JobView> views;
  if (filter.IsEverything() && order.IsNewestFirst()) {
    page.total_size = board.size();
    views = board.Before(behind.has_value() ? behind->sequence : UINT64_MAX, size + 1);
  } else {
    views = board.All();
    std::erase_if(views, [&](const JobView& view) { return !filter.Matches(*view.info); });
    page.total_size = views.size();
    KeepPage(views, order, behind, size);
  }
  size_t bytes = 0;
  for (size_t i = 0; i < views.size(); ++i) {
    bytes += EncodedBytesAtMost(*views[i].info);
    const bool full = page.jobs.size() == size || bytes > kMaxPageBytes;
    if (full && !page.jobs.empty()) {
      page.next_page_token = MakeToken(order.Pack(order.PlaceOf(views[i - 1])), query);
      break;
    }
    page.jobs.push_back(*views[i].info);
  }
  return page;
}

}  // namespace merganser
