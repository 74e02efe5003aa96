#include "common/storage/store_metrics.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "common/base/code_label.h"
#include "common/storage/forwarding_store.h"

namespace merganser {
namespace {

constexpr std::array<std::string_view, 7> kSchemes = {"file",  "memory", "s3",   "gs",
                                                      "https", "hf",     "other"};
constexpr std::array<std::string_view, 3> kHttpSchemes = {"s3", "gs", "https"};

template <size_t kSize>
MetricLabel Label(const char* name, const std::array<std::string_view, kSize>& values) {
  return {name, {values.begin(), values.end()}};
}

MetricLabel Operations() {
  MetricLabel label{"operation", {}};
  for (size_t i = 0; i < kStoreOps; ++i) {
    label.values.emplace_back(StoreOpName(static_cast<StoreOp>(i)));
  }
  return label;
}

bool Writes(StoreOp op) {
  return op == StoreOp::kPut || op == StoreOp::kPutIfAbsent || op == StoreOp::kWriteRange;
}

class MeteredStore final : public ForwardingStore {
 public:
  MeteredStore(std::shared_ptr<ObjectStore> store, size_t scheme,
               std::shared_ptr<const StoreMetrics> metrics)
      : ForwardingStore(std::move(store)), scheme_(scheme), metrics_(std::move(metrics)) {}

 private:
  absl::Status Around(const StoreRequest& request, Work work) override {
    const MonotonicTime began = SystemClock().Now();
    absl::Status status = work();
    metrics_->Ended(scheme_, request.op, request.size, status.code(), SystemClock().Now() - began);
    return status;
  }

  const size_t scheme_;
  const std::shared_ptr<const StoreMetrics> metrics_;
};

}  // namespace

StoreMetrics::StoreMetrics(std::shared_ptr<MetricRegistry> registry)
    : registry_(std::move(registry)),
      requests_(registry_->Counters(
          "merganser_storage_requests_total", "Calls of stores that ended, by their outcome.",
          {Operations(), Label("scheme", kSchemes), CodeLabel()}, MetricUnit::kOne, Told::kMoved)),
      seconds_(registry_->Histograms("merganser_storage_request_seconds",
                                     "Time that calls of stores took, tries again and all.",
                                     {Operations(), Label("scheme", kSchemes)}, LatencyEnds(),
                                     MetricUnit::kNanoseconds, Told::kMoved)),
      read_(registry_->Counters("merganser_storage_read_bytes_total",
                                "Bytes of objects that were read.", {Label("scheme", kSchemes)})),
      written_(registry_->Counters("merganser_storage_written_bytes_total",
                                   "Bytes of objects that stores took.",
                                   {Label("scheme", kSchemes)})) {}

size_t StoreMetrics::SchemeOf(std::string_view scheme) {
  if (scheme == "http") scheme = "https";
  const auto found = std::find(kSchemes.begin(), kSchemes.end(), scheme);
  return std::min<size_t>(static_cast<size_t>(found - kSchemes.begin()), kSchemes.size() - 1);
}

void StoreMetrics::Ended(size_t scheme, StoreOp op, uint64_t size, absl::StatusCode code,
                         Duration took) const {
  const auto operation = static_cast<size_t>(op);
  ++requests_.At({operation, scheme, static_cast<size_t>(code)});
  seconds_.At({operation, scheme}).Observe(took);
  if (code != absl::StatusCode::kOk) return;
  if (op == StoreOp::kRead) read_.At({scheme}) += size;
  if (Writes(op)) written_.At({scheme}) += size;
}

std::shared_ptr<StorageCounters> StoreMetrics::Http(std::string_view scheme) const {
  const auto found = std::find(kHttpSchemes.begin(), kHttpSchemes.end(), scheme);
  const auto place = static_cast<size_t>(found - kHttpSchemes.begin());
  const auto counter = [&](const char* name, const char* help) {
    return &registry_->Counters(name, help, {Label("scheme", kHttpSchemes)}).At({place});
  };
  const StorageCounters::Each each = {
      counter("merganser_storage_http_requests_total", "HTTP requests, tries again among them."),
      counter("merganser_storage_retries_total", "HTTP requests that were tries again."),
      counter("merganser_storage_throttles_total", "HTTP answers that asked for fewer requests."),
      counter("merganser_storage_http_received_bytes_total", "Bytes of the bodies of answers."),
      counter("merganser_storage_http_sent_bytes_total", "Bytes of the bodies of requests."),
      counter("merganser_storage_uploads_aborted_total", "Uploads that were begun and aborted."),
      counter("merganser_storage_uploads_left_total", "Uploads that could not be aborted.")};
  return std::make_shared<StorageCounters>(each, registry_);
}

std::shared_ptr<ObjectStore> MakeMeteredStore(std::shared_ptr<ObjectStore> store,
                                              std::string_view scheme,
                                              std::shared_ptr<const StoreMetrics> metrics) {
  return std::make_shared<MeteredStore>(std::move(store), StoreMetrics::SchemeOf(scheme),
                                        std::move(metrics));
}

}  // namespace merganser
