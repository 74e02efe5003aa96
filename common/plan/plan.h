// What the planner derives from a recipe and the inputs' headers alone: every
// byte of the output has its place before the first is computed. Same inputs,
// same plan, byte for byte; it depends on shapes and recipe, never on memory,
// threads or timing. Plain data: it travels to workers.
#ifndef MERGANSER_COMMON_PLAN_PLAN_H_
#define MERGANSER_COMMON_PLAN_PLAN_H_

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/checkpoint/alignment.h"
#include "common/checkpoint/checkpoint.h"
#include "common/checkpoint/config_differences.h"
#include "common/checkpoint/stored_formats.h"
#include "common/methods/merge_method.h"
#include "common/methods/registry.h"
#include "common/recipe/recipe.h"
#include "common/storage/object_store.h"
#include "common/tensor/dtype.h"
#include "common/tensor/view.h"

namespace merganser {

// Raised whenever the bytes of any merge may change; part of every plan digest.
// 7: resmerge and scf_rkl tell from structure what a tensor is: fused experts, embeddings, heads,
// position tables and parameters of state spaces under any name, attention and feed-forward of
// other architectures than Llama's; scf_rkl takes columns of matrices stored [in, out] for rows.
inline constexpr int kNumericsVersion = 7;

// A segment's inputs and output each begin at a multiple of this in its buffer.
inline constexpr uint64_t kBufferAlignment = 64;

// A buffer may take so much more than is asked for: its last huge page.
inline constexpr uint64_t kBufferRounding = uint64_t{2} << 20;

// Beyond these a header lies about its file, or the plan itself would not fit:
// 17.6 trillion elements a tensor, 16 million segments in all.
inline constexpr uint64_t kMaxElements = uint64_t{1} << 44;
inline constexpr uint64_t kMaxSegments = uint64_t{1} << 24;

// Parts of sources in all: four models whose 150,000 tokens are all numbered otherwise have 1.2
// million, and their plan travels in one message of 64 MiB.
inline constexpr uint64_t kMaxSourceParts = uint64_t{1} << 21;

struct PlannedModel {
  std::string uri;                       // resolved
  std::string given;                     // as written in the recipe
  std::vector<CheckpointShard> shards;   // those that are read
  std::vector<std::string> places = {};  // URIs of CheckpointShard::place 1 and above
  // For what is told of it (model_origin.h): where the plan was made alone, they do not travel.
  std::vector<AdapterOrigin> adapters = {};
  std::vector<StoredFormat> stored = {};  // of the folder at `uri`
};

// Elements that lie one behind the other in a file. No StoredBlock (tensor_origin.h): that is a
// tensor of one model; of these any model may be asked, and how many there are the part says.
struct StoredElements {
  uint32_t model = 0;
  uint32_t shard = 0;   // index into PlannedModel::shards
  uint64_t offset = 0;  // bytes from the start of the file
  DType dtype = DType::kF32;
};

// A stretch of a source that is put together: rows of an embedding whose tokens have other
// numbers in that model, or which it lacks.
struct SourcePart {
  uint64_t elements = 0;
  // One: its elements. Several: their mean, element by element, summed in this order in float64.
  // None: zeros.
  std::vector<StoredElements> of;
};

// Where one model's copy of a tensor lies.
struct PlannedSource {
  uint32_t model = 0;
  uint32_t shard = 0;   // index into PlannedModel::shards
  uint64_t offset = 0;  // bytes from the start of the file
  DType dtype = DType::kF32;
  std::string tensor;  // its name there (differs for tied heads)
  // Empty: all elements lie at `offset`. Else they are those of the parts, in this order and as
  // `dtype`, which is F32 or F64 where elements of several types or means are among them.
  std::vector<SourcePart> parts = {};
  // Decoded where it is read (tensor_origin.h). `scales`: the file has values of `coded` and
  // scales, and `dtype` is what they become. `update`: what is added to them; with `delta`, that
  // alone is what methods get, as float32, and the values at `offset` are read for magnitudes only.
  std::optional<BlockScales> scales = {};
  std::optional<DType> coded = {};
  std::optional<LowRankUpdate> update = {};
  // With `update`: the type of the values that it is added to, decoded. `dtype` is then F32, or F64
  // where the values are F64 and read.
  std::optional<DType> added_to = {};
  // A task vector rather than weights (TensorView::delta). Without `update`, zeros: a model that
  // has the base's own tensor.
  bool delta = false;
};

// A tensor that the output stores block-scaled, as the reference has it: two tensors of the file.
// Both lie in one shard, the scales right behind the values, and in one unit.
struct PlannedEncoding {
  SafetensorsSpec values, scales;  // as the header has them
  // The tensor of which form, blocks and dtype are taken: it has `scales` and `coded`, and no
  // update. Blocks that are merged to what they were keep its bytes.
  PlannedSource original;
  bool powers_of_two = false;  // scales, also where they are floats
};

struct PlannedTensor {
  TensorSpec spec;
  // Of the output; with an encoding F32, what methods write before it is encoded.
  DType dtype = DType::kF32;
  std::optional<PlannedEncoding> encoding = {};
  TensorNeeds needs;  // mode "copy": AlignedTensor::copied, method not asked
  bool tied = false;
  uint64_t elements = 0;
  uint64_t leaf_elements = 0;  // elements of every leaf but perhaps the last
  uint64_t leaves = 0;         // 0 for a tensor without elements
  // The base first, where it is read; then the experts in model order.
  std::vector<PlannedSource> sources;
  bool has_base_source = false;
  uint32_t method = 0;  // 0: Plan::method; else Plan::overrides[method - 1]
  // Whose gate its leaves share, index into Plan::groups; -1: each leaf has its own.
  int32_t group = -1;
  uint32_t shard = 0;   // of the output
  uint64_t offset = 0;  // bytes from the start of the output shard
};

// Leaves that share a gate.
struct PlannedGroup {
  std::string key;
  std::vector<uint32_t> tensors;  // ascending; one method, one number of rounds
  uint64_t elements = 0;
  // Its leaves lie in several segments: analyzed in rounds of the whole job, of
  // which the last applies. Else one visit does all.
  bool spans = false;
};

// A run of leaves of one tensor, the scales of one that is encoded, or the header of a shard.
struct Segment {
  bool header = false;
  uint32_t tensor = 0;      // index into Plan::tensors
  uint64_t leaf_begin = 0;  // leaves [leaf_begin, leaf_end)
  uint64_t leaf_end = 0;
  uint64_t bytes_out = 0;
  uint64_t bytes_in = 0;
  uint64_t workspace = 0;  // bytes beside inputs and output
  uint64_t memory = 0;     // inputs + output + workspace
  // Those of `tensor`, found where its values were encoded: nothing is read or computed for them,
  // and they have no leaves.
  bool scales = false;
};

// What is leased: adjacent segments of one output shard, one byte range.
struct Unit {
  uint32_t shard = 0;
  uint64_t begin = 0;  // bytes in the output shard
  uint64_t end = 0;
  std::vector<Segment> segments;
  uint64_t bytes_in = 0;
  uint64_t memory = 0;  // the least that it can be done with: UnitMemory
};

struct PlannedShard {
  // "model.safetensors" or "model-00001-of-00003.safetensors"; "consolidated.safetensors" where
  // the reference is in Mistral's layout.
  std::string key;
  std::string header;  // first bytes of the file
  uint64_t size = 0;   // of the whole file
};

struct Plan {
  // Of tensors to which no gradient or filter applies; if there are none, of the
  // first.
  MethodConfig method;
  // Of the others: the same method, other parameters. Distinct.
  std::vector<MethodConfig> overrides;
  std::string recipe_text;
  bool has_base = false;  // models[0] is the base, the rest experts
  std::vector<PlannedModel> models;
  std::vector<PlannedTensor> tensors;  // in the reference's order
  std::vector<PlannedShard> shards;
  std::vector<PlannedGroup> groups;
  std::vector<Unit> units;
  // Of the store that the output goes to. Units are no smaller than its pieces; what is written
  // does not depend on it.
  StoreTraits output;
  std::vector<std::string> warnings;  // what may be meant otherwise, or is hardly right
  // What the recipe has that changes nothing, and where its method's authors would do otherwise.
  std::vector<std::string> notes;
  // Keys of config.json at which models differ; of models[config_model] is what the output gets.
  std::vector<ConfigDifference> config_differences;
  uint32_t config_model = 0;
  uint64_t parameters = 0;  // elements of the output
  uint64_t bytes_read = 0;  // tensor data, all rounds (a settled gate may save some)
  uint64_t bytes_written = 0;
  uint64_t peak_leaf_memory = 0;  // of the unit that takes most: the least budget that works
  // Passes over the units, of which the last writes and the others analyze what
  // belongs to groups that span segments.
  int rounds = 1;
  // Of recipe, inputs' identities and numerics version: 32 hex digits.
  std::string digest;
};

// Whether the leaves of the segment are analyzed in rounds of the whole job.
inline bool InRounds(const Plan& plan, const Segment& segment) {
  if (segment.header || segment.scales) return false;
  const int32_t group = plan.tensors[segment.tensor].group;
  return group >= 0 && plan.groups[static_cast<size_t>(group)].spans;
}

// The config of `tensor`.
inline const MethodConfig& MethodOf(const Plan& plan, const PlannedTensor& tensor) {
  return tensor.method == 0 ? plan.method : plan.overrides[tensor.method - 1];
}

// Whether every tensor is merged from the tensors of its name in all models, so
// that MethodConfig::per_model is in the models' order; not so with slices.
bool MergesWholeModels(const Plan& plan);

// Elements of a segment of `tensor`.
inline uint64_t SegmentElements(const PlannedTensor& tensor, const Segment& segment) {
  const uint64_t begin = segment.leaf_begin * tensor.leaf_elements;
  return std::min(segment.leaf_end * tensor.leaf_elements, tensor.elements) - begin;
}

// Calls `visit(part, skipped, count)` for what of every part lies in the elements
// [first, first + count) of the source: `count` of them, behind `skipped` of the part's.
template <typename Visit>
void ForParts(const PlannedSource& source, uint64_t first, uint64_t elements, Visit visit) {
  uint64_t begin = 0;
  for (const SourcePart& part : source.parts) {
    const uint64_t from = std::max(begin, first);
    const uint64_t to = std::min(begin + part.elements, first + elements);
    if (from < to) visit(part, from - begin, to - from);
    begin += part.elements;
    if (begin >= first + elements) return;
  }
}

// For AlignModels: the slices of a recipe that has some, else none.
std::vector<LayerSlice> SlicesOf(const ResolvedMethod& resolved);

// For AlignModels as well; `resolved` must outlive what is returned.
AlignOptions OptionsOf(const ResolvedMethod& resolved);

// `models` are ResolvedMethod::inputs(), as AlignModels took them; `output` is what the store of
// the output can do. kInvalidArgument when a parameter is wrong for a tensor, the method refuses
// one, or the output cannot be laid out.
absl::StatusOr<Plan> MakePlan(const Recipe& recipe, const ResolvedMethod& resolved,
                              const std::vector<const Checkpoint*>& models,
                              const Alignment& alignment, const StoreTraits& output = {});

}  // namespace merganser

#endif  // MERGANSER_COMMON_PLAN_PLAN_H_
