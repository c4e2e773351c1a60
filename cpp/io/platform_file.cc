#include "platform_file.h"

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <system_error>
#include <utility>
#include <vector>

#include "onnxforge/base/error.h"

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <fcntl.h>
#include <io.h>
#include <share.h>
#include <sys/stat.h>
#include <windows.h>
#else
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace onnxforge::io {
namespace {

[[noreturn]] void FailIo(const char* what, const std::filesystem::path& path, const std::string& why) {
  Fail(ErrorCode::kIo, what, " '", PathToUtf8(path), "': ", why);
}

std::string ErrnoText() { return std::generic_category().message(errno); }

/// Names that two writers at once, in one process or several, do not share.
std::filesystem::path TemporaryName(const std::filesystem::path& target) {
  static std::atomic<unsigned> counter{0};
#ifdef _WIN32
  const unsigned long process = GetCurrentProcessId();
#else
  const auto process = static_cast<unsigned long>(getpid());
#endif
  const std::string name = StrCat(".", PathToUtf8(target.filename()), ".", process, ".", ++counter, ".tmp");
  return target.parent_path() / PathFromUtf8(name);
}

}  // namespace

std::filesystem::path PathFromUtf8(const std::string& path) { return std::filesystem::u8path(path); }

std::string PathToUtf8(const std::filesystem::path& path) { return path.u8string(); }

#ifdef _WIN32

namespace {
std::string SystemText() { return std::system_category().message(static_cast<int>(GetLastError())); }

/// Closes a handle when a step after the opening fails.
struct Handle {
  HANDLE value;
  explicit Handle(HANDLE h) : value(h) {}
  ~Handle() {
    if (value != nullptr && value != INVALID_HANDLE_VALUE) CloseHandle(value);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
};
}  // namespace

std::shared_ptr<const FileMapping> FileMapping::Open(const std::filesystem::path& path) {
  // Sharing deletion lets another writer rename a new file over this one while it is mapped.
  const Handle file(CreateFileW(path.c_str(), GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE, nullptr, OPEN_EXISTING,
                                FILE_ATTRIBUTE_NORMAL, nullptr));
  if (file.value == INVALID_HANDLE_VALUE) FailIo("cannot open", path, SystemText());
  LARGE_INTEGER size;
  if (GetFileType(file.value) != FILE_TYPE_DISK || !GetFileSizeEx(file.value, &size)) {
    FailIo("cannot map", path, "it is not a regular file");
  }
  if (size.QuadPart == 0) return std::shared_ptr<const FileMapping>(new FileMapping(nullptr, 0));
  const Handle mapping(CreateFileMappingW(file.value, nullptr, PAGE_READONLY, 0, 0, nullptr));
  if (mapping.value == nullptr) FailIo("cannot map", path, SystemText());
  // The view keeps the mapping alive after its handle is closed.
  const void* view = MapViewOfFile(mapping.value, FILE_MAP_READ, 0, 0, 0);
  if (view == nullptr) FailIo("cannot map", path, SystemText());
  return std::shared_ptr<const FileMapping>(
      new FileMapping(static_cast<const unsigned char*>(view), static_cast<size_t>(size.QuadPart)));
}

FileMapping::~FileMapping() {
  if (data_ != nullptr) UnmapViewOfFile(data_);
}

std::shared_ptr<const FileReader> FileReader::Open(const std::filesystem::path& path) {
  HANDLE file = CreateFileW(path.c_str(), GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, nullptr,
                            OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr);
  if (file == INVALID_HANDLE_VALUE) FailIo("cannot open", path, SystemText());
  return std::shared_ptr<const FileReader>(new FileReader(path, reinterpret_cast<intptr_t>(file)));
}

FileReader::~FileReader() { CloseHandle(reinterpret_cast<HANDLE>(handle_)); }

uint64_t FileReader::Size() const {
  LARGE_INTEGER size;
  if (!GetFileSizeEx(reinterpret_cast<HANDLE>(handle_), &size)) FailIo("cannot read", path_, SystemText());
  return static_cast<uint64_t>(size.QuadPart);
}

size_t FileReader::Read(uint64_t offset, void* to, size_t size) const {
  constexpr size_t kMost = size_t{1} << 30;
  size_t done = 0;
  while (done < size) {
    OVERLAPPED place{};
    place.Offset = static_cast<DWORD>(offset + done);
    place.OffsetHigh = static_cast<DWORD>((offset + done) >> 32);
    DWORD read = 0;
    const BOOL ok = ReadFile(reinterpret_cast<HANDLE>(handle_), static_cast<char*>(to) + done,
                             static_cast<DWORD>(size - done < kMost ? size - done : kMost), &read, &place);
    if (!ok && GetLastError() != ERROR_HANDLE_EOF) FailIo("cannot read", path_, SystemText());
    if (!ok || read == 0) break;
    done += read;
  }
  return done;
}

namespace {
FILE* OpenNew(const std::filesystem::path& path) {
  int fd = -1;
  if (_wsopen_s(&fd, path.c_str(), _O_CREAT | _O_EXCL | _O_WRONLY | _O_BINARY, _SH_DENYRW, _S_IREAD | _S_IWRITE) != 0) {
    return nullptr;
  }
  return _fdopen(fd, "wb");
}

bool Sync(FILE* file) { return _commit(_fileno(file)) == 0; }

void Rename(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (!MoveFileExW(from.c_str(), to.c_str(), MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH)) {
    FailIo("cannot replace", to, SystemText());
  }
}
}  // namespace

#else

namespace {
struct Descriptor {
  int value;
  explicit Descriptor(int fd) : value(fd) {}
  ~Descriptor() {
    if (value >= 0) close(value);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
};
}  // namespace

std::shared_ptr<const FileMapping> FileMapping::Open(const std::filesystem::path& path) {
  // Without O_NONBLOCK a named pipe would wait here for a writer.
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.value < 0) FailIo("cannot open", path, ErrnoText());
  struct stat status{};
  if (fstat(file.value, &status) != 0) FailIo("cannot read", path, ErrnoText());
  if (!S_ISREG(status.st_mode)) FailIo("cannot map", path, "it is not a regular file");
  const auto size = static_cast<size_t>(status.st_size);
  if (size == 0) return std::shared_ptr<const FileMapping>(new FileMapping(nullptr, 0));
  void* view = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.value, 0);
  if (view == MAP_FAILED) FailIo("cannot map", path, ErrnoText());
  return std::shared_ptr<const FileMapping>(new FileMapping(static_cast<const unsigned char*>(view), size));
}

FileMapping::~FileMapping() {
  if (data_ != nullptr) munmap(const_cast<unsigned char*>(data_), size_);
}

std::shared_ptr<const FileReader> FileReader::Open(const std::filesystem::path& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) FailIo("cannot open", path, ErrnoText());
  return std::shared_ptr<const FileReader>(new FileReader(path, file));
}

