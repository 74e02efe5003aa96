// Where the layers of a model went, and what becomes of numbers that stand for them. Private to
// this folder.
#ifndef MERGANSER_COMMON_CONFIG_MOVED_LAYERS_H_
#define MERGANSER_COMMON_CONFIG_MOVED_LAYERS_H_

#include <cstdint>
#include <optional>
#include <vector>

namespace merganser {

class MovedLayers {
 public:
  // Of `before` layers; layer i of the output was layer `origins[i]`. `origins` must outlive this.
  MovedLayers(uint64_t before, const std::vector<uint64_t>& origins)
      : before_(before), origins_(origins) {}

  uint64_t before() const { return before_; }
  uint64_t size() const { return origins_.size(); }
  uint64_t origin(uint64_t layer) const { return origins_[layer]; }

  // Every layer of the output has its old number.
  bool Begins() const;
  // And none is missing at the end.
  bool Unmoved() const { return Begins() && size() == before(); }
  // Every layer has the remainder that it had.
  bool Repeats(uint64_t period) const;

  // The number that says of the output's layers what `count` said of the model's: those below it,
  // up to it, so many at the end. None where no number does.
  std::optional<uint64_t> First(uint64_t count) const;
  std::optional<uint64_t> UpTo(uint64_t last) const;
  std::optional<uint64_t> Last(uint64_t count) const;
  // The offset below `period` by which the layers are those that `offset` had named.
  std::optional<uint64_t> Offset(uint64_t period, uint64_t offset) const;

  static bool Ascends(const std::vector<uint64_t>& numbers);
  // What the first layer is called, 0 or 1, where all these are layers' numbers: 0 where they do
  // not tell.
  uint64_t FirstNumber(const std::vector<uint64_t>& numbers) const;
  // The output's layers that were one of `numbers`, where the first layer is called `first`.
  std::vector<uint64_t> Renumber(const std::vector<uint64_t>& numbers, uint64_t first) const;

 private:
  const uint64_t before_;
  const std::vector<uint64_t>& origins_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_CONFIG_MOVED_LAYERS_H_
