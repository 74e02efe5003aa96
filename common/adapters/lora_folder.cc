#include "common/adapters/lora_folder.h"

#include <algorithm>

#include "common/adapters/lora_config.h"
#include "common/adapters/new_folder.h"
#include "common/base/status.h"

namespace merganser {
namespace {

constexpr uint64_t kPiece = uint64_t{8} << 20;  // bytes that are copied at a time
constexpr char kWriter[] = "extract";

}  // namespace

absl::StatusOr<std::unique_ptr<LoraFolder>> LoraFolder::Make(const std::string& output) {
  std::unique_ptr<LoraFolder> folder(new LoraFolder(output));
  MERGANSER_ASSIGN_OR_RETURN(folder->spool_, SpoolFile::Make(FolderAbove(output)));
  return folder;
}

absl::Status LoraFolder::AddFactors(std::string_view module, LoraLayer layer, const Shape& shape,
                                    DType dtype, const LoraFactors& factors) {
  const bool turned = layer != LoraLayer::kLinear;
  const uint64_t in = turned ? shape[0] : shape[1], out = turned ? shape[1] : shape[0];
  Begin({LoraKey(module, layer, true), dtype, {factors.rank, in}});
  MERGANSER_RETURN_IF_ERROR(Append(turned ? factors.rank_by_rows : factors.rank_by_cols));
  Begin({LoraKey(module, layer, false), dtype, {out, factors.rank}});
  return Append(turned ? factors.cols_by_rank : factors.rows_by_rank);
}

absl::StatusOr<SafetensorsLayout> LoraFolder::LayOut() const {
  return LayOutSafetensors(specs_, {{"format", "pt"}});
}

absl::StatusOr<uint64_t> LoraFolder::WeightBytes() const {
  MERGANSER_ASSIGN_OR_RETURN(const SafetensorsLayout layout, LayOut());
  return layout.file_size;
}

absl::Status LoraFolder::Write(const std::vector<std::pair<std::string, std::string>>& files,
                               const Stores& stores) const {
  MERGANSER_ASSIGN_OR_RETURN(const SafetensorsLayout layout, LayOut());
  MERGANSER_ASSIGN_OR_RETURN(const std::unique_ptr<NewFolder> folder,
                             NewFolder::Begin(output_, stores));
  MERGANSER_RETURN_IF_ERROR(WriteWeights(layout, folder->store()));
  for (const auto& [name, text] : files) {
    MERGANSER_RETURN_IF_ERROR(folder->store().Put(name, text));
  }
  return folder->Commit();
}

absl::Status LoraFolder::WriteWeights(const SafetensorsLayout& layout, ObjectStore& store) const {
  MERGANSER_ASSIGN_OR_RETURN(const PlannedWrite write,
                             store.BeginWrite({kAdapterWeightsKey, layout.file_size}, kWriter));
  std::vector<WriteReceipt> receipts;
  MERGANSER_ASSIGN_OR_RETURN(receipts.emplace_back(),
                             store.WriteRange(write, 0, std::as_bytes(std::span(layout.header))));
  std::vector<std::byte> piece(std::min(kPiece, spool_->size()));
  for (uint64_t at = 0; at < spool_->size(); at += kPiece) {
    const std::span<std::byte> bytes =
        std::span(piece).first(std::min(kPiece, spool_->size() - at));
    MERGANSER_RETURN_IF_ERROR(spool_->Read(at, bytes));
    MERGANSER_ASSIGN_OR_RETURN(receipts.emplace_back(),
                               store.WriteRange(write, layout.header.size() + at, bytes));
  }
  MERGANSER_RETURN_IF_ERROR(store.FlushWrite(write));
  return store.CommitWrite(write, receipts);
}

}  // namespace merganser
