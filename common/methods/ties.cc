#include "common/methods/ties.h"

#include <utility>

#include "common/base/status.h"
#include "common/methods/gta.h"
#include "common/methods/magnitude_band.h"

namespace merganser {
namespace {

absl::StatusOr<std::unique_ptr<MergeMethod>> TiesFrom(const MethodConfig& config) {
  MERGANSER_ASSIGN_OR_RETURN(GtaParameters gta, GtaParametersFrom(config, true));
  BandParameters band;
  MERGANSER_ASSIGN_OR_RETURN(band.density, GetPerModel(config, "density"));
  return MakeGta(std::move(gta), MakeMagnitudeBand(std::move(band)));
}

}  // namespace

MethodInfo TiesMethod() {
  MethodInfo info;
  info.name = "ties";
  info.summary = "largest elements of the task vectors, summed where their signs agree";
  info.paper = "arXiv 2306.01708";
  info.parameters = GtaParameterSpecs(true, false);
  ParameterSpec density = PerModel(
      NumberParameter("density", 1, 0, 1, "share of the elements that is kept, the largest"));
  density.exclusive_min = true;
  info.parameters.push_back(std::move(density));
  info.make = TiesFrom;
  return info;
}

}  // namespace merganser
