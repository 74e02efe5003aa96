// Elements of tensors to float64 and back: BF16, F16, F32 and F64, each
// dispatched at run time. Results do not depend on the vector width.
//
// Padded buffers as in block_ops.h. Tensor data may be misaligned; double
// buffers are aligned as double is. Nothing allocates; all are thread-safe.
#ifndef MERGANSER_COMMON_LINALG_CONVERT_H_
#define MERGANSER_COMMON_LINALG_CONVERT_H_

#include <cstdint>

#include "common/tensor/view.h"

namespace merganser::linalg {

// out[0, size) = in, exactly; zero up to PadLanes(size).
void LoadDoubles(const TensorView& in, double* out);

// out[e] = expert[e] - base[e] in float64, padded like LoadDoubles. With a
// `scale` other than 1 (a power of two): expert * scale - base * scale. An expert that is a task
// vector (TensorView::delta) has nothing subtracted from it.
void LoadDelta(const TensorView& base, const TensorView& expert, double scale, double* out);

// out = in, rounded once to nearest even. Returns the index of the first
// element that is not finite in `out`, or out.size.
uint64_t StoreDoubles(const double* in, MutableTensorView out);

bool HasNonFinite(const TensorView& in);

}  // namespace merganser::linalg

#endif  // MERGANSER_COMMON_LINALG_CONVERT_H_
