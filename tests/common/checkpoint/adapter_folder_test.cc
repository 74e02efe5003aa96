// Which folders are adapters.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/checkpoint/adapter.h"
#include "common/storage/forwarding_store.h"
#include "tests/common/checkpoint/adapted_model_fixture.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;

// A store that does not answer is no folder without an adapter: who asks would go on asking.
TEST_F(AdaptedModelTest, AStoreThatDoesNotAnswerIsAnError) {
  class Answers final : public ForwardingStore {
   public:
    Answers(std::shared_ptr<ObjectStore> inner, absl::Status status)
        : ForwardingStore(std::move(inner)), status_(std::move(status)) {}
    absl::StatusOr<std::optional<ObjectInfo>> Stat(std::string_view) override { return status_; }

   private:
    const absl::Status status_;
  };
  const auto inner = Stores().Open(stage_.Write("m", Base()));
  ASSERT_TRUE(inner.ok());
  Answers down(*inner, absl::UnavailableError("no answer")),
      denied(*inner, absl::PermissionDeniedError("403"));
  EXPECT_TRUE(absl::IsUnavailable(IsAdapterFolder(down).status()));
  EXPECT_FALSE(*IsAdapterFolder(denied));
}

TEST_F(AdaptedModelTest, FoldersOfAdapters) {
  const std::string uri = stage_.WriteAdapter("x", Pair(kQ, {2, 6}, {4, 2}),
                                              R"("base_model_name_or_path": "org/base")");
  const auto store = Stores().Open(uri);
  ASSERT_TRUE(store.ok());
  EXPECT_TRUE(*IsAdapterFolder(**store));
  EXPECT_EQ(*BaseNamedByAdapter(uri, "x", Stores()), "org/base");
  ASSERT_TRUE((*store)->Put("model.safetensors", "x").ok());
  EXPECT_FALSE(*IsAdapterFolder(**store));
  EXPECT_FALSE(*IsAdapterFolder(**Stores().Open(stage_.Write("m", Base()))));

  const std::string pickled = stage_.Write(
      "p", std::map<std::string, std::string>{{"adapter_config.json", R"({"peft_type": "LORA"})"},
                                              {"adapter_model.bin", "x"}});
  const absl::Status status = OpenAdapter(pickled, "p", Stores()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("save_pretrained(...)"));
  const std::string none = stage_.Write(
      "n", std::map<std::string, std::string>{{"adapter_config.json", R"({"peft_type": "LORA"})"}});
  EXPECT_EQ(OpenAdapter(none, "n", Stores()).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(OpenAdapter(stage_.Write("w", Base()), "w", Stores()).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(BaseNamedByAdapter(none, "n", Stores()).status().message()),
              HasSubstr("names no base"));
}

}  // namespace
}  // namespace merganser
