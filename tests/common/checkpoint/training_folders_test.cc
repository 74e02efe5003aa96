// Folders that trainers, caches and other programs leave: told by name, with what to do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/checkpoint.h"
#include "tests/common/checkpoint/stage.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Files = std::map<std::string, std::string>;

class TrainingFolders : public ::testing::TestWithParam<bool> {
 protected:
  std::string Said(const Files& files) {
    uri_ = stage_.Write(absl::StrCat("m", ++count_), files);
    const auto opened = OpenCheckpoint(uri_, "given");
    EXPECT_FALSE(opened.ok());
    EXPECT_EQ(opened.status().code(), absl::StatusCode::kInvalidArgument) << opened.status();
    const std::string text(opened.status().message());
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
    return text;
  }
  // A small model below `prefix`.
  static Files Model(const std::string& prefix, Files files = {}) {
    TinyCheckpoint tiny;
    tiny.tensors = {{"a", DType::kBF16, {2, 2}}};
    const Files made = *TinyFiles(tiny);
    for (const auto& [name, content] : made) files[prefix + name] = content;
    return files;
  }

  Stage stage_{GetParam()};
  int count_ = 0;
  std::string uri_;
};

TEST_P(TrainingFolders, VerlsShardsNameItsMerger) {
  const Files shards = {{"model_world_size_2_rank_0.pt", "x"},
                        {"model_world_size_2_rank_1.pt", "x"},
                        {"optim_world_size_2_rank_0.pt", "x"},
                        {"huggingface/config.json", "{}"}};
  EXPECT_THAT(
      Said(shards),
      AllOf(HasSubstr("found FSDP shards as verl leaves them ('model_world_size_2_rank_0.pt'"),
            HasSubstr("python -m verl.model_merger merge --backend fsdp --local_dir"),
            HasSubstr("--target_dir"), Not(HasSubstr("save_pretrained"))));
  EXPECT_THAT(Said(Model("huggingface/", shards)),
              HasSubstr("/huggingface, which has safetensors"));
  EXPECT_THAT(Said({{"dist_ckpt/common.pt", "x"}, {"huggingface/config.json", "{}"}}),
              HasSubstr("--backend megatron"));
}

TEST_P(TrainingFolders, ARunIsLookedIntoDownToTheNewestPolicy) {
  const std::string said = Said({{"latest_checkpointed_iteration.txt", "20"},
                                 {"global_step_9/actor/model_world_size_1_rank_0.pt", "x"},
                                 {"global_step_20/actor/model_world_size_1_rank_0.pt", "x"},
                                 {"global_step_20/data.pt", "x"}});
  EXPECT_THAT(said, AllOf(HasSubstr("in global_step_20/: in actor/: found FSDP shards"),
                          HasSubstr("/global_step_20/actor")));
}

TEST_P(TrainingFolders, DeepSpeedNamesItsScript) {
  EXPECT_THAT(Said({{"latest", "global_step1"},
                    {"zero_to_fp32.py", "x"},
                    {"global_step1/mp_rank_00_model_states.pt", "x"}}),
              AllOf(HasSubstr("DeepSpeed"), HasSubstr("/zero_to_fp32.py"),
                    HasSubstr("OUT --safe_serialization"), HasSubstr("config.json")));
  EXPECT_THAT(Said({{"latest", "global_step1"}, {"global_step1/x_model_states.pt", "x"}}),
              HasSubstr("-m deepspeed.utils.zero_to_fp32"));
  EXPECT_THAT(Said({{"bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt", "x"},
                    {"mp_rank_00_model_states.pt", "x"}}),
              AllOf(HasSubstr("DeepSpeed"), HasSubstr("/.. OUT")));
}

TEST_P(TrainingFolders, ShardedStatesNameTheProgramsThatPutThemTogether) {
  EXPECT_THAT(Said({{"pytorch_model_fsdp_0/__0_0.distcp", "x"},
                    {"pytorch_model_fsdp_0/.metadata", "x"},
                    {"optimizer_0/__0_0.distcp", "x"}}),
              AllOf(HasSubstr("accelerate merge-weights"), HasSubstr("/pytorch_model_fsdp_0"),
                    HasSubstr("dcp_to_torch")));
  EXPECT_THAT(Said({{"__0_0.distcp", "x"}, {"__1_0.distcp", "x"}, {".metadata", "x"}}),
              AllOf(HasSubstr("'__0_0.distcp'"), HasSubstr("accelerate merge-weights")));
  EXPECT_THAT(Said({{"__0_0.distcp", "x"}, {"common.pt", "x"}, {"metadata.json", "{}"}}),
              AllOf(HasSubstr("Megatron"), HasSubstr("export_ckpt")));
  EXPECT_THAT(Said({{"iter_0000100/mp_rank_00/model_optim_rng.pt", "x"},
                    {"latest_checkpointed_iteration.txt", "100"}}),
              AllOf(HasSubstr("in iter_0000100/"), HasSubstr("Megatron")));
  EXPECT_THAT(Said({{"pytorch_model_fsdp_rank0.bin", "x"}, {"pytorch_model_fsdp_rank1.bin", "x"}}),
              AllOf(HasSubstr("one for each rank"), HasSubstr("save_pretrained")));
}

