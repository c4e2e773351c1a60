#pragma once

// A test program is a list of functions: no registration by static initialisers, no dependency to fetch.
//   void TestReshape() { CHECK_EQ(…); CHECK_THROWS(Fn(), ErrorCode::kInvalidArgument, "needle"); }
//   int main() { return onnxforge::test::RunAll({{"Reshape", TestReshape}, …}); }

#include <cstdio>
#include <exception>
#include <initializer_list>
#include <sstream>
#include <string>

#include "onnxforge/base/error.h"

namespace onnxforge::test {

struct Failure {
  std::string what;
};

struct Case {
  const char* name;
  void (*run)();
};

inline std::string At(const char* file, int line) { return std::string(file) + ":" + std::to_string(line) + ": "; }

inline void Check(bool ok, const char* text, const char* file, int line) {
  if (!ok) throw Failure{At(file, line) + "not true: " + text};
}

template <typename A, typename B>
void CheckEq(const A& a, const B& b, const char* text, const char* file, int line) {
  if (a == b) return;
  std::ostringstream out;
  out << At(file, line) << text << "\n    left:  " << a << "\n    right: " << b;
  throw Failure{out.str()};
}

template <typename F>
void CheckThrows(F&& f, ErrorCode code, const char* needle, const char* file, int line) {
  try {
    f();
  } catch (const Error& error) {
    if (error.code() == code && std::string(error.what()).find(needle) != std::string::npos) return;
    throw Failure{At(file, line) + "another error came: " + error.what()};
  }
  throw Failure{At(file, line) + "no error came"};
}

inline int RunAll(std::initializer_list<Case> cases) {
  int failed = 0;
  for (const Case& c : cases) {
    std::string why;
    try {
      c.run();
      continue;
    } catch (const Failure& failure) {
      why = failure.what;
    } catch (const std::exception& error) {
      why = std::string("uncaught: ") + error.what();
    }
    ++failed;
    std::printf("FAILED %s\n  %s\n", c.name, why.c_str());
  }
  std::printf("%d passed, %d failed\n", static_cast<int>(cases.size()) - failed, failed);
  return failed == 0 ? 0 : 1;
}

}  // namespace onnxforge::test

#define CHECK(condition) ::onnxforge::test::Check((condition), #condition, __FILE__, __LINE__)
#define CHECK_EQ(a, b) ::onnxforge::test::CheckEq((a), (b), #a " == " #b, __FILE__, __LINE__)
#define CHECK_THROWS(expression, code, needle) \
  ::onnxforge::test::CheckThrows([&] { (void)(expression); }, (code), (needle), __FILE__, __LINE__)
