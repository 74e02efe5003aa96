#include "common/plan/validate.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/checked.h"
#include "common/base/status.h"
#include "common/plan/encoding.h"
#include "common/plan/layout.h"
#include "common/plan/origin_bytes.h"
#include "common/plan/pieces.h"
#include "common/plan/validate_origins.h"

namespace merganser {
namespace {

// More than a method may ask for: sums of such numbers do not wrap.
constexpr uint64_t kMaxWorkspace = uint64_t{1} << 48;
constexpr int kMaxRounds = 1 << 20;

// Where in the plan a value stands; written out only when it is wrong.
struct Place {
  const char* table;
  size_t index;
  const char* inner = nullptr;
  size_t inner_index = 0;

  std::string Of(const char* field) const {
    std::string path = absl::StrCat("plan.", table, "[", index, "].");
    if (inner != nullptr) absl::StrAppend(&path, inner, "[", inner_index, "].");
    return path + field;
  }
};

absl::Status Malformed(const std::string& where, const std::string& problem) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", problem));
}

absl::Status Equal(const Place& place, const char* field, uint64_t found, uint64_t expected) {
  if (found == expected) return absl::OkStatus();
  return Malformed(place.Of(field), absl::StrCat("found ", found, ", expected ", expected));
}

absl::Status Below(const Place& place, const char* field, uint64_t found, uint64_t limit) {
  if (found < limit) return absl::OkStatus();
  return Malformed(place.Of(field), absl::StrCat("found ", found, ", expected less than ", limit));
}

absl::Status Total(const char* field, uint64_t found, uint64_t expected) {
  if (found == expected) return absl::OkStatus();
  return Malformed(absl::StrCat("plan.", field),
                   absl::StrCat("found ", found, ", expected ", expected));
}

std::optional<uint64_t> Elements(const Shape& shape) {
  std::optional<uint64_t> elements = 1;
  for (const uint64_t side : shape) {
    if (elements.has_value()) elements = CheckedMul(*elements, side);
  }
  if (elements.has_value() && *elements > kMaxElements) return std::nullopt;
  return elements;
}

class Validator {
 public:
  explicit Validator(const Plan& plan)
      : plan_(plan), segments_(plan.groups.size()), members_(plan.groups.size()) {}

  absl::Status Run() {
    if (plan_.has_base && plan_.models.empty()) {
      return Malformed("plan.has_base", "found true without any model");
    }
    MERGANSER_RETURN_IF_ERROR(CheckPlaces());
    for (size_t s = 0; s < plan_.shards.size(); ++s) {
      const PlannedShard& shard = plan_.shards[s];
      if (shard.header.size() > shard.size) {
        return Malformed(
            Place{"shards", s}.Of("header"),
            absl::StrCat("found ", shard.header.size(), " bytes in a file of ", shard.size));
      }
      filled_.push_back(shard.header.size());
    }
    for (size_t t = 0; t < plan_.tensors.size(); ++t) {
      MERGANSER_RETURN_IF_ERROR(CheckTensor({"tensors", t}, plan_.tensors[t]));
    }
    for (size_t s = 0; s < plan_.shards.size(); ++s) {
      MERGANSER_RETURN_IF_ERROR(Equal({"shards", s}, "size", plan_.shards[s].size, filled_[s]));
    }
    for (size_t g = 0; g < plan_.groups.size(); ++g) {
      MERGANSER_RETURN_IF_ERROR(CheckMembers({"groups", g}, g));
    }
    MERGANSER_RETURN_IF_ERROR(CheckOutput());
    MERGANSER_RETURN_IF_ERROR(CheckUnits());
    return CheckRounds();
  }

 private:
  absl::Status CheckPlaces() const {
    for (size_t m = 0; m < plan_.models.size(); ++m) {
      const PlannedModel& model = plan_.models[m];
      for (size_t s = 0; s < model.shards.size(); ++s) {
        MERGANSER_RETURN_IF_ERROR(Below({"models", m, "shards", s}, "place", model.shards[s].place,
                                        model.places.size() + 1));
      }
    }
    return absl::OkStatus();
  }

