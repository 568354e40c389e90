// The native runtime through its C interface: damaged files, threads, and want of memory.
//
//   native_test FOLDER [MUTATIONS [FIRST]]
//
// tries MUTATIONS damaged files, from that of number FIRST on.
//
// FOLDER has the .onnx files to begin with; what they answer is tested in tests/native, in Python.
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "mutate.h"
#include "native/decimal.h"
#include "native/threads.h"
#include "sbn.h"

// Allocations of the library after which there is no memory any more; -1 where there always is.
static thread_local long t_allocations_left = -1;

static bool allocation_fails() {
  if (t_allocations_left < 0) return false;
  return t_allocations_left == 0 || --t_allocations_left < 0;
}

// Bytes that the library has in this thread, and the most it had.
static thread_local size_t t_bytes = 0, t_most_bytes = 0;

static void* counted(void* memory) {
  t_bytes += malloc_usable_size(memory);
  t_most_bytes = std::max(t_most_bytes, t_bytes);
  return memory;
}

// The linker sends the library's calls here (--wrap).
extern "C" {
void* __real_malloc(size_t size);
void* __real_calloc(size_t count, size_t size);
void __real_free(void* memory);
void* __wrap_malloc(size_t size) {
  return allocation_fails() ? nullptr : counted(__real_malloc(size));
}
void* __wrap_calloc(size_t count, size_t size) {
  return allocation_fails() ? nullptr : counted(__real_calloc(count, size));
}
void __wrap_free(void* memory) {
  t_bytes -= malloc_usable_size(memory);
  __real_free(memory);
}
}

namespace {

using namespace sbn::test;

// Models that ask for more are not run.
constexpr int64_t kMostBytes = 1 << 23;
constexpr double kMostSeconds = 20;  // under sanitizers

int g_failures = 0;

void check(bool holds, const std::string& what) {
  if (holds) return;
  if (++g_failures <= 20) printf("FAILED: %s\n", what.c_str());
}

// The file is not needed once it is loaded.
sbn_model* load(const Bytes& file) {
  std::vector<char> copy(file.begin(), file.end());
  return sbn_model_load(copy.data(), copy.size());
}

bool is_one_line(const char* text) { return *text && !strchr(text, '\n'); }

// A model with one context and inputs of random bytes.
class Runner {
 public:
  explicit Runner(const sbn_model* model) : model_(model), context_(sbn_context_new(model)) {}
  ~Runner() { sbn_context_free(context_); }
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  void give(void* memory, size_t bytes) { sbn_context_set_memory(context_, memory, bytes); }

  // Whether it ran; `answer` gets the bytes of all outputs.
  bool run(int64_t batch, uint64_t seed, Bytes* answer, int threads = 1) {
    answer->clear();
    if (!context_ || !set_inputs(batch, seed)) return false;
    if (sbn_context_set_threads(context_, threads) != 0) return false;
    if (sbn_context_run(context_, batch) != 0) return false;
    for (size_t i = 0; i < sbn_model_outputs(model_); ++i) {
      sbn_tensor tensor;
      const void* data = sbn_context_output(context_, i, &tensor);
      check(data != nullptr, "an output is missing");
      if (data) answer->append(static_cast<const char*>(data), bytes_of(tensor, batch));
    }
    return true;
  }

 private:
  static size_t bytes_of(const sbn_tensor& tensor, int64_t batch) {
    int64_t bytes = 4;
    if (tensor.type == SBN_UINT8 || tensor.type == SBN_INT8 || tensor.type == SBN_BOOL) bytes = 1;
    if (tensor.type == SBN_INT16) bytes = 2;
    if (tensor.type == SBN_INT64 || tensor.type == SBN_UINT64) bytes = 8;
    for (int32_t i = 0; i < tensor.rank; ++i) {
      if (__builtin_mul_overflow(bytes, tensor.shape[i] < 0 ? batch : tensor.shape[i], &bytes)) {
        return SIZE_MAX;
      }
    }
    return static_cast<size_t>(bytes);
  }

