// In which order a list holds jobs: order_by of ListJobs, as AIP-132 has it. Pure.
#ifndef MERGANSER_COORDINATOR_SERVICE_JOB_ORDER_H_
#define MERGANSER_COORDINATOR_SERVICE_JOB_ORDER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/service/job_board.h"
#include "coordinator/service/job_fields.h"

namespace merganser {

// Where a job stands in an order: what it had of every key, and when it was created. A list goes on
// behind it though the job be gone.
struct JobPlace {
  std::vector<std::optional<std::string>> texts;  // of keys that are texts; nullopt: of the others
  std::vector<std::optional<int64_t>> numbers;    // nullopt: a text, or not set
  uint64_t sequence = 0;
};

// A total order: what is alike by its keys stands newest first.
class JobOrder {
 public:
  // Newest first.
  JobOrder() = default;

  // "state, finish_time desc": keys are create_time, start_time, finish_time, state, owner,
  // display_name and priority. A time that is not set stands last either way; states stand as a
  // job goes through them; create_time is the order of creation, though the clock was set
  // meanwhile. kInvalidArgument (ORDER_BY_INVALID) says where what was found.
  static absl::StatusOr<JobOrder> Parse(std::string_view text);

  bool IsNewestFirst() const { return keys_.empty(); }
  // Whether `a` stands before `b`.
  bool Before(const JobView& a, const JobView& b) const;

  JobPlace PlaceOf(const JobView& view) const;
  bool IsBehind(const JobView& view, const JobPlace& place) const;

  // A place as bytes, and back: nullopt where they are none of this order.
  std::string Pack(const JobPlace& place) const;
  std::optional<JobPlace> Unpack(std::string_view bytes) const;

 private:
  struct Key {
    JobField field = JobField::kCreateTime;
    bool descending = false;
  };
  // What a job has of a key.
  struct Value {
    bool set = true;
    int64_t number = 0;
    std::string_view text;
  };

  static bool IsText(const Key& key);
  static Value ValueOf(const Key& key, const JobView& view);
  Value ValueAt(const JobPlace& place, size_t key) const;
  // Negative: `a` stands before `b`.
  static int Compare(const Key& key, const Value& a, const Value& b);

  std::vector<Key> keys_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_JOB_ORDER_H_
