// Workers spin briefly after each loop, since the next one mostly follows at once, and then sleep.
// A loop ends without those that have not begun to help: nobody waits for a thread to wake up.
#include "native/threads.h"

// Where there is no pthread, a context has its caller's thread alone.
#if SBN_WASM

namespace sbn::native {

Status* start_threads(int64_t count, Threads** threads) {
  *threads = nullptr;
  return count == 1 ? nullptr : fail("this build of the library runs on one thread only");
}

void stop_threads(Threads*) {}

Parallel parallel_on(Threads*) {
  const auto run = [](void*, size_t count, Parallel::Task task, void* state) {
    for (size_t i = 0; i < count; ++i) task(state, i);
  };
  return {run, nullptr};
}

}  // namespace sbn::native

#else

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

namespace sbn::native {

struct Threads {
  // The loop that is open: how many times one was opened or closed, so that odd numbers are open,
  // in the upper half; in the lower half the workers that are inside.
  uint64_t gate;
  Parallel::Task task;
  void* state;
  size_t count;
  size_t next;  // task

  // For those that sleep.
  pthread_mutex_t mutex;
  pthread_cond_t opened;
  uint32_t sleepers;
  bool ending;

  size_t workers;
  pthread_t handles[kMostThreads];
};

namespace {

constexpr uint64_t kTurn = uint64_t{1} << 32;
constexpr int kSpins = 2000;  // tens of microseconds

bool is_open(uint64_t gate) { return gate & kTurn; }

void pause_briefly() {
#if SBN_X86
  __builtin_ia32_pause();
#elif SBN_ARM64
  asm volatile("isb");
#endif
}

template <class T>
T read(const T& value) {
  return __atomic_load_n(&value, __ATOMIC_SEQ_CST);
}

void help(Threads* t) {
  while (true) {
    const size_t index = __atomic_fetch_add(&t->next, size_t{1}, __ATOMIC_RELAXED);
    if (index >= t->count) return;
    t->task(t->state, index);
  }
}

// Waits for a loop other than that of `turn`; false at the end.
bool wait_for_loop(Threads* t, uint64_t turn) {
  const auto is_new = [&] {
    const uint64_t gate = read(t->gate);
    return read(t->ending) || (is_open(gate) && gate / kTurn != turn);
  };
  for (int i = 0; i < kSpins; ++i) {
    if (is_new()) return !read(t->ending);
    pause_briefly();
  }
  pthread_mutex_lock(&t->mutex);
  // Whoever opens a loop changes the gate first, and then looks for sleepers.
  __atomic_fetch_add(&t->sleepers, 1u, __ATOMIC_SEQ_CST);
  while (!is_new()) pthread_cond_wait(&t->opened, &t->mutex);
  __atomic_fetch_sub(&t->sleepers, 1u, __ATOMIC_SEQ_CST);
  pthread_mutex_unlock(&t->mutex);
  return !read(t->ending);
}

void* work(void* self) {
  auto* t = static_cast<Threads*>(self);
  uint64_t turn = 0;
  while (wait_for_loop(t, turn)) {
    uint64_t gate = read(t->gate);
    turn = gate / kTurn;
    // Enters, unless the loop was closed since.
    while (is_open(gate) && gate / kTurn == turn) {
      if (!__atomic_compare_exchange_n(&t->gate, &gate, gate + 1, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST)) {
        continue;
      }
      help(t);
      __atomic_fetch_sub(&t->gate, uint64_t{1}, __ATOMIC_SEQ_CST);
      break;
    }
  }
  return nullptr;
}

void wake_all(Threads* t) {
  if (read(t->sleepers) == 0) return;
  pthread_mutex_lock(&t->mutex);
  pthread_cond_broadcast(&t->opened);
  pthread_mutex_unlock(&t->mutex);
}

void run_loop(void* threads, size_t count, Parallel::Task task, void* state) {
  auto* t = static_cast<Threads*>(threads);
  if (!t || count < 2) {
    for (size_t i = 0; i < count; ++i) task(state, i);
    return;
  }
  t->task = task, t->state = state, t->count = count;
  __atomic_store_n(&t->next, size_t{0}, __ATOMIC_RELAXED);
  __atomic_fetch_add(&t->gate, kTurn, __ATOMIC_SEQ_CST);
  wake_all(t);
  help(t);
  __atomic_fetch_add(&t->gate, kTurn, __ATOMIC_SEQ_CST);
  for (int i = 0; read(t->gate) % kTurn; ++i) {
    // The core may be needed by the worker that is waited for.
    i < kSpins ? pause_briefly() : static_cast<void>(sched_yield());
  }
}

}  // namespace

Status* start_threads(int64_t count, Threads** threads) {
  *threads = nullptr;
  if (count == 1) return nullptr;
  auto* t = static_cast<Threads*>(calloc(1, sizeof(Threads)));
  if (!t) return out_of_memory();
  pthread_mutex_init(&t->mutex, nullptr);
  pthread_cond_init(&t->opened, nullptr);
  while (t->workers < static_cast<size_t>(count - 1)) {
    if (pthread_create(t->handles + t->workers, nullptr, work, t) != 0) {
      Message text;
      text << "only " << static_cast<int64_t>(t->workers + 1) << " of " << count
           << " threads can be had";
      stop_threads(t);
      return fail(text);
    }
    ++t->workers;
  }
  *threads = t;
  return nullptr;
}

void stop_threads(Threads* t) {
  if (!t) return;
  pthread_mutex_lock(&t->mutex);
  __atomic_store_n(&t->ending, true, __ATOMIC_SEQ_CST);
  pthread_cond_broadcast(&t->opened);
  pthread_mutex_unlock(&t->mutex);
  for (size_t i = 0; i < t->workers; ++i) pthread_join(t->handles[i], nullptr);
  pthread_cond_destroy(&t->opened);
  pthread_mutex_destroy(&t->mutex);
  free(t);
}

Parallel parallel_on(Threads* threads) { return {run_loop, threads}; }

}  // namespace sbn::native

#endif