  // Pieces so small that their list would not fit.
  absl::Status CheckOutput() const {
    if (!plan_.output.whole_pieces) return absl::OkStatus();
    const uint64_t least =
        std::max<uint64_t>(1, std::min(plan_.output.good_piece, plan_.output.most_piece / 3));
    uint64_t pieces = 0;
    for (const PlannedShard& shard : plan_.shards) pieces += CeilDiv(shard.size, least);
    if (pieces <= kMaxSegments) return absl::OkStatus();
    return Malformed("plan.output", absl::StrCat("found pieces of ", least, " bytes, ", pieces,
                                                 " in all, expected at most ", kMaxSegments));
  }

  absl::Status CheckTensor(const Place& place, const PlannedTensor& tensor) {
    MERGANSER_RETURN_IF_ERROR(Below(place, "method", tensor.method, plan_.overrides.size() + 1));
    MERGANSER_RETURN_IF_ERROR(Below(place, "shard", tensor.shard, plan_.shards.size()));
    if (tensor.needs.rounds < 0 || tensor.needs.rounds > kMaxRounds) {
      return Malformed(place.Of("needs.rounds"),
                       absl::StrCat("found ", tensor.needs.rounds, ", expected 0 to ", kMaxRounds));
    }
    MERGANSER_RETURN_IF_ERROR(CheckGroup(place, tensor));
    const std::optional<uint64_t> elements = Elements(tensor.spec.shape);
    if (!elements.has_value()) {
      return Malformed(place.Of("shape"), absl::StrCat("found more than ", kMaxElements,
                                                       " elements, expected at most as many"));
    }
    MERGANSER_RETURN_IF_ERROR(Equal(place, "elements", tensor.elements, *elements));
    MERGANSER_RETURN_IF_ERROR(CheckEncoding(place, tensor));
    MERGANSER_RETURN_IF_ERROR(CheckLeaves(place, tensor));
    MERGANSER_RETURN_IF_ERROR(CheckSources(place, tensor));
    uint64_t& filled = filled_[tensor.shard];
    MERGANSER_RETURN_IF_ERROR(Equal(place, "offset", tensor.offset, filled));
    const std::optional<uint64_t> end =
        CheckedAdd(filled, OutputBytes(tensor, tensor.elements) + ScaleBytes(tensor));
    if (!end.has_value() || *end > plan_.shards[tensor.shard].size) {
      return Malformed(place.Of("offset"),
                       absl::StrCat("found a tensor of ", tensor.elements, " elements at ",
                                    tensor.offset, ", expected it to end within the ",
                                    plan_.shards[tensor.shard].size, " bytes of its file"));
    }
    filled = *end;
    return absl::OkStatus();
  }

  absl::Status CheckEncoding(const Place& place, const PlannedTensor& tensor) const {
    if (!tensor.encoding.has_value()) return absl::OkStatus();
    const PlannedSource& original = tensor.encoding->original;
    MERGANSER_RETURN_IF_ERROR(
        Below(place, "encoding.original.model", original.model, plan_.models.size()));
    MERGANSER_RETURN_IF_ERROR(Below(place, "encoding.original.shard", original.shard,
                                    plan_.models[original.model].shards.size()));
    if (const std::optional<OriginFault> fault = FindEncodingFault(plan_, tensor)) {
      return Malformed(place.Of(absl::StrCat("encoding.", fault->field).c_str()), fault->problem);
    }
    return absl::OkStatus();
  }

  absl::Status CheckGroup(const Place& place, const PlannedTensor& tensor) {
    if (tensor.group < -1) {
      return Malformed(place.Of("group"), absl::StrCat("found ", tensor.group));
    }
    if (tensor.group == -1) return absl::OkStatus();
    const auto group = static_cast<size_t>(tensor.group);
    MERGANSER_RETURN_IF_ERROR(Below(place, "group", group, plan_.groups.size()));
    if (tensor.needs.rounds == 0) {
      return Malformed(place.Of("needs.rounds"),
                       "found 0, expected at least 1 of a tensor that shares a gate");
    }
    members_[group].push_back(static_cast<uint32_t>(place.index));
    return absl::OkStatus();
  }

