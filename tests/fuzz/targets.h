// Every fuzz target, by name: NAME_fuzz.cc. CMakeLists.txt has the same ones; where they differ
// fuzz_seeds_test does not link, or fails.
#ifndef MERGANSER_TESTS_FUZZ_TARGETS_H_
#define MERGANSER_TESTS_FUZZ_TARGETS_H_

#define MERGANSER_FUZZ_TARGETS(X) \
  X(adapter)                      \
  X(api_request)                  \
  X(aws_files)                    \
  X(config_rewrite)               \
  X(hf_index)                     \
  X(http2_frames)                 \
  X(http_request)                 \
  X(hub_info)                     \
  X(journal_rows)                 \
  X(json_text)                    \
  X(locations)                    \
  X(model_config)                 \
  X(plan_codec)                   \
  X(proxy_header)                 \
  X(quantised)                    \
  X(recipe)                       \
  X(result_record)                \
  X(s3_answers)                   \
  X(safetensors_header)           \
  X(tokenizer_files)              \
  X(tokenizer_settings)           \
  X(working_folder)

#endif  // MERGANSER_TESTS_FUZZ_TARGETS_H_
