#include "common/auxiliary/auxiliary_kinds.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "absl/strings/ascii.h"

namespace merganser {
namespace {

constexpr std::string_view kNames[] = {
    "SYSTEM_PROMPT.txt",
    "added_tokens.json",
    "bpe.codes",
    "byte_maps.json",
    "chat_template.jinja",
    "chat_template.json",
    "config_sentence_transformers.json",
    "dict.txt",
    "emoji.json",
    "encoder.json",
    "entity_vocab.json",
    "generation_config.json",
    "image_processor.json",
    "image_processor_config.json",
    "merges.txt",
    "modules.json",
    "normalizer.json",
    "params.json",
    "preprocessor_config.json",
    "processor_config.json",
    "prophetnet.tokenizer",
    "sentence_bert_config.json",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "source.spm",
    "special_tokens_map.json",
    "spiece.model",
    "spm.model",
    "spm_char.model",
    "target.spm",
    "target_vocab.json",
    "tekken.json",
    "tiktoken.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer.model.v3",
    "tokenizer_config.json",
    "video_preprocessor.json",
    "video_preprocessor_config.json",
    "vocab-src.json",
    "vocab-tgt.json",
    "vocab.bpe",
    "vocab.json",
    "vocab.txt",
    "word_pronunciation.json",
    "word_shape.json",
};

// Of these, what is no tokenizer's.
constexpr std::string_view kNoTokenizers[] = {
    "SYSTEM_PROMPT.txt",
    "config_sentence_transformers.json",
    "generation_config.json",
    "image_processor.json",
    "image_processor_config.json",
    "modules.json",
    "params.json",
    "preprocessor_config.json",
    "processor_config.json",
    "sentence_bert_config.json",
    "video_preprocessor.json",
    "video_preprocessor_config.json",
};

// What every output has of its own.
constexpr std::string_view kOwn[] = {"config.json", "README.md", "merge_recipe.yaml",
                                     "merge_report.json"};

constexpr std::string_view kWeights[] = {
    ".safetensors", ".bin",      ".pt",    ".pth",       ".ckpt",      ".gguf",   ".ggml",
    ".h5",          ".hdf5",     ".keras", ".msgpack",   ".onnx",      ".ort",    ".tflite",
    ".pb",          ".mlmodel",  ".nemo",  ".pdparams",  ".distcp",    ".engine", ".llamafile",
    ".mar",         ".ot",       ".dduf",  ".onnx_data", ".onnx.data", ".params", ".weights",
    ".task",        ".litertlm", ".trt",   ".exl2",
};

// Weights that are the same model in another form, or the state of a training. Others may be a part
// of it that nobody merges: a projector, a codec.
constexpr std::string_view kPartEndings[] = {".safetensors", ".bin", ".pt", ".pth"};
constexpr std::string_view kNoParts[] = {"model",
                                         "pytorch_model",
                                         "consolidated",
                                         "tf_model",
                                         "flax_model",
                                         "rust_model",
                                         "adapter_",
                                         "training_args",
                                         "optim",
                                         "scheduler",
                                         "rng_state",
                                         "random_states",
                                         "scaler",
                                         "extra_state",
                                         "mp_rank",
                                         "zero_pp",
                                         "bf16_zero",
                                         "open_clip",
                                         "diffusion_pytorch_model",
                                         "data"};

// Licences go along in whatever form they have.
constexpr std::string_view kLicences[] = {"license", "licence",   "notice",      "use_policy",
                                          "copying", "copyright", "third_party", "third-party"};

struct Endings {
  std::string_view reason;
  std::span<const std::string_view> endings;
};
constexpr std::string_view kPickles[] = {".pkl", ".pickle", ".joblib", ".dill"};
constexpr std::string_view kDocuments[] = {
    ".md",   ".pdf", ".png", ".jpg",  ".jpeg", ".gif", ".webp", ".svg",  ".bmp", ".ico",
    ".tiff", ".mp4", ".mov", ".webm", ".avi",  ".mp3", ".wav",  ".flac", ".ogg", ".m4a",
    ".bib",  ".tex", ".rst", ".html", ".css",  ".doc", ".docx", ".pptx", ".xlsx"};
constexpr std::string_view kData[] = {".parquet", ".arrow",    ".jsonl",   ".ndjson", ".db",
                                      ".sqlite",  ".tfrecord", ".feather", ".lance"};
constexpr std::string_view kArchives[] = {".zip", ".tar", ".gz",  ".tgz", ".bz2",
                                          ".xz",  ".7z",  ".zst", ".whl", ".rar"};
constexpr std::string_view kScripts[] = {".sh", ".bat", ".ps1", ".ipynb", ".dockerfile"};
constexpr std::string_view kLogs[] = {".log", ".out", ".err", ".tmp", ".lock", ".bak", ".swp"};
constexpr Endings kLeftOut[] = {
    {"pickled, which runs code where it is loaded", kPickles},
    {"pictures, recordings and documents", kDocuments},
    {"data", kData},
    {"archives", kArchives},
    {"scripts", kScripts},
    {"records of a training or a run", kLogs},
};

constexpr std::string_view kRecords[] = {"all_results.json",
                                         "train_results.json",
                                         "eval_results.json",
                                         "predict_results.json",
                                         "test_results.json",
                                         "trainer_state.json",
                                         "trainer_log.jsonl",
                                         "training_args.json",
                                         "training_args.yaml",
                                         "training_params.json",
                                         "training_config.json",
                                         "training_loss.png",
                                         "zero_to_fp32.py",
                                         "latest",
                                         "results.json",
                                         "metrics.json",
                                         "mergekit_config.yml",
                                         "mergekit_config.yaml",
                                         "mergekit_moe_config.yml",
                                         "wandb_config.json",
                                         "latest_checkpointed_iteration.txt",
                                         "scheduler.json",
                                         "optimizer.json",
                                         "run_config.json",
                                         "recipe.yaml"};
constexpr std::string_view kOfQuantised[] = {
    "quantize_config.json",     "quant_config.json", "hf_quant_config.json", "quant_log.csv",
    "quantization_config.json", "imatrix.dat",       "measurement.json",     "job_new.json"};

// Settings, vocabularies, code and small tables: of these the whole is taken, not small ones alone.
constexpr std::string_view kKnown[] = {
    ".json", ".txt",   ".model", ".py",        ".jinja", ".jinja2", ".tiktoken", ".spm",
    ".bpe",  ".vocab", ".codes", ".tokenizer", ".yaml",  ".yml",    ".csv",      ".tsv",
    ".npy",  ".npz",   ".xml",   ".toml",      ".cfg",   ".ini"};

constexpr std::string_view kPassedOverFolders[] = {
    "checkpoints", "runs",        "logs",        "log",       "wandb",   "tensorboard", "original",
    "onnx",        "gguf",        "GGUF",        "openvino",  "coreml",  "metal",       "mlx",
    "tflite",      "torchscript", "__pycache__", "optimizer", "trainer", "events"};

template <typename List>
bool Has(const List& list, std::string_view name) {
  return std::find(std::begin(list), std::end(list), name) != std::end(list);
}

bool EndsIn(std::string_view name, std::span<const std::string_view> endings) {
  return std::any_of(endings.begin(), endings.end(),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

bool StartsWith(std::string_view name, std::span<const std::string_view> beginnings) {
  return std::any_of(beginnings.begin(), beginnings.end(),
                     [&](std::string_view beginning) { return name.starts_with(beginning); });
}

// "checkpoint-300", "global_step100".
bool IsNumbered(std::string_view name) {
  constexpr std::string_view kStems[] = {"checkpoint", "global_step", "step",
                                         "epoch",      "iter",        "ckpt"};
  if (!StartsWith(name, kStems)) return false;
  const size_t digits = name.find_first_of("0123456789");
  return digits != std::string_view::npos &&
         name.find_first_not_of("0123456789", digits) == std::string_view::npos;
}

}  // namespace

FileKind KindOfFile(std::string_view name) {
  using Use = FileKind::Use;
  if (name.empty() || name.front() == '.' || Has(kOwn, name)) return {Use::kPassedOver};
  const std::string lower = absl::AsciiStrToLower(std::string(name));
  if (EndsIn(lower, kPartEndings) && !StartsWith(lower, kNoParts)) {
    return {Use::kLeftOut, "weights beside the model's, which are not merged"};
  }
  // The index of weights, of whichever form: model.safetensors.index.json, tf_model.h5.index.json.
  if (EndsIn(lower, kWeights) || lower.ends_with(".index.json") || lower.ends_with(".ckpt.index") ||
      lower.find(".data-0000") != std::string::npos) {
    return {Use::kPassedOver};
  }
  if (Has(kRecords, name) || lower.find(".tfevents.") != std::string::npos) {
    return {Use::kLeftOut, "records of a training or a run"};
  }
  if (Has(kOfQuantised, name)) return {Use::kLeftOut, "of a quantised form"};
  if (StartsWith(lower, kLicences)) return {Use::kCopied};
  for (const Endings& kind : kLeftOut) {
    if (EndsIn(lower, kind.endings)) return {Use::kLeftOut, kind.reason};
  }
  if (lower == "dockerfile" || lower == "makefile") return {Use::kLeftOut, "scripts"};
  const bool known = EndsIn(lower, kKnown) || lower.find('.') == std::string::npos ||
                     lower.starts_with("tokenizer.");
  return {Use::kCopied, {}, !known};
}

bool IsPassedOverFolder(std::string_view name) {
  return name.empty() || name.front() == '.' || Has(kPassedOverFolders, name) || IsNumbered(name) ||
         name.starts_with("pytorch_model_fsdp") || name.starts_with("optimizer_");
}

std::span<const std::string_view> UsualAuxiliaryNames() { return kNames; }

bool IsNoTokenizersName(std::string_view name) { return Has(kNoTokenizers, name); }

bool LooksLikeTokenizer(std::string_view name) {
  constexpr std::string_view kBeginnings[] = {
      "tokenizer.", "tokenizer_", "tokenization_",  "vocab.",        "vocab-",
      "vocab_",     "merges.",    "special_tokens", "sentencepiece", "spiece"};
  constexpr std::string_view kEndings[] = {".tiktoken", ".spm",       ".bpe",  ".vocab",
                                           ".codes",    ".tokenizer", ".model"};
  return StartsWith(name, kBeginnings) || EndsIn(name, kEndings);
}

}  // namespace merganser