  static absl::Status CheckLeaves(const Place& place, const PlannedTensor& tensor) {
    if (tensor.needs.split == Split::kMatrices && tensor.spec.shape.empty()) {
      return Malformed(place.Of("needs.split"), "found matrices of a tensor without dimensions");
    }
    PlannedTensor expected;
    expected.spec.shape = tensor.spec.shape;
    expected.needs.split = tensor.needs.split;
    expected.encoding = tensor.encoding;
    SetLeaves(expected);
    MERGANSER_RETURN_IF_ERROR(
        Equal(place, "leaf_elements", tensor.leaf_elements, expected.leaf_elements));
    return Equal(place, "leaves", tensor.leaves, expected.leaves);
  }

  absl::Status CheckSources(const Place& place, const PlannedTensor& tensor) const {
    const bool copied = tensor.needs.mode == "copy";
    if (tensor.has_base_source && (tensor.sources.empty() || !plan_.has_base)) {
      return Malformed(place.Of("has_base_source"), tensor.sources.empty()
                                                        ? "found true without any source"
                                                        : "found true in a plan without a base");
    }
    if (copied ? BytesPerElement(tensor.dtype) == 0 : !IsComputable(tensor.dtype)) {
      return Malformed(
          place.Of("dtype"),
          absl::StrCat("found ", std::string(DTypeName(tensor.dtype)),
                       ", expected a type that can be ", copied ? "copied" : "merged"));
    }
    for (size_t k = 0; k < tensor.sources.size(); ++k) {
      MERGANSER_RETURN_IF_ERROR(
          CheckSource({place.table, place.index, "sources", k}, tensor, tensor.sources[k]));
    }
    // Methods go by their config's number of models.
    const uint64_t expected = copied ? 1
                                     : MethodOf(plan_, tensor).per_model.size() +
                                           static_cast<uint64_t>(tensor.has_base_source);
    return Equal(place, "sources", tensor.sources.size(), expected);
  }

  absl::Status CheckSource(const Place& place, const PlannedTensor& tensor,
                           const PlannedSource& source) const {
    MERGANSER_RETURN_IF_ERROR(Below(place, "model", source.model, plan_.models.size()));
    const std::vector<CheckpointShard>& shards = plan_.models[source.model].shards;
    MERGANSER_RETURN_IF_ERROR(Below(place, "shard", source.shard, shards.size()));
    const bool fits =
        tensor.needs.mode == "copy" ? source.dtype == tensor.dtype : IsComputable(source.dtype);
    if (!fits) {
      return Malformed(
          place.Of("dtype"),
          absl::StrCat("found ", std::string(DTypeName(source.dtype)), ", expected ",
                       tensor.needs.mode == "copy" ? std::string(DTypeName(tensor.dtype))
                                                   : "a type that can be merged"));
    }
    if (std::optional<OriginFault> fault = FindOriginFault(plan_, tensor, place.inner_index)) {
      return Malformed(place.Of(fault->field.c_str()), fault->problem);
    }
    if (IsDecoded(source)) return absl::OkStatus();
    if (!source.parts.empty()) return CheckParts(place, tensor, source);
    return CheckStored(place, tensor.elements,
                       StoredElements{source.model, source.shard, source.offset, source.dtype});
  }

  absl::Status CheckStored(const Place& place, uint64_t elements,
                           const StoredElements& stored) const {
    const uint64_t size = plan_.models[stored.model].shards[stored.shard].info.size;
    const std::optional<uint64_t> end =
        CheckedAdd(stored.offset, elements * BytesPerElement(stored.dtype));
    if (end.has_value() && *end <= size) return absl::OkStatus();
    return Malformed(place.Of("offset"),
                     absl::StrCat("found ", elements, " elements at ", stored.offset,
                                  ", expected them within the ", size, " bytes of their file"));
  }

