// What a model consists of, as its tensors' names tell: towers, each a stack of layers with the
// embeddings and norms that belong to it, and modules beside them, such as heads and
// projectors. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_MODEL_PARTS_H_
#define MERGANSER_COMMON_CHECKPOINT_MODEL_PARTS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/checkpoint/checkpoint.h"

namespace merganser {

// What a model may lack of the reference.
struct PartsJudgement {
  // The model has the layers of some tower whole (of a model without layers: most tensors).
  bool shares = false;
  // It has some tensor of some layer.
  bool touches = false;
  // One a tensor of the reference: why a model that lacks it is not just a part of it, to be
  // put behind "is missing"; empty where it may be lacking, or is there.
  std::vector<std::string> reasons;
};

class ModelParts {
 public:
  // `reference` must outlive this.
  explicit ModelParts(const Checkpoint& reference);

  // Whole towers may be lacking; modules beside towers (heads, projectors) where one is, or
  // where the model is `other_class`; then also modules of a tower that hold matrices and no
  // embedding (poolers). Not so layers of a stack that the model has, tensors of a module that
  // it has, embeddings, or norms.
  //
  // `lacks`: one a tensor of the reference. `forgiven`: the same, those that are no sign of
  // damage; buffers that loading computes are none either.
  PartsJudgement Judge(const std::vector<bool>& lacks, const std::vector<bool>& forgiven,
                       bool other_class) const;

 private:
  // Layers behind the last that config.json counts (multi-token prediction) are a tower of
  // their own.
  struct Tower {
    std::string prefix;  // "model.visual."; may be empty
    std::vector<uint32_t> stacks;
  };
  struct Module {
    bool matrix = false;
    bool embedding = false;
  };

  void FindTowers();
  std::string PrefixOf(size_t stack, const std::vector<std::string_view>& embeddings) const;
  Module Look(std::string_view module) const;
  // `looked`: of which modules all is known to be lacking, or not.
  std::string JudgeOutside(uint32_t t, const std::vector<bool>& lacks, bool loose,
                           std::map<std::string, bool>& looked) const;

  const Checkpoint& reference_;
  std::vector<std::string> stacks_;
  std::vector<bool> behind_;  // one a stack
  std::vector<Tower> towers_;
  // One a tensor; -1: none.
  std::vector<int32_t> stack_;
  std::vector<int32_t> tower_;
  std::vector<bool> buffer_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_MODEL_PARTS_H_
