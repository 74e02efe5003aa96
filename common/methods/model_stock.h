// Model Stock (arXiv 2403.19522): the mean of the models, drawn back to the base
// the more the less their task vectors agree; with mergekit's parameters.
#ifndef MERGANSER_COMMON_METHODS_MODEL_STOCK_H_
#define MERGANSER_COMMON_METHODS_MODEL_STOCK_H_

#include <cstddef>
#include <memory>

#include "common/methods/merge_method.h"
#include "common/methods/method_info.h"

namespace merganser {

// `filter_wise`: every row along the last dimension by itself.
std::unique_ptr<MergeMethod> MakeModelStock(size_t models, bool filter_wise);

MethodInfo ModelStockMethod();

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_MODEL_STOCK_H_