  absl::Status CheckParts(const Place& place, const PlannedTensor& tensor,
                          const PlannedSource& source) const {
    if (tensor.needs.mode == "copy") {
      return Malformed(place.Of("parts"), "found parts of a tensor that is copied");
    }
    uint64_t elements = 0;
    for (const SourcePart& part : source.parts) {
      // Of a count that is this large the sum would wrap.
      if (part.elements == 0 || part.elements > tensor.elements - elements) {
        return Malformed(place.Of("parts"),
                         absl::StrCat("found ", part.elements, " elements behind ", elements,
                                      ", expected 1 to ", tensor.elements - elements));
      }
      elements += part.elements;
      bool exact = part.of.size() <= 1;
      for (const StoredElements& stored : part.of) {
        MERGANSER_RETURN_IF_ERROR(Below(place, "parts.model", stored.model, plan_.models.size()));
        MERGANSER_RETURN_IF_ERROR(
            Below(place, "parts.shard", stored.shard, plan_.models[stored.model].shards.size()));
        if (!IsComputable(stored.dtype)) {
          return Malformed(place.Of("parts.dtype"),
                           absl::StrCat("found ", std::string(DTypeName(stored.dtype)),
                                        ", expected a type that can be merged"));
        }
        exact = exact && stored.dtype == source.dtype;
        MERGANSER_RETURN_IF_ERROR(CheckStored(place, part.elements, stored));
      }
      if (!exact && source.dtype != DType::kF32 && source.dtype != DType::kF64) {
        return Malformed(place.Of("dtype"),
                         absl::StrCat("found ", std::string(DTypeName(source.dtype)),
                                      ", expected F32 or F64 of parts of other types"));
      }
    }
    return Equal(place, "parts.elements", elements, tensor.elements);
  }

  absl::Status CheckMembers(const Place& place, size_t g) const {
    const PlannedGroup& group = plan_.groups[g];
    if (group.tensors.empty()) {
      return Malformed(place.Of("tensors"), "found none, expected at least one");
    }
    for (const uint32_t t : group.tensors) {
      MERGANSER_RETURN_IF_ERROR(Below(place, "tensors", t, plan_.tensors.size()));
    }
    if (group.tensors != members_[g]) {
      return Malformed(place.Of("tensors"), "found others than those that name the group");
    }
    const PlannedTensor& first = plan_.tensors[group.tensors[0]];
    uint64_t elements = 0;
    for (const uint32_t t : group.tensors) {
      const PlannedTensor& tensor = plan_.tensors[t];
      elements += tensor.elements;
      if (tensor.method != first.method || tensor.needs.rounds != first.needs.rounds) {
        return Malformed(place.Of("tensors"),
                         absl::StrCat("found tensors ", group.tensors[0], " and ", t,
                                      " of different methods or rounds"));
      }
    }
    return Equal(place, "elements", group.elements, elements);
  }

