// What a merge asks of storage, counted before it runs.
#ifndef MERGANSER_COMMON_PLAN_REQUESTS_H_
#define MERGANSER_COMMON_PLAN_REQUESTS_H_

#include <cstdint>
#include <span>

#include "common/plan/plan.h"
#include "common/storage/object_store.h"

namespace merganser {

// Requests about weights, if none fails: at most, since what is small is read with what lies behind
// it where memory allows. Those about headers, small files, claim and record come to
// a few a shard, and one every few seconds.
struct StorageRequests {
  uint64_t reads = 0;   // ranges of the inputs, in all rounds
  uint64_t writes = 0;  // of the output: its pieces, or, where ranges are free, its segments
  // Bytes of a piece, where the output's store wants whole ones; the last of a shard may be smaller
  // than the least.
  uint64_t least_piece = 0;
  uint64_t most_piece = 0;
};

// `inputs`: traits of the stores of Plan::models, one each.
StorageRequests CountRequests(const Plan& plan, std::span<const StoreTraits> inputs);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PLAN_REQUESTS_H_
