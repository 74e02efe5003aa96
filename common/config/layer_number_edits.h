// Values of config.json that are one layer's number, many, or a count of layers. Private to this
// folder.
#ifndef MERGANSER_COMMON_CONFIG_LAYER_NUMBER_EDITS_H_
#define MERGANSER_COMMON_CONFIG_LAYER_NUMBER_EDITS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/config/layer_edit_log.h"
#include "common/config/moved_layers.h"
#include "nlohmann/json_fwd.hpp"

namespace merganser {

class LayerNumberEdits : public LayerEditLog {
 protected:
  // `layers` must outlive this.
  explicit LayerNumberEdits(const MovedLayers& layers) : layers_(layers) {}

  const MovedLayers& layers() const { return layers_; }

  // Writes the number at `key` of `object` anew, or says why it is kept.
  void EditNumber(const nlohmann::ordered_json& object, const std::string& key,
                  const nlohmann::ordered_json& value, const std::string& path);
  // The same of ascending layers' numbers, not none; `text`: as "3,4,5". `known`: by the key's
  // name.
  void EditNumbers(const nlohmann::ordered_json& object, const std::string& key, bool known,
                   const std::vector<uint64_t>& numbers, const std::string& path, bool text);

 private:
  void EditPeriod(const nlohmann::ordered_json& object, const std::string& key, uint64_t period,
                  bool known);
  void EditOffset(const nlohmann::ordered_json& object, const std::string& key, uint64_t offset,
                  const std::string& path);

  const MovedLayers& layers_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_CONFIG_LAYER_NUMBER_EDITS_H_
