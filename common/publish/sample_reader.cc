#include "common/publish/sample_reader.h"

#include <cstddef>
#include <cstring>

#include "common/base/status.h"
#include "common/plan/origin_bytes.h"
#include "common/tensor/float_codec.h"

namespace merganser {
namespace {

double ElementOf(DType dtype, const std::byte* at) {
  const auto bits = [at](auto value) {
    std::memcpy(&value, at, sizeof value);
    return value;
  };
  switch (dtype) {
    case DType::kF64:
      return bits(double());
    case DType::kF32:
      return bits(float());
    case DType::kF16:
      return HalfToFloat(bits(uint16_t()));
    default:
      return Bf16ToFloat(bits(uint16_t()));
  }
}

}  // namespace

bool CanSample(const PlannedSource& source) {
  const DType dtype = source.dtype;
  return source.parts.empty() && !IsDecoded(source) &&
         (dtype == DType::kF64 || dtype == DType::kF32 || dtype == DType::kF16 ||
          dtype == DType::kBF16);
}

absl::StatusOr<std::vector<double>> SampleReader::Read(const PlannedSource& source, uint64_t begin,
                                                       uint64_t count) {
  const PlannedModel& model = plan_.models[source.model];
  const uint32_t place = model.shards[source.shard].place;
  auto [it, fresh] = opened_.try_emplace({source.model, place});
  if (fresh) {
    MERGANSER_ASSIGN_OR_RETURN(it->second,
                               stores_.Open(place == 0 ? model.uri : model.places[place - 1]));
  }
  if (it->second == nullptr) return absl::UnavailableError("its store was not opened");
  const size_t width = BytesPerElement(source.dtype);
  const CheckpointShard& shard = model.shards[source.shard];
  std::vector<std::byte> bytes(count * width);
  MERGANSER_RETURN_IF_ERROR(
      it->second->Read(shard.key, source.offset + begin * width, bytes, shard.info.identity));
  std::vector<double> values(count);
  for (uint64_t i = 0; i < count; ++i) {
    values[i] = ElementOf(source.dtype, bytes.data() + i * width);
  }
  return values;
}

}  // namespace merganser
