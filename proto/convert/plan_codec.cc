#include "proto/convert/plan_codec.h"

#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/plan/pieces.h"
#include "common/plan/validate.h"
#include "proto/convert/dtype_codec.h"
#include "proto/convert/origin_codec.h"

namespace merganser {
namespace {

v1::Split EncodeSplit(Split split) {
  switch (split) {
    case Split::kWhole:
      return v1::SPLIT_WHOLE;
    case Split::kMatrices:
      return v1::SPLIT_MATRICES;
    case Split::kRows:
      return v1::SPLIT_ROWS;
    case Split::kElements:
      return v1::SPLIT_ELEMENTS;
  }
  return v1::SPLIT_UNSPECIFIED;
}

// Where in the message a value stands, for errors; built only when one occurs.
struct Place {
  const Place* parent = nullptr;
  const char* field = "";
  int index = -1;

  std::string Path() const {
    std::string path = parent == nullptr ? "" : absl::StrCat(parent->Path(), ".");
    absl::StrAppend(&path, field);
    if (index >= 0) absl::StrAppend(&path, "[", index, "]");
    return path;
  }
};

absl::Status Malformed(const Place& place, const char* field, const std::string& problem) {
  return absl::InvalidArgumentError(absl::StrCat(place.Path(), ".", field, ": ", problem));
}

absl::StatusOr<DType> DecodeDType(const Place& place, v1::DType proto) {
  if (const std::optional<DType> dtype = DTypeOf(proto)) return *dtype;
  return Malformed(place, "dtype",
                   absl::StrCat("found the unknown element type ", static_cast<int>(proto),
                                ", expected one that this program knows (is it older than the "
                                "coordinator?)"));
}

absl::StatusOr<Split> DecodeSplit(const Place& place, v1::Split proto) {
  switch (proto) {
    case v1::SPLIT_WHOLE:
      return Split::kWhole;
    case v1::SPLIT_MATRICES:
      return Split::kMatrices;
    case v1::SPLIT_ROWS:
      return Split::kRows;
    case v1::SPLIT_ELEMENTS:
      return Split::kElements;
    default:
      return Malformed(place, "needs.split",
                       absl::StrCat("found the unknown value ", static_cast<int>(proto),
                                    ", expected whole, matrices, rows or elements"));
  }
}

void EncodeMethod(const MethodConfig& method, v1::MethodConfig& proto) {
  proto.set_method(method.method);
  proto.mutable_numbers()->insert(method.numbers.begin(), method.numbers.end());
  proto.mutable_choices()->insert(method.choices.begin(), method.choices.end());
  proto.set_has_base(method.has_base);
  for (const auto& parameters : method.per_model) {
    proto.add_per_model()->mutable_numbers()->insert(parameters.begin(), parameters.end());
  }
}

MethodConfig DecodeMethod(const v1::MethodConfig& proto) {
  MethodConfig method;
  method.method = proto.method();
  method.numbers.insert(proto.numbers().begin(), proto.numbers().end());
  method.choices.insert(proto.choices().begin(), proto.choices().end());
  method.has_base = proto.has_base();
  for (const v1::ModelParameters& parameters : proto.per_model()) {
    method.per_model.emplace_back(parameters.numbers().begin(), parameters.numbers().end());
  }
  return method;
}

// What sources and stretches of them have in common.
template <typename Stored, typename Proto>
void EncodeStored(const Stored& stored, Proto& proto) {
  proto.set_model(stored.model);
  proto.set_shard(stored.shard);
  proto.set_offset(stored.offset);
  proto.set_dtype(EncodeDType(stored.dtype));
}

template <typename Stored, typename Proto>
absl::Status DecodeStored(const Place& place, const Proto& proto, Stored& stored) {
  stored.model = proto.model();
  stored.shard = proto.shard();
  stored.offset = proto.offset();
  MERGANSER_ASSIGN_OR_RETURN(stored.dtype, DecodeDType(place, proto.dtype()));
  return absl::OkStatus();
}

void EncodePart(const SourcePart& part, v1::SourcePart& proto) {
  proto.set_elements(part.elements);
  for (const StoredElements& stored : part.of) EncodeStored(stored, *proto.add_of());
}

absl::StatusOr<SourcePart> DecodePart(const Place& place, const v1::SourcePart& proto) {
  SourcePart part;
  part.elements = proto.elements();
  for (const v1::StoredElements& s : proto.of()) {
    MERGANSER_RETURN_IF_ERROR(DecodeStored(place, s, part.of.emplace_back()));
  }
  return part;
}

void EncodeSource(const PlannedSource& source, v1::PlannedSource& s) {
  EncodeStored(source, s);
  s.set_tensor(source.tensor);
  for (const SourcePart& part : source.parts) EncodePart(part, *s.add_parts());
  EncodeOrigin(source, s);
}

absl::StatusOr<PlannedSource> DecodeSource(const Place& place, const v1::PlannedSource& s) {
  PlannedSource source;
  MERGANSER_RETURN_IF_ERROR(DecodeStored(place, s, source));
  source.tensor = s.tensor();
  for (const v1::SourcePart& part : s.parts()) {
    MERGANSER_ASSIGN_OR_RETURN(SourcePart decoded, DecodePart(place, part));
    source.parts.push_back(std::move(decoded));
  }
  if (const std::optional<std::string> fault = DecodeOrigin(s, source)) {
    return absl::InvalidArgumentError(absl::StrCat(place.Path(), ".", *fault));
  }
  return source;
}

void EncodeWritten(const SafetensorsSpec& spec, v1::WrittenTensor& proto) {
  proto.set_name(spec.name);
  proto.set_dtype(EncodeDType(spec.dtype));
  for (const uint64_t extent : spec.shape) proto.add_shape(extent);
}

absl::StatusOr<SafetensorsSpec> DecodeWritten(const Place& place, const v1::WrittenTensor& proto) {
  SafetensorsSpec spec;
  spec.name = proto.name();
  MERGANSER_ASSIGN_OR_RETURN(spec.dtype, DecodeDType(place, proto.dtype()));
  spec.shape.assign(proto.shape().begin(), proto.shape().end());
  return spec;
}

void EncodeEncoding(const PlannedEncoding& encoding, v1::PlannedEncoding& proto) {
  EncodeWritten(encoding.values, *proto.mutable_values());
  EncodeWritten(encoding.scales, *proto.mutable_scales());
  EncodeSource(encoding.original, *proto.mutable_original());
  proto.set_powers_of_two(encoding.powers_of_two);
}

absl::StatusOr<PlannedEncoding> DecodeEncoding(const Place& place,
                                               const v1::PlannedEncoding& proto) {
  PlannedEncoding encoding;
  MERGANSER_ASSIGN_OR_RETURN(encoding.values, DecodeWritten(place, proto.values()));
  MERGANSER_ASSIGN_OR_RETURN(encoding.scales, DecodeWritten(place, proto.scales()));
  MERGANSER_ASSIGN_OR_RETURN(encoding.original, DecodeSource(place, proto.original()));
  encoding.powers_of_two = proto.powers_of_two();
  return encoding;
}

void EncodeTensor(const PlannedTensor& tensor, v1::PlannedTensor& proto) {
  proto.set_name(tensor.spec.name);
  for (const uint64_t extent : tensor.spec.shape) proto.add_shape(extent);
  proto.set_dtype(EncodeDType(tensor.dtype));
  v1::TensorNeeds& needs = *proto.mutable_needs();
  needs.set_mode(tensor.needs.mode);
  needs.set_family(tensor.needs.family);
  needs.set_note(tensor.needs.note);
  needs.set_split(EncodeSplit(tensor.needs.split));
  needs.set_reads_base(tensor.needs.reads_base);
  needs.set_rounds(tensor.needs.rounds);
  needs.set_workspace_bytes(tensor.needs.workspace_bytes);
  needs.set_group(tensor.needs.group);
  needs.set_keeps(tensor.needs.keeps);
  needs.set_retained_bytes(tensor.needs.retained_bytes);
  needs.set_takes_deltas(tensor.needs.takes_deltas);
  needs.set_takes_factors(tensor.needs.takes_factors);
  proto.set_method(tensor.method);
  proto.set_group(static_cast<uint32_t>(tensor.group + 1));
  proto.set_tied(tensor.tied);
  proto.set_elements(tensor.elements);
  proto.set_leaf_elements(tensor.leaf_elements);
  proto.set_leaves(tensor.leaves);
  for (const PlannedSource& source : tensor.sources) EncodeSource(source, *proto.add_sources());
  if (tensor.encoding.has_value()) EncodeEncoding(*tensor.encoding, *proto.mutable_encoding());
  proto.set_has_base_source(tensor.has_base_source);
  proto.set_shard(tensor.shard);
  proto.set_offset(tensor.offset);
}

absl::StatusOr<PlannedTensor> DecodeTensor(const Place& place, const v1::PlannedTensor& proto) {
  PlannedTensor tensor;
  tensor.spec.name = proto.name();
  tensor.spec.shape.assign(proto.shape().begin(), proto.shape().end());
  MERGANSER_ASSIGN_OR_RETURN(tensor.dtype, DecodeDType(place, proto.dtype()));
  const v1::TensorNeeds& needs = proto.needs();
  tensor.needs.mode = needs.mode();
  tensor.needs.family = needs.family();
  tensor.needs.note = needs.note();
  MERGANSER_ASSIGN_OR_RETURN(tensor.needs.split, DecodeSplit(place, needs.split()));
  tensor.needs.reads_base = needs.reads_base();
  tensor.needs.rounds = needs.rounds();
  tensor.needs.workspace_bytes = needs.workspace_bytes();
  tensor.needs.group = needs.group();
  tensor.needs.keeps = needs.keeps();
  tensor.needs.retained_bytes = needs.retained_bytes();
  tensor.needs.takes_deltas = needs.takes_deltas();
  tensor.needs.takes_factors = needs.takes_factors();
  tensor.method = proto.method();
  tensor.group = static_cast<int32_t>(proto.group() - 1);  // 0 stands for none
  tensor.tied = proto.tied();
  tensor.elements = proto.elements();
  tensor.leaf_elements = proto.leaf_elements();
  tensor.leaves = proto.leaves();
  for (int i = 0; i < proto.sources_size(); ++i) {
    MERGANSER_ASSIGN_OR_RETURN(PlannedSource source,
                               DecodeSource({&place, "sources", i}, proto.sources(i)));
    tensor.sources.push_back(std::move(source));
  }
  if (proto.has_encoding()) {
    MERGANSER_ASSIGN_OR_RETURN(tensor.encoding,
                               DecodeEncoding({&place, "encoding"}, proto.encoding()));
  }
  tensor.has_base_source = proto.has_base_source();
  tensor.shard = proto.shard();
  tensor.offset = proto.offset();
  return tensor;
}

void EncodeUnit(const Unit& unit, v1::Unit& proto) {
  proto.set_shard(unit.shard);
  proto.set_begin(unit.begin);
  proto.set_end(unit.end);
  for (const Segment& segment : unit.segments) {
    v1::Segment& s = *proto.add_segments();
    s.set_header(segment.header);
    s.set_scales(segment.scales);
    s.set_tensor(segment.tensor);
    s.set_leaf_begin(segment.leaf_begin);
    s.set_leaf_end(segment.leaf_end);
    s.set_bytes_out(segment.bytes_out);
    s.set_bytes_in(segment.bytes_in);
    s.set_memory(segment.memory);
    s.set_workspace(segment.workspace);
  }
  proto.set_bytes_in(unit.bytes_in);
  proto.set_memory(unit.memory);
}

Unit DecodeUnit(const v1::Unit& proto) {
  Unit unit;
  unit.shard = proto.shard();
  unit.begin = proto.begin();
  unit.end = proto.end();
  for (const v1::Segment& s : proto.segments()) {
    Segment segment;
    segment.header = s.header();
    segment.scales = s.scales();
    segment.tensor = s.tensor();
    segment.leaf_begin = s.leaf_begin();
    segment.leaf_end = s.leaf_end();
    segment.bytes_out = s.bytes_out();
    segment.bytes_in = s.bytes_in();
    segment.memory = s.memory();
    segment.workspace = s.workspace();
    unit.segments.push_back(segment);
  }
  unit.bytes_in = proto.bytes_in();
  unit.memory = proto.memory();
  return unit;
}

}  // namespace

v1::Plan EncodePlan(const Plan& plan) {
  v1::Plan proto;
  EncodeMethod(plan.method, *proto.mutable_method());
  for (const MethodConfig& method : plan.overrides) EncodeMethod(method, *proto.add_overrides());
  for (const PlannedGroup& group : plan.groups) {
    v1::PlannedGroup& g = *proto.add_groups();
    g.set_key(group.key);
    g.mutable_tensors()->Add(group.tensors.begin(), group.tensors.end());
    g.set_elements(group.elements);
    g.set_spans(group.spans);
  }
  proto.set_recipe_text(plan.recipe_text);
  proto.set_has_base(plan.has_base);
  for (const PlannedModel& model : plan.models) {
    v1::PlannedModel& m = *proto.add_models();
    m.set_uri(model.uri);
    m.set_given(model.given);
    for (const CheckpointShard& shard : model.shards) {
      v1::InputShard& s = *m.add_shards();
      s.set_key(shard.key);
      s.set_size(shard.info.size);
      s.set_identity(shard.info.identity);
      s.set_header_digest(shard.header_digest);
      s.set_place(shard.place);
    }
    for (const std::string& uri : model.places) m.add_places(uri);
  }
  for (const PlannedTensor& tensor : plan.tensors) EncodeTensor(tensor, *proto.add_tensors());
  for (const PlannedShard& shard : plan.shards) {
    v1::PlannedShard& s = *proto.add_shards();
    s.set_key(shard.key);
    s.set_header(shard.header);
    s.set_size(shard.size);
  }
  for (const Unit& unit : plan.units) EncodeUnit(unit, *proto.add_units());
  for (const std::string& warning : plan.warnings) proto.add_warnings(warning);
  for (const std::string& note : plan.notes) proto.add_notes(note);
  proto.set_parameters(plan.parameters);
  proto.set_bytes_read(plan.bytes_read);
  proto.set_bytes_written(plan.bytes_written);
  proto.set_peak_leaf_memory(plan.peak_leaf_memory);
  proto.set_rounds(plan.rounds);
  proto.set_digest(plan.digest);
  if (plan.output.whole_pieces) {
    v1::StoreTraits& output = *proto.mutable_output();
    output.set_whole_pieces(true);
    output.set_least_piece(plan.output.least_piece);
    output.set_most_piece(plan.output.most_piece);
    output.set_most_pieces(plan.output.most_pieces);
    output.set_good_piece(plan.output.good_piece);
  }
  return proto;
}

absl::StatusOr<Plan> DecodePlan(const v1::Plan& proto) {
  const Place root{nullptr, "plan"};
  Plan plan;
  plan.method = DecodeMethod(proto.method());
  for (const v1::MethodConfig& method : proto.overrides()) {
    plan.overrides.push_back(DecodeMethod(method));
  }
  plan.recipe_text = proto.recipe_text();
  plan.has_base = proto.has_base();
  for (const v1::PlannedGroup& g : proto.groups()) {
    plan.groups.push_back(
        {g.key(), {g.tensors().begin(), g.tensors().end()}, g.elements(), g.spans()});
  }
  for (const v1::PlannedModel& m : proto.models()) {
    PlannedModel model;
    model.uri = m.uri();
    model.given = m.given();
    for (const v1::InputShard& s : m.shards()) {
      model.shards.push_back({s.key(), {s.size(), s.identity()}, s.header_digest(), s.place()});
    }
    model.places.assign(m.places().begin(), m.places().end());
    plan.models.push_back(std::move(model));
  }
  for (const v1::PlannedShard& s : proto.shards()) {
    plan.shards.push_back({s.key(), s.header(), s.size()});
  }
  plan.tensors.reserve(proto.tensors_size());
  for (int i = 0; i < proto.tensors_size(); ++i) {
    const Place at{&root, "tensors", i};
    MERGANSER_ASSIGN_OR_RETURN(PlannedTensor tensor, DecodeTensor(at, proto.tensors(i)));
    plan.tensors.push_back(std::move(tensor));
  }
  plan.units.reserve(proto.units_size());
  for (const v1::Unit& unit : proto.units()) plan.units.push_back(DecodeUnit(unit));
  plan.warnings.assign(proto.warnings().begin(), proto.warnings().end());
  plan.notes.assign(proto.notes().begin(), proto.notes().end());
  plan.parameters = proto.parameters();
  plan.bytes_read = proto.bytes_read();
  plan.bytes_written = proto.bytes_written();
  plan.peak_leaf_memory = proto.peak_leaf_memory();
  plan.rounds = proto.rounds();
  plan.digest = proto.digest();
  if (proto.output().whole_pieces()) {
    plan.output.whole_pieces = true;
    plan.output.least_piece = proto.output().least_piece();
    plan.output.most_piece = proto.output().most_piece();
    plan.output.most_pieces = proto.output().most_pieces();
    plan.output.good_piece = proto.output().good_piece();
  }
  MERGANSER_RETURN_IF_ERROR(ValidatePlan(plan));
  return plan;
}

std::string SerializeJobPlan(const JobPlan& job_plan) {
  v1::JobPlan proto;
  proto.set_job(job_plan.job);
  proto.set_job_uid(job_plan.job_uid);
  *proto.mutable_plan() = EncodePlan(job_plan.plan);
  proto.set_output_uri(job_plan.output_uri);
  for (const PlannedWrite& write : job_plan.writes) {
    v1::PlannedWrite& w = *proto.add_writes();
    w.set_key(write.key);
    w.set_size(write.size);
    w.set_upload(write.upload);
    w.mutable_ends()->Add(write.ends.begin(), write.ends.end());
  }
  return proto.SerializeAsString();
}

absl::StatusOr<JobPlan> ParseJobPlan(std::string_view bytes) {
  v1::JobPlan proto;
  if (bytes.size() > kMaxJobPlanBytes ||
      !proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError(
        absl::StrCat("job plan: found ", bytes.size(),
                     " bytes that are no merganser.v1.JobPlan, expected a plan of the "
                     "coordinator's version"));
  }
  JobPlan job_plan;
  job_plan.job = proto.job();
  job_plan.job_uid = proto.job_uid();
  MERGANSER_ASSIGN_OR_RETURN(job_plan.plan, DecodePlan(proto.plan()));
  job_plan.output_uri = proto.output_uri();
  for (const v1::PlannedWrite& w : proto.writes()) {
    job_plan.writes.push_back({w.key(), w.size(), w.upload(), {w.ends().begin(), w.ends().end()}});
  }
  if (job_plan.writes.size() != job_plan.plan.shards.size()) {
    return absl::InvalidArgumentError(absl::StrCat("job plan: found ", job_plan.writes.size(),
                                                   " planned writes, expected ",
                                                   job_plan.plan.shards.size(), ", one a shard"));
  }
  // Units must be whole pieces here as there.
  const std::vector<std::vector<uint64_t>> ends = ShardPieceEnds(job_plan.plan);
  for (size_t i = 0; i < ends.size(); ++i) {
    if (job_plan.writes[i].ends == ends[i]) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("job plan: planned write ", i, ": found ", job_plan.writes[i].ends.size(),
                     " pieces, expected the ", ends[i].size(),
                     " that this version cuts; run coordinator and workers of one version"));
  }
  return job_plan;
}

}  // namespace merganser
