#include "common/methods/breadcrumbs.h"

#include <utility>

#include "common/base/status.h"
#include "common/methods/gta.h"
#include "common/methods/magnitude_band.h"

namespace merganser {
namespace {

template <bool kConsensus>
absl::StatusOr<std::unique_ptr<MergeMethod>> BreadcrumbsFrom(const MethodConfig& config) {
  MERGANSER_ASSIGN_OR_RETURN(GtaParameters gta, GtaParametersFrom(config, kConsensus));
  BandParameters band;
  MERGANSER_ASSIGN_OR_RETURN(band.density, GetPerModel(config, "density"));
  MERGANSER_ASSIGN_OR_RETURN(band.gamma, GetPerModel(config, "gamma"));
  return MakeGta(std::move(gta), MakeMagnitudeBand(std::move(band)));
}

MethodInfo Breadcrumbs() {
  MethodInfo info;
  info.paper = "arXiv 2312.06795";
  info.parameters = GtaParameterSpecs(false, false);
  info.parameters.push_back(
      PerModel(NumberParameter("density", 1, 0, 1, "share of the elements that is kept")));
  info.parameters.push_back(PerModel(NumberParameter(
      "gamma", 0.01, 0, 1, "share of the elements, the largest, that is dropped first")));
  // Not normalized, the sum of N equal task vectors is N of them.
  info.properties.identical_experts = false;
  return info;
}

}  // namespace

MethodInfo BreadcrumbsMethod() {
  MethodInfo info = Breadcrumbs();
  info.name = "breadcrumbs";
  info.summary = "task vectors without their largest and smallest elements, summed";
  info.make = BreadcrumbsFrom<false>;
  return info;
}

MethodInfo BreadcrumbsTiesMethod() {
  MethodInfo info = Breadcrumbs();
  info.name = "breadcrumbs_ties";
  info.summary =
      "task vectors without their largest and smallest elements, summed where their signs agree";
  info.make = BreadcrumbsFrom<true>;
  return info;
}

}  // namespace merganser
