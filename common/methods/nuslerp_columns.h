// NuSLERP of vectors that run along the first dimension: of a matrix, its columns.
#ifndef MERGANSER_COMMON_METHODS_NUSLERP_COLUMNS_H_
#define MERGANSER_COMMON_METHODS_NUSLERP_COLUMNS_H_

#include <memory>

#include "common/methods/merge_method.h"

namespace merganser {

// Tensors of one dimension are left to `whole`. A matrix may be cut into rows:
// every leaf then tells its part of every column's inner products, and one gate
// has two weights a column. Tensors of more dimensions stay in one piece.
std::unique_ptr<MergeMethod> MakeNuslerpColumns(double t, bool has_base,
                                                std::unique_ptr<MergeMethod> whole);

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_NUSLERP_COLUMNS_H_
