// What manual pages tell that no flag does.
#include <array>

#include "coordinator/cli/manual.h"

namespace merganser::cli {
namespace {

// README.md of this folder has the same codes.
constexpr std::array<ManualEntry, 5> kExitCodes = {{
    {"0", "Done."},
    {"2",
     "The request is wrong (recipe, flags, inputs that do not fit together): it is not to be tried "
     "again as it is."},
    {"3", "It failed while running."},
    {"4",
     "It failed in a way that another try may mend: storage is gone, the disk is full, a rank or a "
     "coordinator is out of reach, the output is held by a run on another machine."},
    {"130", "Interrupted."},
}};

constexpr std::array<ManualEntry, 14> kVariables = {{
    {"MERGANSER_TOKEN",
     "The token to show to a coordinator, or of a coordinator that of its admin, where no "
     "--token-file is given."},
    {"MERGANSER_SIMD",
     "One of the instruction sets that --version lists, to compute with instead of the best; the "
     "bytes that come out are the same."},
    {"MERGANSER_HTTPS_TOKENS",
     "HOST=TOKEN or HOST:PORT=TOKEN, several with commas between them: for models at https://."},
    {"HF_TOKEN", "The token for models at hf://; else that of HF_TOKEN_PATH or $HF_HOME/token."},
    {"HF_TOKEN_PATH", "File of that token."},
    {"HF_HOME",
     "Folder of Hugging Face's files (default: $XDG_CACHE_HOME/huggingface, else "
     "~/.cache/huggingface)."},
    {"HF_HUB_CACHE",
     "Folder of the hub's cache, in which org/name is looked for (default: hub in HF_HOME)."},
    {"HF_ENDPOINT", "Address of the hub (default: https://huggingface.co)."},
    {"HF_HUB_OFFLINE", "1: models at hf:// are taken from the cache alone."},
    {"AWS_PROFILE",
     "The profile whose key and region buckets are opened with. This and the other AWS_ variables "
     "are taken as the AWS tools take them."},
    {"AWS_ENDPOINT_URL", "Address of a store that speaks S3, where it is not Amazon's."},
    {"SSL_CERT_FILE",
     "PEM of the authorities that sign web servers' certificates; also CURL_CA_BUNDLE."},
    {"https_proxy",
     "Proxy for models at https:// and hf:// and for buckets; no_proxy names hosts that need "
     "none."},
    {"XDG_RUNTIME_DIR",
     "Folder in which a coordinator without tokens leaves one for this user's clients (default: "
     "/tmp/merganser-UID)."},
}};

}  // namespace

std::span<const ManualEntry> ManualVariables() { return kVariables; }
std::span<const ManualEntry> ManualExitCodes() { return kExitCodes; }

}  // namespace merganser::cli