TEST_P(TrainingFolders, TheNewestCheckpointThatHasWeightsIsNamed) {
  Files run = Model("checkpoint-90/", Model("checkpoint-200/"));
  run["trainer_state.json"] = "{}";
  EXPECT_THAT(Said(run), AllOf(HasSubstr("/checkpoint-200, the newest of 2"),
                               Not(HasSubstr("that has weights"))));
  run["checkpoint-1000/trainer_state.json"] = "{}";
  EXPECT_THAT(Said(run), HasSubstr("/checkpoint-200, the newest of 3 that has weights"));
  const std::string one = Said(Model("checkpoint-5/"));
  EXPECT_THAT(one, HasSubstr("name " + uri_ + "/checkpoint-5"));
  EXPECT_THAT(
      Said({{"checkpoint-5/adapter_model.safetensors", "x"},
            {"checkpoint-5/adapter_config.json", "{}"}}),
      AllOf(HasSubstr("in checkpoint-5/: found only an adapter"), HasSubstr("merge_and_unload")));
}

TEST_P(TrainingFolders, ARepositoryOfTheCachePointsAtItsSnapshot) {
  EXPECT_THAT(Said(Model("snapshots/abc/", {{"blobs/x", "x"}})),
              AllOf(HasSubstr("/snapshots/abc"), HasSubstr("org/name")));
  EXPECT_THAT(Said(Model("models--org--name/snapshots/abc/")),
              AllOf(HasSubstr("cache of the Hugging Face hub"), HasSubstr("'org/name'")));
  // The commit of main counts where there are several.
  EXPECT_THAT(Said(Model("snapshots/aaa/", Model("snapshots/bbb/", {{"refs/main", "bbb"}}))),
              HasSubstr("/snapshots/bbb (one of 2)"));
}

TEST_P(TrainingFolders, AFolderBelowThatHasTheModelIsNamed) {
  EXPECT_THAT(Said(Model("pytorch_model/", {{"README.md", ""}})),
              AllOf(HasSubstr("a folder in it has"), HasSubstr("/pytorch_model")));
  EXPECT_THAT(Said(Model("text_encoder/", {{"model_index.json", "{}"}})),
              AllOf(HasSubstr("pipeline of several models"), HasSubstr("/text_encoder")));
}

TEST_P(TrainingFolders, OtherFormatsSayWhatConvertsThem) {
  EXPECT_THAT(Said({{"tf_model.h5", "x"}}), HasSubstr("from_tf=True"));
  EXPECT_THAT(Said({{"flax_model.msgpack", "x"}}), HasSubstr("from_flax=True"));
  EXPECT_THAT(Said({{"consolidated.00.pth", "x"}, {"params.json", "{}"}}),
              HasSubstr("convert_llama_weights_to_hf.py"));
  EXPECT_THAT(Said({{"model.nemo", "x"}}), HasSubstr("another format ('model.nemo')"));
}

INSTANTIATE_TEST_SUITE_P(MemoryAndDisk, TrainingFolders, ::testing::Bool());

TEST(GitLfs, PointersAreToldInTheirPlaces) {
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:" + std::string(64, '0') +
      "\nsize 1234\n";
  Stage stage(true);
  int count = 0;
  const auto said = [&](const Files& files) {
    const auto opened = OpenCheckpoint(stage.Write(absl::StrCat("m", ++count), files), "given");
    EXPECT_EQ(opened.status().code(), absl::StatusCode::kDataLoss) << opened.status();
    return std::string(opened.status().message());
  };
  EXPECT_THAT(said({{"model.safetensors", pointer}}),
              AllOf(HasSubstr("model.safetensors"), HasSubstr("git lfs pull")));
  EXPECT_THAT(said({{"model.safetensors", "x"}, {"config.json", pointer}}),
              AllOf(HasSubstr("config.json"), HasSubstr("git lfs pull")));
  EXPECT_THAT(said({{"model.safetensors.index.json", pointer}}),
              AllOf(HasSubstr("index.json"), HasSubstr("git lfs pull")));
}

}  // namespace
}  // namespace merganser
