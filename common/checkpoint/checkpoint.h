// A checkpoint in Hugging Face layout over any store: headers and small files
// only, read by range. Tensor data is read by the worker.
#ifndef MERGANSER_COMMON_CHECKPOINT_CHECKPOINT_H_
#define MERGANSER_COMMON_CHECKPOINT_CHECKPOINT_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/checkpoint/adapter_origin.h"
#include "common/checkpoint/tensor_origin.h"
#include "common/format/safetensors.h"
#include "common/storage/object_store.h"
#include "common/storage/roots.h"
#include "common/storage/stores.h"
#include "common/tensor/dtype.h"
#include "common/tensor/view.h"

namespace merganser {

struct CheckpointShard {
  std::string key;  // "model-00001-of-00002.safetensors"
  ObjectInfo info;
  std::string header_digest;  // of prefix and JSON: part of the input's identity
  // Where the file is: 0 for the model's own folder, else places[place - 1] (an adapter's).
  uint32_t place = 0;
};

// A folder beside the model's own that some of its shards are in.
struct CheckpointPlace {
  std::string uri;    // resolved
  std::string given;  // as the user wrote it
  std::shared_ptr<ObjectStore> store;
};

// What the file has of a tensor that is stored block-scaled, under its own names.
struct BlockParts {
  SafetensorsSpec values, scales;
};

struct CheckpointTensor {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  uint32_t shard = 0;   // index into Checkpoint::shards
  uint64_t offset = 0;  // bytes from the start of the shard's file
  uint64_t size = 0;    // bytes
  // What the file calls it, or the tensor that it is a run of rows of, where a renaming gave
  // it another name here; else empty.
  std::string stored = {};
  // Where the elements are not what lies there: `dtype` is then the one that they are decoded to,
  // `shape` theirs, and these say what the file has. `offset` and `size` are of the file.
  std::optional<BlockScales> scales = {};
  std::optional<DType> coded = {};           // of the stored values, where `scales` is set
  std::optional<BlockParts> parts = {};      // the same
  std::optional<LowRankUpdate> update = {};  // added to them
};

// What config.json says, as far as merging cares.
struct ModelConfig {
  std::string text;  // the file, verbatim; empty if there is none
  std::string model_type;
  std::string architecture;          // first of `architectures`
  bool tie_word_embeddings = false;  // also from a nested text_config
  // Whether config.json says so itself; if not, the model's class decides.
  bool tie_stated = false;
  std::string quantization_method;             // empty if not quantised
  std::vector<std::string> quantization_keys;  // that say so, in their order
  // Rows and columns that one scale is for, of all kinds that it tells of.
  std::vector<std::pair<uint64_t, uint64_t>> quantised_blocks;
  // `scale_fmt: ue8m0`: scales are powers of two, also where they are stored as floats.
  bool scales_are_powers = false;
  std::optional<DType> dtype;  // `dtype` or `torch_dtype`, also from a nested text_config
  // The file with the weights, or their index, if `transformers_weights` names one.
  std::string weights_file;
  // IsLayerCount, also nested in text_config, else how many kinds are listed; and
  // `num_nextn_predict_layers`.
  std::optional<uint64_t> layers;
  uint64_t next_token_layers = 0;
  // `vocab_size`, also of nested configs (text_config and the like).
  std::vector<uint64_t> vocabularies;
};

// Whether `key` of config.json says how many layers there are: its name differs by model.
bool IsLayerCount(std::string_view key);

struct Checkpoint {
  std::string uri;    // resolved: absolute path, s3://..., or hf:// at a commit
  std::string given;  // as the user wrote it
  std::shared_ptr<ObjectStore> store;
  std::vector<CheckpointShard> shards;  // by file name; behind them those of other places
  std::vector<CheckpointPlace> places;
  std::vector<CheckpointTensor> tensors;  // by shard, then by offset: "the base's order"
  std::map<std::string, uint32_t, std::less<>> by_name;
  ModelConfig config;
  // Scales of activations and of the cache, which the quantised form alone uses.
  std::vector<CheckpointTensor> left_out;
  std::vector<std::string> warnings;    // one line each: other weights that were not taken
  std::vector<std::string> notes;       // the same, of what was done with adapters
  std::vector<AdapterOrigin> adapters;  // in the order in which they are added

  const CheckpointTensor* Find(std::string_view name) const;
  // The store that the shard is in.
  ObjectStore& StoreOf(uint32_t shard) const {
    const uint32_t place = shards[shard].place;
    return place == 0 ? *store : *places[place - 1].store;
  }
  std::string DescribeShard(uint32_t shard) const {
    return StoreOf(shard).Describe(shards[shard].key);
  }
};

// Whether a file of weights, or all of a checkpoint's, are in Mistral's own layout: consolidated
// .safetensors beside params.json, with names such as layers.0.attention.wq.weight. Programs that
// read it look for files of that name, and its index has another one.
inline constexpr char kConsolidatedFile[] = "consolidated.safetensors";
inline constexpr char kConsolidatedIndexFile[] = "consolidated.safetensors.index.json";
bool IsConsolidatedFile(std::string_view file);
bool IsConsolidated(const Checkpoint& checkpoint);

// Turns what a recipe or command line says into a URI: a path or URI is made
// absolute against `directory`; "org/name" that is not an existing folder is
// looked up in the local Hugging Face cache (HF_HUB_CACHE, HF_HOME, then
// ~/.cache/huggingface/hub; refs/main, else the only snapshot), and "org/name@REVISION" there by
// its branch, tag, pull request or commit. Nothing is
// downloaded: a miss is kNotFound and says which places were tried and how to
// fetch it, and that hf://org/name reads it from the hub.
// With `roots`, places outside of them are kPermissionDenied and not looked at: a
// folder there does not hide a repository of its name, and neither is told from
// one that is missing.
absl::StatusOr<std::string> ResolveModel(std::string_view model, std::string_view directory,
                                         const AllowedRoots& roots = {});

// Opens a checkpoint, of the files that transformers would load: those that
// `transformers_weights` of config.json names, else model.safetensors, else
// model.safetensors.index.json and its shards, else Mistral's consolidated*.safetensors, else the
// only other *.safetensors file; other weights beside them are a warning. The folder is never
// walked. Every header is checked (ParseSafetensorsHeader) and the index that was used is held
// against the shards: a tensor in another file than the index says, missing from it or from the
// file is kDataLoss. Tensors that are stored block-scaled (FP8, MXFP4) are those that they are
// decoded to (`scales`); their scales are none. kInvalidArgument with what to do instead: pickle
// files alone, checkpoints that are quantised in other ways, and weights that loading would apply
// to others (adapters beside or among the weights, weight norm and the like); no weights at all is
// kNotFound. `resolved_uri` comes from ResolveModel, `given` is kept for messages.
absl::StatusOr<Checkpoint> OpenCheckpoint(std::string_view resolved_uri, std::string_view given,
                                          const Stores& stores = {});

// A model of which no more than its small files is wanted: no weights are looked for. `uri`,
// `given` and `store` are set.
absl::StatusOr<Checkpoint> OpenSmallFiles(std::string_view resolved_uri, std::string_view given,
                                          const Stores& stores = {});

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_CHECKPOINT_H_
