// One model as it is, or scaled: mergekit's way to convert and to cut.
#ifndef MERGANSER_COMMON_METHODS_PASSTHROUGH_H_
#define MERGANSER_COMMON_METHODS_PASSTHROUGH_H_

#include <memory>

#include "common/methods/merge_method.h"
#include "common/methods/method_info.h"

namespace merganser {

// scale * W1; bit for bit W1 where the scale is 1 and the dtypes agree.
std::unique_ptr<MergeMethod> MakePassthrough(double scale);

MethodInfo PassthroughMethod();

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_PASSTHROUGH_H_