  absl::Status CheckUnits() {
    std::vector<uint64_t> done(plan_.shards.size(), 0);
    uint64_t peak = 0, read = 0;
    for (size_t u = 0; u < plan_.units.size(); ++u) {
      const Unit& unit = plan_.units[u];
      const Place place{"units", u};
      MERGANSER_RETURN_IF_ERROR(Below(place, "shard", unit.shard, plan_.shards.size()));
      MERGANSER_RETURN_IF_ERROR(Equal(place, "begin", unit.begin, done[unit.shard]));
      if (unit.end <= unit.begin || unit.end > plan_.shards[unit.shard].size) {
        return Malformed(place.Of("end"),
                         absl::StrCat("found ", unit.end, ", expected more than ", unit.begin,
                                      " and at most ", plan_.shards[unit.shard].size));
      }
      uint64_t at = unit.begin, bytes_in = 0;
      for (size_t i = 0; i < unit.segments.size(); ++i) {
        const Segment& segment = unit.segments[i];
        MERGANSER_RETURN_IF_ERROR(CheckSegment({"units", u, "segments", i}, unit, at, segment));
        at += segment.bytes_out;
        bytes_in += segment.bytes_in;
        read += segment.bytes_in;
        if (InRounds(plan_, segment)) {
          read +=
              segment.bytes_in * static_cast<uint64_t>(plan_.tensors[segment.tensor].needs.rounds);
        }
      }
      MERGANSER_RETURN_IF_ERROR(Equal(place, "end", unit.end, at));
      MERGANSER_RETURN_IF_ERROR(Equal(place, "bytes_in", unit.bytes_in, bytes_in));
      MERGANSER_RETURN_IF_ERROR(CheckPieceSize(place, unit));
      MERGANSER_RETURN_IF_ERROR(Equal(place, "memory", unit.memory, UnitMemory(plan_, unit)));
      done[unit.shard] = unit.end;
      peak = std::max(peak, unit.memory);
    }
    uint64_t written = 0, parameters = 0;
    for (size_t s = 0; s < plan_.shards.size(); ++s) {
      if (done[s] != plan_.shards[s].size) {
        return Malformed(Place{"shards", s}.Of("size"),
                         absl::StrCat("found ", plan_.shards[s].size, ", of which the units cover ",
                                      done[s], ": expected all"));
      }
      written += plan_.shards[s].size;
    }
    for (const PlannedTensor& tensor : plan_.tensors) parameters += tensor.elements;
    MERGANSER_RETURN_IF_ERROR(Total("parameters", plan_.parameters, parameters));
    MERGANSER_RETURN_IF_ERROR(Total("bytes_written", plan_.bytes_written, written));
    MERGANSER_RETURN_IF_ERROR(Total("bytes_read", plan_.bytes_read, read));
    return Total("peak_leaf_memory", plan_.peak_leaf_memory, peak);
  }

  // A unit that is no shard's last is at least one piece.
  absl::Status CheckPieceSize(const Place& place, const Unit& unit) const {
    if (!plan_.output.whole_pieces || unit.end == plan_.shards[unit.shard].size ||
        unit.end - unit.begin >= plan_.output.least_piece) {
      return absl::OkStatus();
    }
    return Malformed(place.Of("end"),
                     absl::StrCat("found a unit of ", unit.end - unit.begin,
                                  " bytes, expected at least ", plan_.output.least_piece));
  }

  // `at`: where the segment begins in its shard, by those before it.
  absl::Status CheckSegment(const Place& place, const Unit& unit, uint64_t at,
                            const Segment& segment) {
    Segment expected;
    if (segment.header) {
      expected = MakeHeaderSegment(plan_, unit.shard);
      MERGANSER_RETURN_IF_ERROR(Equal(place, "header", at, 0));
    } else if (segment.scales) {
      MERGANSER_RETURN_IF_ERROR(CheckScales(place, unit, at, segment));
      expected = MakeScalesSegment(plan_, segment.tensor);
    } else {
      MERGANSER_RETURN_IF_ERROR(Below(place, "tensor", segment.tensor, plan_.tensors.size()));
      const PlannedTensor& tensor = plan_.tensors[segment.tensor];
      if (segment.leaf_begin >= segment.leaf_end || segment.leaf_end > tensor.leaves) {
        return Malformed(place.Of("leaf_begin"),
                         absl::StrCat("found [", segment.leaf_begin, ", ", segment.leaf_end,
                                      "), expected a range within [0, ", tensor.leaves, ")"));
      }
      MERGANSER_RETURN_IF_ERROR(Equal(place, "tensor", tensor.shard, unit.shard));
      const uint64_t begin =
          tensor.offset + OutputBytes(tensor, segment.leaf_begin * tensor.leaf_elements);
      MERGANSER_RETURN_IF_ERROR(Equal(place, "leaf_begin", begin, at));
      if (tensor.encoding.has_value()) {
        const uint64_t step = EncodedStep(tensor);
        const uint64_t first = segment.leaf_begin * tensor.leaf_elements;
        const uint64_t last = segment.leaf_end * tensor.leaf_elements;
        if (first % step != 0 || (last % step != 0 && last < tensor.elements)) {
          return Malformed(place.Of("leaf_begin"),
                           absl::StrCat("found [", segment.leaf_begin, ", ", segment.leaf_end,
                                        "), expected whole rows of blocks, ", step, " elements"));
        }
      }
      const std::optional<uint64_t> retained =
          CheckedMul(segment.leaf_end - segment.leaf_begin, tensor.needs.retained_bytes);
      if (tensor.needs.workspace_bytes > kMaxWorkspace || !retained.has_value() ||
          *retained > kMaxWorkspace) {
        return Malformed(place.Of("workspace"),
                         absl::StrCat("found a tensor that needs more than ", kMaxWorkspace));
      }
      expected = MakeSegment(plan_, segment.tensor, segment.leaf_begin, segment.leaf_end);
      if (tensor.group >= 0) ++segments_[static_cast<size_t>(tensor.group)];
    }
    MERGANSER_RETURN_IF_ERROR(Equal(place, "bytes_out", segment.bytes_out, expected.bytes_out));
    MERGANSER_RETURN_IF_ERROR(Equal(place, "bytes_in", segment.bytes_in, expected.bytes_in));
    MERGANSER_RETURN_IF_ERROR(Equal(place, "workspace", segment.workspace, expected.workspace));
    return Equal(place, "memory", segment.memory, expected.memory);
  }