FileReader::~FileReader() { close(static_cast<int>(handle_)); }

uint64_t FileReader::Size() const {
  struct stat status{};
  if (fstat(static_cast<int>(handle_), &status) != 0) FailIo("cannot read", path_, ErrnoText());
  return static_cast<uint64_t>(status.st_size);
}

size_t FileReader::Read(uint64_t offset, void* to, size_t size) const {
  size_t done = 0;
  while (done < size) {
    const ssize_t read =
        pread(static_cast<int>(handle_), static_cast<char*>(to) + done, size - done, static_cast<off_t>(offset + done));
    if (read < 0 && errno == EINTR) continue;
    if (read < 0) FailIo("cannot read", path_, ErrnoText());
    if (read == 0) break;
    done += static_cast<size_t>(read);
  }
  return done;
}

namespace {
FILE* OpenNew(const std::filesystem::path& path) {
  const int fd = open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
  if (fd < 0) return nullptr;
  FILE* file = fdopen(fd, "wb");
  if (file == nullptr) close(fd);
  return file;
}

bool Sync(FILE* file) {
  // File systems that cannot sync (some network and FUSE ones) say EINVAL or ENOTSUP; the rename is as good there as it
  // gets.
  return fsync(fileno(file)) == 0 || errno == EINVAL || errno == ENOTSUP;
}

void Rename(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::error_code error;
  std::filesystem::rename(from, to, error);
  if (error) FailIo("cannot replace", to, error.message());
}
}  // namespace

#endif

AtomicFile::AtomicFile(std::filesystem::path target) : target_(std::move(target)), temporary_(TemporaryName(target_)) {
  FILE* file = OpenNew(temporary_);
  if (file == nullptr) FailIo("cannot write", target_, ErrnoText());
  handle_ = file;
}

AtomicFile::~AtomicFile() {
  Close();
  std::error_code ignored;
  if (!temporary_.empty()) std::filesystem::remove(temporary_, ignored);
}

void AtomicFile::Close() noexcept {
  if (handle_ != nullptr) std::fclose(static_cast<FILE*>(handle_));
  handle_ = nullptr;
}

void AtomicFile::Write(const void* data, size_t size) {
  if (size != 0 && std::fwrite(data, 1, size, static_cast<FILE*>(handle_)) != size) {
    FailIo("cannot write", target_, ErrnoText());
  }
  position_ += size;
}

size_t AtomicFile::AlignTo(size_t alignment) {
  const std::vector<char> zeros((alignment - position_ % alignment) % alignment);
  Write(zeros.data(), zeros.size());
  return position_;
}

void AtomicFile::Flush() {
  auto* file = static_cast<FILE*>(handle_);
  if (std::fflush(file) != 0 || !Sync(file)) FailIo("cannot write", target_, ErrnoText());
}

void AtomicFile::Commit() {
  Flush();
  Close();
  Rename(temporary_, target_);
  temporary_.clear();
}

}  // namespace onnxforge::io
