// Whether square matrices are stored [out, in] or the other way round, where shapes do not tell.
// Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_ADAPTER_LAYOUT_H_
#define MERGANSER_COMMON_CHECKPOINT_ADAPTER_LAYOUT_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/checkpoint/adapter_config.h"
#include "common/checkpoint/adapter_factors.h"
#include "common/checkpoint/adapter_modules.h"
#include "common/checkpoint/adapter_targets.h"

namespace merganser {

class AdapterLayouts {
 public:
  // `parameters`: as AssignParameters has them.
  AdapterLayouts(std::string_view model_type, const AdapterConfig& config,
                 const AdapterContents& contents, const std::vector<std::string>& parameters,
                 const AdapterTargets& targets);

  // One of those that fit: the only one; else as the model's class has it, as the adapter's other
  // modules have it if they agree, or as fan_in_fan_out says. nullopt where experts' parameters
  // leave it open: PEFT took them one way and then the other.
  std::optional<FactorLayout> Choose(const AdapterModule& module, const FactorLayouts& fit) const;

 private:
  // Whether all that are clear are transposed, or none is.
  struct Seen {
    bool plain = false, turned = false;
  };

  const std::string model_type_;
  const bool fan_in_fan_out_;
  Seen linear_, experts_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_ADAPTER_LAYOUT_H_