  // The values lie before their scales, and in the same unit.
  absl::Status CheckScales(const Place& place, const Unit& unit, uint64_t at,
                           const Segment& segment) const {
    MERGANSER_RETURN_IF_ERROR(Below(place, "tensor", segment.tensor, plan_.tensors.size()));
    const PlannedTensor& tensor = plan_.tensors[segment.tensor];
    if (!tensor.encoding.has_value() || tensor.elements == 0) {
      return Malformed(place.Of("scales"), "found scales of a tensor that has none");
    }
    MERGANSER_RETURN_IF_ERROR(Equal(place, "tensor", tensor.shard, unit.shard));
    MERGANSER_RETURN_IF_ERROR(Equal(place, "leaf_begin", segment.leaf_begin, 0));
    MERGANSER_RETURN_IF_ERROR(Equal(place, "leaf_end", segment.leaf_end, 0));
    MERGANSER_RETURN_IF_ERROR(
        Equal(place, "scales", tensor.offset + OutputBytes(tensor, tensor.elements), at));
    if (unit.begin <= tensor.offset) return absl::OkStatus();
    return Malformed(place.Of("scales"),
                     absl::StrCat("found a unit that begins at ", unit.begin,
                                  ", expected it to have all of the tensor's values, from ",
                                  tensor.offset, " on"));
  }

  // Which groups need passes over the whole job, and how many there are.
  absl::Status CheckRounds() const {
    int rounds = 1;
    for (size_t g = 0; g < plan_.groups.size(); ++g) {
      const PlannedGroup& group = plan_.groups[g];
      if (group.spans != (segments_[g] > 1)) {
        return Malformed(Place{"groups", g}.Of("spans"),
                         absl::StrCat("found ", group.spans ? "true" : "false", " with ",
                                      segments_[g], " segments"));
      }
      if (group.spans) {
        rounds = std::max(rounds, 1 + plan_.tensors[group.tensors[0]].needs.rounds);
      }
    }
    return Total("rounds", static_cast<uint64_t>(plan_.rounds), static_cast<uint64_t>(rounds));
  }

  const Plan& plan_;
  std::vector<uint64_t> filled_;                // of each shard, by the tensors so far
  std::vector<uint64_t> segments_;              // of each group
  std::vector<std::vector<uint32_t>> members_;  // the tensors that name each group
};

}  // namespace

absl::Status ValidatePlan(const Plan& plan) { return Validator(plan).Run(); }

}  // namespace merganser
