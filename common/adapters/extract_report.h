// What is told of an extraction: extract_report.json, and a few lines for people.
#ifndef MERGANSER_COMMON_ADAPTERS_EXTRACT_REPORT_H_
#define MERGANSER_COMMON_ADAPTERS_EXTRACT_REPORT_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "common/adapters/extract_lora.h"

namespace merganser {

// One JSON object. Keys are stable: `format` 1, `base`, `model` (as given), `rank`, `energy` (or
// null), `dtype`, `kept`, `tensors` [{name, module, rank, difference_norm, kept, sigma}], `beside`
// [{name, why, elements, difference_norm, saved}], `equal_tensors`. Norms are Frobenius norms of
// model - base; shares are of their squares.
std::string ExtractReportJson(const ExtractedLora& lora, const ModelPair& pair,
                              const ExtractLoraOptions& options);

// A line a tensor of the adapter, then what it keeps of the whole.
std::string ExtractText(const ExtractedLora& lora);
// The same of what is called `whole`, beside `saved` tensors that are in the adapter whole.
std::string LoraText(const ExtractedLora& lora, size_t saved, std::string_view whole);

// What is lost with tensors that are not in the adapter: a line a reason, with the first few names.
std::vector<std::string> ExtractWarnings(const ExtractedLora& lora);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ADAPTERS_EXTRACT_REPORT_H_
