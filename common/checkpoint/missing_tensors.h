// Tensors that the reference has and another model lacks: which of them may be
// taken from the reference, and which mean that a model is damaged. Private to
// this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_MISSING_TENSORS_H_
#define MERGANSER_COMMON_CHECKPOINT_MISSING_TENSORS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/checkpoint/alignment.h"
#include "common/checkpoint/checkpoint.h"
#include "common/checkpoint/layers.h"

namespace merganser {

struct MissingTensor {
  uint32_t model = 0;           // which lacks it
  size_t tensor = 0;            // index into the alignment's tensors
  size_t source = 0;            // of that tensor
  std::string name;             // what it would be called there
  bool from_reference = false;  // the reference has it in that place
  bool is_end = false;          // an embedding or an output head
  // A tensor of that model that nothing uses and that may be what is missing.
  std::string similar;
};

enum class MissingVerdict : uint8_t {
  kRefused,
  kCopied,     // nobody but the reference has it: copied, no method sees it
  kUnchanged,  // others have it: this model has what the reference has
};

struct JudgedTensor {
  MissingVerdict verdict = MissingVerdict::kRefused;
  std::string reason;  // of a refusal; " (...)" or empty
};

// One verdict each. Tensors are judged by kind: those whose names differ in numbers
// alone, layers behind the last (multi-token prediction) apart. A kind that a model
// has in part was lost and is refused, and so is an embedding or a head, what may be
// there under another name, and all of a model that lacks more than half of its tensors. Without a
// base only buffers that loading computes are forgiven.
std::vector<JudgedTensor> JudgeMissing(const std::vector<MissingTensor>& missing,
                                       const std::vector<AlignedTensor>& tensors,
                                       const LayerCounts& layers, uint32_t reference,
                                       bool has_base);

// Of what no model but the reference has, kUnchanged becomes kCopied.
void MarkCopied(const std::vector<MissingTensor>& missing,
                const std::vector<AlignedTensor>& tensors, uint32_t reference,
                std::vector<JudgedTensor>& judged);

// "3 'mtp.*.w', 1 'mtp.norm'": patterns and how often they are there, the first of them.
std::string KindsText(const std::map<std::string, size_t>& kinds);

// What was taken from the reference, a line for what is copied and one for every
// model that counts as unchanged somewhere.
std::vector<std::string> DescribeMissing(const std::vector<MissingTensor>& missing,
                                         const std::vector<JudgedTensor>& judged,
                                         const std::vector<AlignedTensor>& tensors,
                                         const std::vector<const Checkpoint*>& models,
                                         uint32_t reference);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_MISSING_TENSORS_H_
