#include "common/storage/file/file_store.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/storage/file/fd.h"
#include "common/storage/file/fd_cache.h"
#include "common/storage/file/leftovers.h"
#include "common/storage/file/listing.h"
#include "common/storage/file/partial_name.h"

namespace merganser {
namespace {

constexpr size_t kCachedFds = 64;  // for reading, and as many for writing

// The root with exactly one '/' at its end.
std::string RootOf(std::string_view root) {
  while (!root.empty() && root.back() == '/') root.remove_suffix(1);
  return std::string(root) + "/";
}

// The commit protocol stands in README.md; the numbers below are its steps.
class FileStore final : public ObjectStore {
 public:
  FileStore(std::string_view root, PlaceCheck check)
      : root_(RootOf(root)), check_(std::move(check)), readers_(kCachedFds), writers_(kCachedFds) {}

  StoreTraits traits() const override { return {}; }

  std::string Describe(std::string_view key) const override {
    if (key.empty()) return Shown(root_.size() == 1 ? root_ : root_.substr(0, root_.size() - 1));
    return Shown(PathOf(key));
  }

  absl::StatusOr<std::optional<ObjectInfo>> Stat(std::string_view key) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<struct stat> st, StatPath(PathOf(key)));
    if (!st || !S_ISREG(st->st_mode)) return std::optional<ObjectInfo>();
    return std::optional<ObjectInfo>(
        ObjectInfo{static_cast<uint64_t>(st->st_size), IdentityOf(*st)});
  }