  bool set_inputs(int64_t batch, uint64_t seed) {
    inputs_.resize(sbn_model_inputs(model_));
    Random random(seed);
    for (size_t i = 0; i < inputs_.size(); ++i) {
      sbn_tensor tensor;
      check(sbn_model_input(model_, i, &tensor) == 0, "an input is missing");
      if (tensor.type == SBN_INT64 && tensor.rank == 0) continue;
      const size_t bytes = bytes_of(tensor, batch);
      if (bytes > static_cast<size_t>(kMostBytes)) return false;
      inputs_[i].resize(bytes);
      for (char& byte : inputs_[i]) byte = static_cast<char>(random() & 0x3f);
      check(sbn_context_set_input(context_, i, inputs_[i].data()) == 0, "an input is refused");
    }
    return true;
  }

  const sbn_model* model_;
  sbn_context* context_;
  std::vector<Bytes> inputs_;
};

double cpu_seconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

// What is for classifiers of pictures, on each file: buffers are of just the sizes that are asked for.
void call_as_classifier(const sbn_model* model) {
  sbn_tensor input;
  if (sbn_model_input(model, 0, &input) != 0) return;
  int64_t size = 1;
  for (int32_t i = 1; i < input.rank; ++i) {
    if (__builtin_mul_overflow(size, input.shape[i], &size) || size < 0 || size > kMostBytes) return;
  }
  const std::vector<uint8_t> colours(5 * 7 * 4, 9);
  std::vector<uint8_t> pixels(static_cast<size_t>(size)), whole(4 * pixels.size());
  for (int32_t way = 0; way <= 8; ++way) {
    const sbn_picture picture = {colours.data(), 5, 7, 1 + way % 4, way};
    sbn_model_fit(model, &picture, pixels.data(), pixels.size());
  }
  const size_t bytes = input.type == SBN_UINT8 ? pixels.size() : whole.size();
  sbn_model_normalise(model, pixels.data(), whole.data(), bytes);
  char name[5];
  for (const size_t index : {size_t{0}, size_t{2}, SIZE_MAX}) {
    sbn_model_class(model, index, name, sizeof name);
  }
  for (const size_t classes : {size_t{2}, size_t{3}, size_t{10}}) {
    std::vector<float> probabilities(classes, 0.5f);
    sbn_model_calibrate(model, 0, probabilities.data(), classes);
  }
}

// Loads and runs; whether that went well. What fails must say why, and nothing takes long or much.
bool try_file(const Bytes& file, const std::string& what) {
  constexpr size_t kSpare = 1 << 20;
  const double start = cpu_seconds();
  t_most_bytes = t_bytes;
  const size_t before = t_bytes;
  sbn_model* model = load(file);
  check(t_most_bytes - before <= 10 * file.size() + kSpare,
        what + ": takes " + std::to_string(t_most_bytes - before) + " bytes of memory for " +
            std::to_string(file.size()) + " bytes");
  check(cpu_seconds() - start < kMostSeconds, what + ": loads for too long");
  bool ran = false;
  if (model) {
    const int64_t needed = sbn_model_arena_bytes(model, 2);
    Bytes answer;
    if (needed >= 0 && needed <= kMostBytes) ran = Runner(model).run(2, 1, &answer);
    check(ran || is_one_line(sbn_last_error()), what + ": fails without a word");
    call_as_classifier(model);
    sbn_model_free(model);
  }
  check(model || is_one_line(sbn_last_error()), what + ": fails without a word");
  check(t_bytes == before, what + ": keeps memory");
  check(cpu_seconds() - start < kMostSeconds, what + ": runs for too long");
  return ran;
}

// Half of them with other bytes, half with other fields. Each has a number of its own, by which it
// is made again.
void test_mutations(const std::vector<Bytes>& files, int64_t mutations, int64_t first) {
  std::vector<std::vector<Field>> parsed;
  std::vector<Bytes> operators = {"Gelu", "sbn"};
  for (const Bytes& file : files) parsed.push_back(parse(file, Kind::kModel));
  for (const auto& fields : parsed) collect_operators(fields, &operators);
  int64_t ran = 0;
  for (int64_t i = first; i < first + mutations; ++i) {
    Random random(static_cast<uint64_t>(i));
    const auto which = static_cast<size_t>(i / 2) % files.size();
    const Bytes file = i % 2 ? Mutant(parsed[which], operators, random).make()
                             : damaged_bytes(files[which], random);
    ran += try_file(file, "mutation " + std::to_string(i));
  }
  printf("%lld of %lld damaged files run\n", static_cast<long long>(ran),
         static_cast<long long>(mutations));
  // A fuzzer that makes only rubbish tests little.
  check(ran > mutations / 50, "almost no damaged file runs");
  check(ran < mutations - mutations / 5, "almost every damaged file runs");
}

// Every task of every loop is done once, by workers that spin and by workers that sleep, and what a
// loop wrote is there behind it.
void test_workers() {
  for (int64_t threads : {1, 2, 5}) {
    sbn::native::Threads* workers = nullptr;
    check(!sbn::native::start_threads(threads, &workers), "threads cannot be had");
    const sbn::Parallel parallel = sbn::native::parallel_on(workers);
    std::vector<int64_t> done(100);
    for (int64_t loop = 1; loop <= 3000; ++loop) {
      const int64_t tasks = loop % 100;
      sbn::parallel_for(parallel, tasks, [&](int64_t task) {
        done[static_cast<size_t>(task)] += task + loop;
      });
      for (int64_t i = 0; i < 100; ++i) {
        auto& found = done[static_cast<size_t>(i)];
        check(found == (i < tasks ? i + loop : 0), "a task is not done once");
        found = 0;
      }
      if (loop % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    sbn::native::stop_threads(workers);
  }
}

// A run on several threads answers as one on the caller's alone, again and again.
void test_threads_of_a_run(const Bytes& file) {
  sbn_model* model = load(file);
  if (!model) return check(false, sbn_last_error());
  Runner runner(model);
  Bytes wanted, got;
  for (int64_t batch : {1, 30}) {
    check(runner.run(batch, 3, &wanted), "a model does not run");
    for (int threads : {2, 3, 8, 2, 1})
      check(runner.run(batch, 3, &got, threads) && got == wanted, "threads answer otherwise");
  }
  sbn_model_free(model);
}

// Every beginning of a file, a byte at a time.
void test_cut_files(const Bytes& file) {
  for (size_t size = 0; size < file.size(); ++size) {
    sbn_model* model = sbn_model_load(file.data(), size);
    check(!model || size > 0, "a model of nothing");
    sbn_model_free(model);
  }
}

// Two threads share a model, each with a context of its own, and answer as one alone does.
void test_threads(const Bytes& file) {
  sbn_model* model = load(file);
  if (!model) return check(false, sbn_last_error());
  constexpr int64_t kRuns = 20;
  std::vector<Bytes> wanted(kRuns), got[2] = {wanted, wanted};
  const auto run_all = [&](std::vector<Bytes>* answers) {
    Runner runner(model);
    for (int64_t i = 0; i < kRuns; ++i) {
      check(runner.run(i % 3 + 1, static_cast<uint64_t>(i), &(*answers)[static_cast<size_t>(i)]),
            "a thread fails");
    }
  };
  run_all(&wanted);
  std::thread other(run_all, &got[0]);
  run_all(&got[1]);
  other.join();
  check(got[0] == wanted && got[1] == wanted, "two threads answer otherwise than one");
  sbn_model_free(model);
}

// Memory of the caller's of just the size that is asked for, and too little of it.
void test_given_memory(const Bytes& file) {
  sbn_model* model = load(file);
  if (!model) return check(false, sbn_last_error());
  const auto needed = static_cast<size_t>(sbn_model_arena_bytes(model, 2));
  Bytes wanted, got;
  check(Runner(model).run(2, 1, &wanted), "a model does not run");
  for (size_t shift = 0; shift < 3; ++shift) {
    std::vector<char> memory(needed + shift);
    Runner runner(model);
    runner.give(memory.data() + shift, needed);
    check(runner.run(2, 1, &got) && got == wanted, "another answer in given memory");
    runner.give(memory.data() + shift, needed - 1);
    check(!runner.run(2, 1, &got) && is_one_line(sbn_last_error()), "it runs in too little memory");
    runner.give(nullptr, 0);
    check(runner.run(2, 1, &got) && got == wanted, "another answer in its own memory again");
  }
  sbn_model_free(model);
}

// Wherever memory ends, that is said, and all that was taken is given back.
void test_want_of_memory(const Bytes& file) {
  long needed = 0;
  for (bool ran = false; !ran; ++needed) {
    if (needed > 5000) return check(false, "it never has enough memory");
    t_allocations_left = needed;
    sbn_model* model = sbn_model_load(file.data(), file.size());
    sbn_context* context = model ? sbn_context_new(model) : nullptr;
    if (context) {
      const Bytes image(1 << 16, 1);
      for (size_t i = 0; i < sbn_model_inputs(model); ++i) {
        sbn_tensor tensor;
        sbn_model_input(model, i, &tensor);
        if (tensor.rank > 0) sbn_context_set_input(context, i, image.data());
      }
      ran = sbn_context_run(context, 1) == 0;
      t_allocations_left = 0;
      check(!ran || sbn_context_run(context, 1) == 0, "a second run allocates memory");
    }
    t_allocations_left = -1;
    check(ran || is_one_line(sbn_last_error()), "want of memory is not said");
    sbn_context_free(context);
    sbn_model_free(model);
  }
  printf("%ld allocations to load and run\n", needed - 1);
}

}  // namespace

// Texts of all kinds of numbers, among them those between two doubles.
void test_decimals() {
  uint64_t state = 1;
  const auto random = [&] { return state = state * 6364136223846793005u + 1442695040888963407u; };
  const auto random_double = [&] {
    double number;
    const uint64_t bits = random() ^ random() >> 32;
    memcpy(&number, &bits, sizeof number);
    return number;
  };
  for (int i = 0; i < 20000; ++i) {
    char text[400];
    const double number = random_double();
    const auto digits = static_cast<int>(random() >> 59);
    if (!(number - number == 0)) continue;
    switch (i % 4) {
      case 0: snprintf(text, sizeof text, "%.17g", number); break;
      case 1: snprintf(text, sizeof text, "%.*e", digits, number); break;
      case 2: snprintf(text, sizeof text, "%.*f", digits, static_cast<double>(random()) / 1e15); break;
      default: {
        const double half = 0.5 + static_cast<double>(random() >> 12) * 0x1p-53;
        snprintf(text, sizeof text, "%.60f", half);
        char* last = text + strlen(text) - 1;
        while (*last == '0') --last;
        *last = static_cast<char>(*last + (digits % 3 - 1) * (*last > '1' && *last < '9'));
      }
    }
    char* end;
    const double wanted = strtod(text, &end);
    double got = -1;
    const char* behind = nullptr;
    const bool read = sbn::native::read_decimal(text, &got, &behind);
    const bool subnormal = std::abs(wanted) < 0x1p-1022;
    if (wanted - wanted != 0) {
      check(!read, std::string(text) + ": is too large");
    } else {
      check(read && behind == end && got == (subnormal ? 0 : wanted), text);
    }
  }
  double number;
  const char* behind;
  for (const char* text : {"", "-", "+1", ".5", "e1", "nan", "1e309", "-1e400"}) {
    check(!sbn::native::read_decimal(text, &number, &behind), std::string(text) + ": is read");
  }
}

int main(int argc, char** argv) {
  if (argc < 2) return fprintf(stderr, "usage: native_test FOLDER [MUTATIONS [FIRST]]\n"), 2;
  const int64_t mutations = argc > 2 ? atoll(argv[2]) : 3000;
  const int64_t first = argc > 3 ? atoll(argv[3]) : 0;
  std::vector<Bytes> files;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    if (entry.path().extension() != ".onnx") continue;
    std::ifstream stream(entry.path(), std::ios::binary);
    const Bytes file(std::istreambuf_iterator<char>(stream), {});
    files.push_back(written(parse(file, Kind::kModel)));  // without its functions
  }
  if (files.empty()) return fprintf(stderr, "%s: has no .onnx files\n", argv[1]), 2;
  for (const Bytes& file : files) {
    check(try_file(file, "a file"), std::string("a file does not run: ") + sbn_last_error());
    test_want_of_memory(file);
    test_threads(file);
    test_threads_of_a_run(file);
    test_given_memory(file);
  }
  test_decimals();
  test_workers();
  test_cut_files(files.front());
  test_mutations(files, mutations, first);
  printf("%d failures\n", g_failures);
  return g_failures ? 1 : 0;
}
