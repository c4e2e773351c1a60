#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace onnxforge::io {

/// Paths travel as UTF-8; this is where they become the system's.
std::filesystem::path PathFromUtf8(const std::string& path);
std::string PathToUtf8(const std::filesystem::path& path);

/// A regular file mapped read-only. The memory stays valid for the life of the object; cutting the file short while it
/// is mapped is the one thing nothing can guard against.
class FileMapping {
 public:
  /// Fails with kIo, naming the path and the system's reason.
  static std::shared_ptr<const FileMapping> Open(const std::filesystem::path& path);
  ~FileMapping();
  FileMapping(const FileMapping&) = delete;
  FileMapping& operator=(const FileMapping&) = delete;

  const unsigned char* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  FileMapping(const unsigned char* data, size_t size) : data_(data), size_(size) {}

  const unsigned char* data_;
  size_t size_;
};

/// A regular file open for reading, at any place and from several threads. It may be replaced meanwhile, as AtomicFile
/// does; what is read is still the old one.
class FileReader {
 public:
  /// Fails with kIo, naming the path and the system's reason.
  static std::shared_ptr<const FileReader> Open(const std::filesystem::path& path);
  ~FileReader();
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;

  uint64_t Size() const;
  /// Up to `size` bytes from `offset`; returns how many there were. Fails with kIo.
  size_t Read(uint64_t offset, void* to, size_t size) const;

 private:
  FileReader(std::filesystem::path path, intptr_t handle) : path_(std::move(path)), handle_(handle) {}

  std::filesystem::path path_;
  intptr_t handle_;  // the system's
};

/// A new file in the folder of `target` that takes its place on Commit() and disappears without it. Every call fails
/// with kIo, naming the path and the system's reason.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void Write(const void* data, size_t size);
  /// Zeros up to the next multiple of `alignment`; returns the position then.
  size_t AlignTo(size_t alignment);
  /// Brings the content to the disk, so that a rename can never be there before it.
  void Flush();
  void Commit();

 private:
  void Close() noexcept;

  std::filesystem::path target_;
  std::filesystem::path temporary_;
  size_t position_ = 0;
  void* handle_ = nullptr;
};

}  // namespace onnxforge::io