  absl::Status Read(std::string_view key, uint64_t offset, std::span<std::byte> out,
                    std::string_view if_match) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    absl::Status read = ReadOnce(key, offset, out, if_match);
    // A share that was mounted anew leaves descriptors that never recover.
    if (absl::IsUnavailable(read) && readers_.Erase(PathOf(key))) {
      read = ReadOnce(key, offset, out, if_match);
    }
    // Whoever knows its identity has seen it: files that vanish in the middle of a merge do so with
    // the share that they are on, and come back.
    if (!absl::IsNotFound(read) || if_match.empty()) return read;
    return absl::UnavailableError(
        absl::StrCat(std::string(read.message()),
                     "; it was there when it was opened: was it removed, or is its storage gone?"));
  }

  absl::StatusOr<Listing> List(std::string_view prefix, const ListOptions& options) override {
    return ListFiles(root_, prefix, options);
  }

  absl::Status Put(std::string_view key, std::string_view bytes) override {
    const std::string path = PathOf(key);
    MERGANSER_RETURN_IF_ERROR(WriteAndPlace(key, path, bytes, [&](const std::string& temporary) {
      return ::rename(temporary.c_str(), path.c_str()) == 0 ? 0 : errno;
    }));
    readers_.Erase(path);
    sweep_.Beside(path);
    return SyncFolder(ParentOf(path));
  }

  absl::StatusOr<bool> PutIfAbsent(std::string_view key, std::string_view bytes) override {
    const std::string path = PathOf(key);
    MERGANSER_RETURN_IF_ERROR(ValidateNewKey(key));
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<struct stat> there, StatPath(path));
    if (there) return false;  // saves writing; link decides
    const absl::Status placed = WriteAndPlace(key, path, bytes, [&](const std::string& temporary) {
      int error_number = ::link(temporary.c_str(), path.c_str()) == 0 ? 0 : errno;
      if (error_number == EEXIST && LinkCount(temporary) == 2) {
        error_number = 0;  // NFS: the link was made and only its answer was lost
      }
#ifdef RENAME_NOREPLACE
      if (error_number == EPERM || error_number == EOPNOTSUPP || error_number == ENOSYS) {
        // A file system without hard links.
        const int rc =
            ::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE);
        error_number = rc == 0 ? 0 : errno;
      }
#endif
      ::unlink(temporary.c_str());
      return error_number;
    });
    if (absl::IsAlreadyExists(placed)) return false;
    MERGANSER_RETURN_IF_ERROR(placed);
    MERGANSER_RETURN_IF_ERROR(SyncFolder(ParentOf(path)));
    return true;
  }

  absl::Status Delete(std::string_view key, std::string_view if_match) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    const std::string path = PathOf(key);
    if (!if_match.empty()) {
      MERGANSER_ASSIGN_OR_RETURN(const std::optional<struct stat> there, StatPath(path));
      if (there && IdentityOf(*there) != if_match) return absl::OkStatus();
    }
    MERGANSER_ASSIGN_OR_RETURN(const bool removed, Unlink(path));
    readers_.Erase(path);
    if (removed) MERGANSER_RETURN_IF_ERROR(SyncFolder(ParentOf(path)));
    sweep_.Beside(path);
    PruneHiddenFolders(root_, key);
    return absl::OkStatus();
  }

  absl::StatusOr<PlannedWrite> BeginWrite(const WriteLayout& layout,
                                          std::string_view writer) override {
    const std::string& key = layout.key;
    MERGANSER_RETURN_IF_ERROR(ValidateNewKey(key));
    MERGANSER_RETURN_IF_ERROR(ValidateWriter(writer, Describe(key)));
    PlannedWrite write{key, layout.size, std::string(writer)};
    const std::string path = PathOf(key);
    const std::string partial = PartialPath(path, writer);
    MERGANSER_RETURN_IF_ERROR(Annotate(MakeFolders(ParentOf(path)), Describe(key)));
    MERGANSER_RETURN_IF_ERROR(Unlink(partial).status());
    writers_.Erase(partial);
    absl::StatusOr<std::shared_ptr<Fd>> fd = CreateFile(key, partial, O_WRONLY | O_NOFOLLOW);
    if (!fd.ok()) return Annotate(fd.status(), Describe(key));
    if (const absl::Status reserved = ReserveSpace(**fd, layout.size, partial); !reserved.ok()) {
      ::unlink(partial.c_str());
      return Annotate(reserved, Describe(key));
    }
    // Whoever resumes after a loss of power finds it by its name.
    MERGANSER_RETURN_IF_ERROR(SyncFolder(ParentOf(partial)));
    return write;
  }

  absl::StatusOr<WriteReceipt> WriteRange(const PlannedWrite& write, uint64_t offset,
                                          std::span<const std::byte> bytes) override {
    MERGANSER_ASSIGN_OR_RETURN(const std::string partial, PartialOf(write));
    if (offset > write.size || bytes.size() > write.size - offset) {
      return absl::InvalidArgumentError(
          absl::StrCat(Describe(write.key), ": a write of ", bytes.size(), " bytes at offset ",
                       offset, " goes beyond the planned size of ", write.size, " bytes"));
    }
    MERGANSER_ASSIGN_OR_RETURN(const std::shared_ptr<Fd> fd,
                               OpenPartial(write, partial, FdCache::Use::kWrite));
    MERGANSER_RETURN_IF_ERROR(Annotate(WriteAt(*fd, offset, bytes, partial), Describe(write.key)));
    StartWriteBack(*fd, offset, bytes.size());
    if (fd->flush_failed()) {
      return absl::UnavailableError(
          absl::StrCat(Describe(write.key), ": flushing ", OneLine(partial),
                       " failed while it was written to: the bytes must be written again"));
    }
    // Bytes that went into a file which was dropped meanwhile earn no receipt.
    MERGANSER_ASSIGN_OR_RETURN(const bool current, LeadsTo(partial, *fd));
    if (!current) return Gone(write, partial);
    return WriteReceipt{offset, bytes.size(), ""};
  }

  absl::Status FlushWrite(const PlannedWrite& write) override {
    MERGANSER_ASSIGN_OR_RETURN(const std::string partial, PartialOf(write));
    MERGANSER_ASSIGN_OR_RETURN(const std::shared_ptr<Fd> fd,
                               OpenPartial(write, partial, FdCache::Use::kRead));
    writers_.MarkFlushed(fd);
    const absl::Status flushed = SyncFileData(*fd, partial);
    if (!flushed.ok()) {
      fd->NoteFailedFlush();
      writers_.EraseIf(partial, fd);
    }
    return Annotate(flushed, Describe(write.key));
  }

  absl::StatusOr<std::vector<size_t>> LostPieces(const PlannedWrite&,
                                                 std::span<const WriteReceipt>) override {
    return std::vector<size_t>();
  }

  absl::StatusOr<bool> Stands(const PlannedWrite& write) override {
    MERGANSER_ASSIGN_OR_RETURN(const std::string partial, PartialOf(write));
    const absl::StatusOr<std::shared_ptr<Fd>> fd = OpenPartial(write, partial, FdCache::Use::kRead);
    if (absl::IsNotFound(fd.status())) return false;
    if (!fd.ok()) return fd.status();
    return true;
  }

  absl::Status CommitWrite(const PlannedWrite& write,
                           std::span<const WriteReceipt> receipts) override {
    MERGANSER_ASSIGN_OR_RETURN(const std::string partial, PartialOf(write));
    const std::string path = PathOf(write.key);
    MERGANSER_RETURN_IF_ERROR(CheckCoverage(receipts, write.size, Describe(write.key)));  // 4
    MERGANSER_ASSIGN_OR_RETURN(const std::shared_ptr<Fd> fd,
                               OpenPartial(write, partial, FdCache::Use::kRead));
    MERGANSER_RETURN_IF_ERROR(Annotate(SyncFile(*fd, partial), Describe(write.key)));  // 5
    if (::rename(partial.c_str(), path.c_str()) != 0) {                                // 6
      if (errno == ENOENT) return Gone(write, partial);
      return ErrnoStatus(errno, absl::StrCat("rename ", partial, " to ", path));
    }
    writers_.Erase(partial);
    readers_.Erase(path);
    return SyncFolder(ParentOf(path));  // 7
  }

  absl::Status AbortWrite(const PlannedWrite& write) override {
    MERGANSER_ASSIGN_OR_RETURN(const std::string partial, PartialOf(write));
    writers_.Erase(partial);
    return Unlink(partial).status();
  }

  // A write is named by its writer.
  absl::Status AbortWritesOf(std::string_view key, std::string_view writer,
                             std::optional<WallTime>) override {
    return AbortWrite({std::string(key), 0, std::string(writer)});
  }

 private:
  std::string PathOf(std::string_view key) const { return root_ + std::string(key); }

  // Also refuses names that List would hide.
  absl::Status ValidateNewKey(std::string_view key) const {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    if (!IsPartialName(key.substr(key.rfind('/') + 1))) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(Describe(key),
                     ": names of the form \".*.partial\" are kept for unfinished "
                     "files; choose another"));
  }

  absl::StatusOr<std::string> PartialOf(const PlannedWrite& write) const {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(write.key));
    MERGANSER_RETURN_IF_ERROR(ValidateWriter(write.upload, Describe(write.key)));
    return PartialPath(PathOf(write.key), write.upload);
  }

  absl::Status ReadOnce(std::string_view key, uint64_t offset, std::span<std::byte> out,
                        std::string_view if_match) {
    const std::string path = PathOf(key);
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<struct stat> at_path, StatPath(path));
    // Before open: opening a pipe would wait for its other end.
    if (!at_path || !S_ISREG(at_path->st_mode)) return Missing(key);
    MERGANSER_RETURN_IF_ERROR(CheckIdentity(key, *at_path, if_match));
    MERGANSER_ASSIGN_OR_RETURN(
        const std::shared_ptr<Fd> fd,
        CurrentFd(readers_, FdCache::Use::kRead, path, O_RDONLY | O_NONBLOCK));
    MERGANSER_ASSIGN_OR_RETURN(const struct stat before, StatFd(*fd, path));
    MERGANSER_RETURN_IF_ERROR(CheckIdentity(key, before, if_match));
    const auto size = static_cast<uint64_t>(before.st_size);
    if (offset > size || out.size() > size - offset) return PastEnd(key, offset, out, size);

    MERGANSER_ASSIGN_OR_RETURN(const size_t got, ReadAt(*fd, offset, out, path));
    if (got < out.size()) return PastEnd(key, offset, out, offset + got);
    if (if_match.empty()) return absl::OkStatus();
    MERGANSER_ASSIGN_OR_RETURN(const struct stat after, StatFd(*fd, path));
    MERGANSER_RETURN_IF_ERROR(CheckIdentity(key, after, if_match));
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<struct stat> at_path_after, StatPath(path));
    if (!at_path_after) return Missing(key);
    return CheckIdentity(key, *at_path_after, if_match);
  }

  absl::Status Missing(std::string_view key) const {
    return absl::NotFoundError(absl::StrCat(Describe(key), ": no such file"));
  }

  absl::Status Gone(const PlannedWrite& write, const std::string& partial) const {
    return absl::NotFoundError(absl::StrCat(
        Describe(write.key), ": the partial file ", OneLine(partial), " of ", write.size,
        " bytes is not there: the write was committed, aborted, begun anew or never begun"));
  }

  absl::Status PastEnd(std::string_view key, uint64_t offset, std::span<std::byte> out,
                       uint64_t size) const {
    return absl::DataLossError(absl::StrCat(Describe(key), ": ", out.size(),
                                            " bytes wanted from offset ", offset,
                                            ", but the file has ", size, " bytes"));
  }

  absl::Status CheckIdentity(std::string_view key, const struct stat& st,
                             std::string_view if_match) const {
    if (if_match.empty()) return absl::OkStatus();
    const std::string found = IdentityOf(st);
    if (found == if_match) return absl::OkStatus();
    return absl::DataLossError(
        absl::StrCat(Describe(key), ": the file changed since it was opened: found ", found,
                     ", expected ", OneLine(if_match), " (size, modification time, inode)"));
  }

  static uint64_t LinkCount(const std::string& path) {
    struct stat st;
    return ::stat(path.c_str(), &st) == 0 ? static_cast<uint64_t>(st.st_nlink) : 0;
  }

  // Whether `path` still leads to the file of `fd`.
  static absl::StatusOr<bool> LeadsTo(const std::string& path, const Fd& fd) {
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<struct stat> at_path, StatPath(path));
    if (!at_path) return false;
    MERGANSER_ASSIGN_OR_RETURN(const struct stat open, StatFd(fd, path));
    return SameFile(*at_path, open);
  }

  // A descriptor, cached or new, of the file that is at `path` now.
  absl::StatusOr<std::shared_ptr<Fd>> CurrentFd(FdCache& cache, FdCache::Use use,
                                                const std::string& path, int flags) {
    for (;;) {
      if (std::shared_ptr<Fd> cached = cache.Get(path, use); cached != nullptr) {
        // One that cannot even be asked is of a mount that is gone.
        const absl::StatusOr<bool> current = LeadsTo(path, *cached);
        if (current.ok() && *current) return cached;
        cache.EraseIf(path, cached);
      }
      MERGANSER_ASSIGN_OR_RETURN(const std::shared_ptr<Fd> opened, Open(path, flags));
      // Another thread's descriptor may be of an older file: look again.
      if (cache.Insert(path, opened, use) == opened) return opened;
    }
  }

  // OpenFile, and asks where the file lies: of what is open no link can change that any more.
  absl::StatusOr<std::shared_ptr<Fd>> Open(const std::string& path, int flags) const {
    MERGANSER_ASSIGN_OR_RETURN(std::shared_ptr<Fd> fd, OpenFile(path, flags));
    if (check_ == nullptr) return fd;
    MERGANSER_ASSIGN_OR_RETURN(const std::string place, PlaceOf(*fd, path));
    absl::Status allowed = check_(place);
    if (allowed.ok()) return fd;
    if ((flags & O_CREAT) != 0) ::unlink(place.c_str());
    return allowed;
  }

  // kUnavailable where what was written through the cached descriptor since the last flush can no
  // longer be flushed, because the path leads elsewhere now: to the same file on a share that was
  // mounted anew, say. Whoever flushes is told so once; then the file is opened anew.
  absl::Status CheckUnflushed(const PlannedWrite& write, const std::string& partial,
                              FdCache::Use use) {
    std::shared_ptr<Fd> fd = writers_.GetUnflushed(partial);
    if (fd == nullptr) return absl::OkStatus();
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<struct stat> at_path, StatPath(partial));
    if (!at_path) return Gone(write, partial);
    const absl::StatusOr<struct stat> open = StatFd(*fd, partial);
    if (open.ok() && SameFile(*at_path, *open)) return absl::OkStatus();
    if (use == FdCache::Use::kRead) writers_.EraseIf(partial, fd);
    return absl::UnavailableError(absl::StrCat(
        Describe(write.key), ": the partial file ", OneLine(partial),
        " is another than it was, or its storage was mounted anew: what was written to it since "
        "the last flush may be lost and must be written again"));
  }

  // Never with O_CREAT: a write that is over stays over.
  absl::StatusOr<std::shared_ptr<Fd>> OpenPartial(const PlannedWrite& write,
                                                  const std::string& partial, FdCache::Use use) {
    MERGANSER_RETURN_IF_ERROR(CheckUnflushed(write, partial, use));
    absl::StatusOr<std::shared_ptr<Fd>> fd =
        CurrentFd(writers_, use, partial, O_WRONLY | O_NOFOLLOW | O_NONBLOCK);
    if (absl::IsNotFound(fd.status())) return Gone(write, partial);
    if (!fd.ok()) return Annotate(fd.status(), Describe(write.key));
    MERGANSER_ASSIGN_OR_RETURN(const struct stat st, StatFd(**fd, partial));
    if (static_cast<uint64_t>(st.st_size) != write.size) return Gone(write, partial);
    return fd;
  }

  // False if there was no file.
  static absl::StatusOr<bool> Unlink(const std::string& path) {
    if (::unlink(path.c_str()) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR || errno == EISDIR) return false;
    return ErrnoStatus(errno, absl::StrCat("unlink ", path));
  }

  // Writes `bytes` to a temporary file and has `place`, which returns an errno,
  // make it `path`. Again, if another call swept the file away meanwhile.
  template <typename Place>
  absl::Status WriteAndPlace(std::string_view key, const std::string& path, std::string_view bytes,
                             const Place& place) {
    constexpr int kTries = 10;
    for (int attempt = 1;; ++attempt) {
      MERGANSER_ASSIGN_OR_RETURN(const std::string temporary, WriteTemporary(key, path, bytes));
      const int error_number = place(temporary);
      if (error_number == 0) return absl::OkStatus();
      ::unlink(temporary.c_str());
      if (error_number == ENOENT && attempt < kTries) continue;
      if (error_number == EEXIST) return absl::AlreadyExistsError(Describe(key));
      return ErrnoStatus(error_number, absl::StrCat("place ", temporary, " at ", path));
    }
  }

  // Opens a new file, and makes its folders where need be: again, when another
  // process pruned them between the two.
  absl::StatusOr<std::shared_ptr<Fd>> CreateFile(std::string_view key, const std::string& path,
                                                 int flags) {
    constexpr int kTries = 100;
    for (int attempt = 1;; ++attempt) {
      MERGANSER_RETURN_IF_ERROR(Annotate(MakeFolders(ParentOf(path)), Describe(key)));
      absl::StatusOr<std::shared_ptr<Fd>> fd = Open(path, flags | O_CREAT | O_EXCL);
      if (fd.ok() || !absl::IsNotFound(fd.status()) || attempt == kTries) return fd;
    }
  }

  // A new hidden file beside `path` that holds `bytes` durably.
  absl::StatusOr<std::string> WriteTemporary(std::string_view key, const std::string& path,
                                             std::string_view bytes) {
    MERGANSER_RETURN_IF_ERROR(ValidateNewKey(key));
    std::string temporary = TemporaryPath(path);
    MERGANSER_ASSIGN_OR_RETURN(const std::shared_ptr<Fd> fd, CreateFile(key, temporary, O_WRONLY));
    absl::Status written = WriteAt(*fd, 0, std::as_bytes(std::span(bytes)), temporary);
    if (written.ok()) written = SyncFile(*fd, temporary);
    if (written.ok()) return temporary;
    ::unlink(temporary.c_str());
    return Annotate(written, Describe(key));
  }

  const std::string root_;
  const PlaceCheck check_;
  FdCache readers_;
  FdCache writers_;
  TemporarySweep sweep_;
};

}  // namespace

std::shared_ptr<ObjectStore> MakeFileStore(std::string_view root, PlaceCheck check) {
  return std::make_shared<FileStore>(root, std::move(check));
}

}  // namespace merganser
