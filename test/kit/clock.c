/* Turns the clocks of a process by a dial in shared memory; see clocks.ts. Loaded by LD_PRELOAD. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct dial {
  int64_t ahead_ns; /* of the wall clock */
  int64_t since_ns; /* from then on, by the monotonic clock, both run at `rate` */
  double rate;
};

static volatile struct dial *dial;

__attribute__((constructor)) static void find_dial(void) {
  const char *path = getenv("HOLDFAST_DIAL");
  int file = path ? open(path, O_RDWR) : -1;
  if (file < 0) return;
  void *shared = mmap(0, sizeof(struct dial), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (shared != MAP_FAILED) dial = shared;
}

static int64_t read_ns(clockid_t clock) {
  struct timespec now;
  syscall(SYS_clock_gettime, clock, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* How far a clock that runs at `rate` is behind when the machine's monotonic clock shows `now_ns`. */
static int64_t behind_ns(int64_t now_ns) { return (now_ns - dial->since_ns) * (1 - dial->rate); }

int clock_gettime(clockid_t clock, struct timespec *time) {
  int64_t before_ns = dial ? read_ns(CLOCK_MONOTONIC) : 0;
  int failed = syscall(SYS_clock_gettime, clock, time);
  if (failed || !dial) return failed;
  int64_t ns = time->tv_sec * 1000000000LL + time->tv_nsec;
  /* A monotonic clock by one reading alone: between two, the process may stand still, and the clock would go back by that. */
  if (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE) ns -= behind_ns(ns);
  else if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) ns += dial->ahead_ns - behind_ns(before_ns);
  time->tv_sec = ns / 1000000000LL;
  time->tv_nsec = ns % 1000000000LL;
  return 0;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return 0;
}
