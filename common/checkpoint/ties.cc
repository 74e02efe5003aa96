#include "common/checkpoint/ties.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <map>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/layers.h"
#include "common/checkpoint/names.h"

namespace merganser {
namespace {

// What heads are called, below any prefix. `lm_head.decoder.weight` stands before
// what it ends in.
constexpr std::string_view kHeads[] = {
    "lm_head.decoder.weight",   "lm_head.out_proj.weight",  "lm_head.weight",
    "embed_out.weight",         "proj_out.weight",          "predictions.decoder.weight",
    "mlm_score.decoder.weight", "generator_lm_head.weight", "vocab_projector.weight",
    "lm_loss.weight",           "pred_layer.proj.weight",   "output_projection.weight",
};

// Input embeddings, the likeliest first.
constexpr std::string_view kEmbeddings[] = {
    "shared.weight",          "embed_tokens.weight",   "wte.weight",
    "word_embeddings.weight", "word_embedding.weight", "embed_in.weight",
    "tok_embeddings.weight",  "tokens_embed.weight",   "embeddings.weight",
};

// Heads whose names say little: only beside their own embedding.
struct OddHead {
  std::string_view head, embedding;
};
constexpr OddHead kOddHeads[] = {
    {"decoder.weight", "model.embeddings.tok_embeddings.weight"},  // ModernBERT
    {"head.weight", "rwkv.embeddings.weight"},
    {"lm_head.weight", "transformer.w.weight"},  // CTRL
};

// Copies of one embedding within a prefix.
struct Shared {
  std::string_view kept, copy;
};
constexpr Shared kShared[] = {
    {"shared.weight", "encoder.embed_tokens.weight"},
    {"shared.weight", "decoder.embed_tokens.weight"},
    {"shared.weight", "text_encoder.embed_tokens.weight"},
    {"shared.weight", "text_decoder.embed_tokens.weight"},
    {"word_embeddings.weight", "encoder.word_embeddings.weight"},  // ProphetNet
    {"word_embeddings.weight", "decoder.word_embeddings.weight"},
    {"predictions.bias", "predictions.decoder.bias"},
    {"lm_head.bias", "lm_head.decoder.bias"},
};

// Types whose classes do not tie unless config.json says so.
constexpr std::string_view kUntiedTypes[] = {
    "afmoe",
    "apertus",
    "arcee",
    "aria",
    "bamba",
    "bitnet",
    "chameleon",
    "codegen",
    "cwm",
    "dbrx",
    "deepseek_v2",
    "deepseek_v3",
    "deepseek_v32",
    "diffllama",
    "doge",
    "dots1",
    "emu3",
    "exaone4",
    "exaone_moe",
    "falcon_h1",
    "flex_olmo",
    "fsmt",
    "fuyu",
    "glm",
    "glm4",
    "glm4_moe",
    "glm4_moe_lite",
    "glm4v",
    "glm4v_moe",
    "glm_moe_dsa",
    "gpt_neox",
    "gpt_oss",
    "gptj",
    "granite",
    "granitemoe",
    "granitemoehybrid",
    "granitemoeshared",
    "helium",
    "hunyuan_v1_dense",
    "hunyuan_v1_moe",
    "imagegpt",
    "internlm3",
    "jamba",
    "llama",
    "llama4",
    "llama4_text",
    "longcat_flash",
    "mamba2",
    "minimax",
    "minimax_m2",
    "ministral",
    "ministral3",
    "mistral",
    "mistral4",
    "mixtral",
    "mllama",
    "nemotron",
    "nemotron_h",
    "olmo",
    "olmo2",
    "olmo3",
    "olmo_hybrid",
    "olmoe",
    "persimmon",
    "phi",
    "phi3",
    "phimoe",
    "qwen2",
    "qwen2_5_vl",
    "qwen2_moe",
    "qwen2_vl",
    "qwen3",
    "qwen3_5",
    "qwen3_5_moe",
    "qwen3_5_moe_text",
    "qwen3_5_text",
    "qwen3_moe",
    "qwen3_next",
    "qwen3_vl",
    "qwen3_vl_moe",
    "rembert",
    "rwkv",
    "seed_oss",
    "solar_open",
    "stablelm",
    "xlstm",
};

// Types whose classes tie unless config.json says otherwise.
constexpr std::string_view kTiedTypes[] = {
    "albert",
    "bart",
    "bert",
    "big_bird",
    "bigbird_pegasus",
    "biogpt",
    "blenderbot",
    "blenderbot-small",
    "bloom",
    "camembert",
    "cohere",
    "cohere2",
    "cohere2_moe",
    "convbert",
    "ctrl",
    "data2vec-text",
    "deberta",
    "deberta-v2",
    "distilbert",
    "electra",
    "ernie",
    "ernie4_5",
    "ernie4_5_moe",
    "esm",
    "falcon",
    "falcon_mamba",
    "flaubert",
    "fnet",
    "funnel",
    "gemma",
    "gemma2",
    "gemma3",
    "gemma3_text",
    "gemma3n",
    "gemma3n_text",
    "gemma4",
    "gemma4_text",
    "gpt2",
    "gpt_bigcode",
    "gpt_neo",
    "ibert",
    "jetmoe",
    "layoutlm",
    "led",
    "lfm2",
    "lfm2_moe",
    "longformer",
    "longt5",
    "luke",
    "m2m_100",
    "mamba",
    "marian",
    "mbart",
    "megatron-bert",
    "minicpm3",
    "mobilebert",
    "modernbert",
    "modernbert-decoder",
    "moonshine",
    "mpnet",
    "mpt",
    "mvp",
    "nezha",
    "nllb-moe",
    "nystromformer",
    "openai-gpt",
    "opt",
    "paligemma",
    "pegasus",
    "pegasus_x",
    "plbart",
    "prophetnet",
    "recurrent_gemma",
    "roberta",
    "roberta-prelayernorm",
    "roformer",
    "smollm3",
    "speech_to_text",
    "squeezebert",
    "starcoder2",
    "switch_transformers",
    "t5",
    "t5gemma",
    "umt5",
    "vaultgemma",
    "whisper",
    "xglm",
    "xlm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xlnet",
    "xmod",
    "zamba",
    "zamba2",
};

using Names = std::map<std::string, const CheckpointTensor*, std::less<>>;

// Of a vision tower or of layers for multi-token prediction, which have embeddings and
// heads of their own.
bool IsApart(std::string_view name) {
  if (name.find("vision") != std::string_view::npos) return true;
  for (size_t begin = 0; begin < name.size();) {
    const size_t end = std::min(name.find('.', begin), name.size());
    const std::string_view component = name.substr(begin, end - begin);
    if (component == "visual" || component == "mtp" || component == "nextn") return true;
    begin = end + 1;
  }
  return false;
}

// What stands before `end` in `name`; nullopt where the name does not end so.
std::optional<std::string_view> Prefix(std::string_view name, std::string_view end) {
  if (!EndsInComponent(name, end)) return std::nullopt;
  return name.substr(0, name.size() - end.size());
}

// The one that stands out of embeddings that are called alike: the usual place,
// then the decoder's or the language model's.
std::string Preferred(const std::vector<std::string>& names) {
  if (names.size() == 1) return names[0];
  for (const std::string_view usual : {"model.embed_tokens.weight", "model.shared.weight"}) {
    if (std::find(names.begin(), names.end(), usual) != names.end()) return std::string(usual);
  }
  for (const std::string_view part : {"decoder.", "language_model.", "text_model."}) {
    std::string found;
    size_t count = 0;
    for (const std::string& name : names) {
      if (name.find(part) == std::string::npos) continue;
      found = name;
      ++count;
    }
    if (count == 1) return found;
  }
  return "";
}

// "a.b." -> "a.".
std::string_view Wider(std::string_view prefix) {
  prefix.remove_suffix(1);
  const size_t dot = prefix.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : prefix.substr(0, dot + 1);
}

// The embedding of that shape nearest to a head's prefix; null: of any shape.
std::string EmbeddingOf(const Names& names, std::string_view prefix, const Shape* shape) {
  for (std::string_view scope = prefix;; scope = Wider(scope)) {
    for (const std::string_view end : kEmbeddings) {
      std::vector<std::string> found;
      for (const auto& [name, tensor] : names) {
        if ((shape == nullptr || tensor->shape == *shape) && name.starts_with(scope) &&
            EndsInComponent(name, end) && !ParseLayer(name).has_value() && !IsApart(name)) {
          found.push_back(name);
        }
      }
      if (!found.empty()) return Preferred(found);
    }
    if (scope.empty()) return "";
  }
}

// The head that a generating model of such an embedding has; empty where the name
// tells of none.
std::string HeadOf(std::string_view embedding) {
  if (EndsInComponent(embedding, "embed_in.weight")) return "embed_out.weight";
  if (embedding.starts_with("language_model.model.")) return "language_model.lm_head.weight";
  for (const OddHead& odd : kOddHeads) {
    if (embedding == odd.embedding) return std::string(odd.head);
  }
  for (const std::string_view prefix : {"model.", "transformer.", "backbone."}) {
    if (embedding.starts_with(prefix)) return "lm_head.weight";
  }
  return "";
}

}  // namespace

std::vector<Tie> FindTies(const std::vector<const Checkpoint*>& models) {
  Names names;
  for (const Checkpoint* model : models) {
    for (const CheckpointTensor& tensor : model->tensors) names.try_emplace(tensor.name, &tensor);
  }
  std::vector<Tie> ties;
  const auto known = [&](std::string_view copy) {
    return std::any_of(ties.begin(), ties.end(), [&](const Tie& tie) { return tie.copy == copy; });
  };
  for (const auto& [name, tensor] : names) {
    if (ParseLayer(name).has_value() || IsApart(name)) continue;
    for (const Shared& shared : kShared) {
      const std::optional<std::string_view> prefix = Prefix(name, shared.copy);
      if (!prefix.has_value() || known(name)) continue;
      const auto kept = names.find(absl::StrCat(std::string(*prefix), std::string(shared.kept)));
      if (kept == names.end() || kept->second->shape != tensor->shape) continue;
      ties.push_back({kept->first, name, false});
    }
    for (const OddHead& odd : kOddHeads) {
      const auto kept = names.find(odd.embedding);
      if (name != odd.head || kept == names.end() || kept->second->shape != tensor->shape) continue;
      ties.push_back({kept->first, name, true});
    }
    for (const std::string_view head : kHeads) {
      const std::optional<std::string_view> prefix = Prefix(name, head);
      if (!prefix.has_value() || known(name)) continue;
      const std::string embedding = EmbeddingOf(names, *prefix, &tensor->shape);
      if (!embedding.empty()) ties.push_back({embedding, name, true});
    }
  }
  // A head may have been found to be tied to what is a copy itself.
  for (Tie& tie : ties) {
    for (const Tie& other : ties) {
      if (tie.kept == other.copy) tie.kept = other.kept;
    }
  }
  return ties;
}

bool IsInputEmbedding(std::string_view name) {
  return std::any_of(std::begin(kEmbeddings), std::end(kEmbeddings),
                     [&](std::string_view end) { return EndsInComponent(name, end); }) ||
         EndsInComponent(name, "token_embedding.weight");
}

bool IsOutputHead(std::string_view name) {
  return std::any_of(std::begin(kHeads), std::end(kHeads),
                     [&](std::string_view end) { return EndsInComponent(name, end); });
}

std::optional<bool> TiesByClass(std::string_view model_type) {
  if (std::find(std::begin(kTiedTypes), std::end(kTiedTypes), model_type) != std::end(kTiedTypes)) {
    return true;
  }
  if (std::find(std::begin(kUntiedTypes), std::end(kUntiedTypes), model_type) !=
      std::end(kUntiedTypes)) {
    return false;
  }
  return std::nullopt;
}

bool KeepsHeadApart(std::string_view model_type) { return model_type == "luke"; }

std::optional<Tie> ImpliedTie(const Checkpoint& model) {
  const ModelConfig& config = model.config;
  const bool generates = config.architecture.ends_with("ForCausalLM") ||
                         config.architecture.ends_with("LMHeadModel") ||
                         config.architecture.ends_with("ForConditionalGeneration");
  const bool ties = config.tie_stated ? config.tie_word_embeddings
                                      : TiesByClass(config.model_type).value_or(false);
  if (!generates || !ties) return std::nullopt;
  Names names;
  for (const CheckpointTensor& tensor : model.tensors) names.try_emplace(tensor.name, &tensor);
  const std::string embedding = EmbeddingOf(names, "", nullptr);
  const std::string head = HeadOf(embedding);
  if (head.empty() || names.contains(head)) return std::nullopt;
  return Tie{embedding, head, true};
}

}  // namespace merganser
