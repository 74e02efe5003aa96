// The seam behind which every merge method stands. A method is a pure function
// of tensor data and parameters: no I/O, no clock, no threads of its own, no
// state between calls. How to add one: README.md beside this file.
//
// Leaves (the smallest pieces with statistics of their own: a matrix, a run of
// rows, or a block of kLeafElements elements) that share a gate are a group. For
// every group the engine runs
//
//   for round in [0, rounds):  Analyze every leaf; add the leaves' Stats in
//                              tensor and leaf order; Reduce to the next Gate
//                              (a settled gate ends the rounds)
//   Apply every leaf under the last Gate, with the Keepsake that its own
//   analysis left
//
// Where a group is in memory as a whole, all of it happens in one visit; else the
// inputs are read once a round and once more to apply.
#ifndef MERGANSER_COMMON_METHODS_MERGE_METHOD_H_
#define MERGANSER_COMMON_METHODS_MERGE_METHOD_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/executor.h"
#include "common/linalg/low_rank_triplets.h"
#include "common/tensor/dtype.h"
#include "common/tensor/view.h"

namespace merganser {

// Leaves of tensors that are split by elements hold this many, the last fewer.
inline constexpr uint64_t kLeafElements = uint64_t{1} << 20;

// How a tensor may be cut into leaves.
enum class Split : uint8_t {
  kWhole,     // one leaf: a 2-D tensor whose method needs the matrix
  kMatrices,  // one leaf a matrix of a 3-D tensor (fused experts)
  kRows,      // whole rows along the last dimension, about kLeafElements together
  kElements,  // blocks of kLeafElements, whatever the shape
};

// What the other tensors of a model, and its config.json, tell of one (model_structure.h).
struct TensorHints {
  bool vocabulary = false;  // a matrix outside of layers, one side as long as the vocabulary
  bool experts = false;     // 3-D, and beside a router of as many experts
  bool transposed = false;  // a matrix stored [in, out], or fused experts [experts, in, out]
};

// What a method sees of a tensor at plan time: headers only.
struct TensorSpec {
  std::string name;
  Shape shape;
  TensorHints hints = {};  // at plan time alone: they do not travel
};

// What a method wants done with one tensor.
struct TensorNeeds {
  std::string mode;    // what the plan and report call it: "spectral", "mean", ...
  std::string family;  // "attention", "ffn", ...; empty where the method knows none
  std::string note;    // something the user should see in the plan; usually empty
  Split split = Split::kElements;
  bool reads_base = true;  // false: the base's data is not read at all
  // Experts are only ever looked at less the base (LoadDelta): those that are a task vector come
  // as one (TensorView::delta). Else their weights are made of it, rounded once to float32.
  bool takes_deltas = false;
  // With takes_deltas, of tensors that are cut into matrices: the method asks for what a task
  // vector is a product of (Leaf::factors).
  bool takes_factors = false;
  int rounds = 0;  // analysis rounds before Apply, at most
  // Whose gate the leaves share: all leaves of all tensors with this key. Empty:
  // every leaf has a gate of its own.
  std::string group;
  bool keeps = false;            // analysis leaves a Keepsake for Apply
  uint64_t workspace_bytes = 0;  // memory beside inputs and output, largest leaf
  uint64_t retained_bytes = 0;   // of a leaf's Stats and Keepsake, until the gate is there
};

// One leaf in memory. `base` is empty where TensorNeeds::reads_base is false.
struct Leaf {
  const TensorSpec* tensor = nullptr;
  const TensorNeeds* needs = nullptr;
  uint64_t index = 0;          // of the leaf within its tensor
  uint64_t first_element = 0;  // of the leaf, counted in its tensor; for messages
  int64_t rows = 0;            // of matrix and row leaves; element leaves have 1 x size
  int64_t cols = 0;
  TensorView base;
  std::span<const TensorView> experts;  // in model order
  // With TensorNeeds::takes_factors, in rounds that analyze: of each expert the factors of its task
  // vector, null where it is known by its elements alone. `experts` has it too, rounded to float32.
  std::span<const FactoredDelta* const> factors = {};
};

// A sparse histogram, ascending by key.
using Counts = std::vector<std::pair<uint64_t, uint64_t>>;
void AddCounts(const Counts& from, Counts& to);

// What one leaf tells. Layout of both is the method's own. Plain data: it travels.
struct Stats {
  std::vector<double> sums;
  Counts counts;
};

// What all leaves of a group tell. Integers are added as they come; float64 sums
// stay apart until all are there, so that their order is always the same.
struct GroupStats {
  struct LeafSums {
    uint32_t tensor = 0;  // ascending; index into the plan's tensors
    uint64_t leaf = 0;    // ascending within a tensor
    std::vector<double> sums;
  };
  std::vector<LeafSums> leaves;
  Counts counts;
  uint64_t elements = 0;  // of all leaves together

  // The leaves' sums added element by element, in their order.
  std::vector<double> Total() const;
};

// What Reduce derives for a group; layout is the method's own. Plain data.
struct Gate {
  std::vector<double> values;
  bool settled = false;  // further rounds would find nothing more
};

// What analysis found and application needs (a head's singular triplets):
// kept beside the output between rounds, never sent.
struct Keepsake {
  std::vector<double> values;
};

// A measurement for the report. One value is written as a number, more as a list.
struct ReportField {
  std::string key;
  std::vector<double> values;
  bool list = false;
  // Adds up over the leaves of a tensor (counts): the report has the sum.
  bool adds = false;
};
using ReportFields = std::vector<ReportField>;

struct Analysis {
  Stats stats;
  Keepsake keepsake;
  ReportFields report;
};

// Thread-safe: const, and without hidden state.
class MergeMethod {
 public:
  virtual ~MergeMethod() = default;

  virtual std::string_view name() const = 0;

  // kInvalidArgument when the method cannot treat this tensor.
  virtual absl::StatusOr<TensorNeeds> Needs(const TensorSpec& tensor) const = 0;

  // Called for rounds [0, needs.rounds). `state` is the previous round's gate
  // (empty in round 0). Errors name what was wrong with the data; the caller
  // adds file and tensor.
  virtual absl::StatusOr<Analysis> Analyze(const Leaf& leaf, int round, const Gate& state,
                                           Executor& executor) const = 0;

  // `stats` of all leaves of one group, `state` as Analyze had it; `needs` are
  // those of the group's first tensor. `report` receives the gate's own
  // measurements.
  virtual absl::StatusOr<Gate> Reduce(const TensorNeeds& needs, int round, const Gate& state,
                                      const GroupStats& stats, ReportFields& report) const = 0;

  // Fills `out` (leaf elements, output dtype) completely. A value that is
  // finite and overflows the output dtype is kOutOfRange (OverflowStatus).
  // `report` receives measurements of the leaf that only the output shows.
  virtual absl::Status Apply(const Leaf& leaf, const Gate& gate, const Keepsake& keepsake,
                             MutableTensorView out, ReportFields& report,
                             Executor& executor) const = 0;
};

// For Apply: OK without an index (an element of the leaf), else kOutOfRange that
// names the element, counted in its tensor, and `dtype`.
absl::Status OverflowStatus(const Leaf& leaf, std::optional<uint64_t> index, DType dtype);

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_MERGE_METHOD_H_
