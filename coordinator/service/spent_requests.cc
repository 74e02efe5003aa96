#include "coordinator/service/spent_requests.h"

namespace merganser {

void SpentRequests::Drop(const std::string& request_id) {
  const auto it = by_id_.find(request_id);
  if (it == by_id_.end()) return;
  const auto owner = by_owner_.find(it->second.owner);
  owner->second.erase({it->second.ended_after, request_id});
  if (owner->second.empty()) by_owner_.erase(owner);
  by_id_.erase(it);
}

void SpentRequests::Add(SpentRequest request) {
  Drop(request.request_id);
  std::string id = request.request_id;
  const SpentRequest& kept = by_id_.emplace(std::move(id), std::move(request)).first->second;
  by_owner_[kept.owner][{kept.ended_after, kept.request_id}] = &kept;
}

const SpentRequest* SpentRequests::Find(const std::string& request_id) const {
  const auto it = by_id_.find(request_id);
  return it == by_id_.end() ? nullptr : &it->second;
}

std::vector<std::string> SpentRequests::Trim(Duration served, Duration age) {
  std::vector<std::string> dropped;
  for (const auto& [owner, order] : by_owner_) {
    size_t left = order.size();
    for (const auto& [key, request] : order) {
      const bool old = age > Duration::zero() && served - request->ended_after > age;
      if (!old && left <= most_) break;  // those behind it are younger
      dropped.push_back(request->request_id);
      --left;
    }
  }
  for (const std::string& id : dropped) Drop(id);
  return dropped;
}

}  // namespace merganser
