// Model Breadcrumbs (arXiv 2312.06795): neither the very largest nor the small elements
// of every task vector, with or without sign consensus. Parameters and defaults are
// mergekit's; a gamma * n below one drops no large element, and keeps the others.
#ifndef MERGANSER_COMMON_METHODS_BREADCRUMBS_H_
#define MERGANSER_COMMON_METHODS_BREADCRUMBS_H_

#include "common/methods/method_info.h"

namespace merganser {

MethodInfo BreadcrumbsMethod();
MethodInfo BreadcrumbsTiesMethod();

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_BREADCRUMBS_H_
