// What memory alone costs a lookup: one read at random in an index, and one in the record that it names.
//
//   reads index=BYTES record=BYTES FLOWS…
//
// BYTES are per flow. Prints nanoseconds for a pair, one number per count of flows: the median of many portions.
#include "tool.h"

#define PORTION 4096
#define PORTIONS 256

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double nanoseconds(long flows, long index_bytes, long record_bytes) {
  long slots = flows * index_bytes / 8, words = record_bytes / 4;
  uint32_t *index = malloc(slots * 8), *records = malloc(flows * record_bytes);
  for (long i = 0; i < slots; i++) index[2 * i] = (uint64_t)i * 2654435761u % flows;
  memset(records, 1, flows * record_bytes);
  double times[PORTIONS];
  uint64_t x = 88172645463325252u;
  volatile uint32_t seen = 0;
  for (int portion = 0; portion < PORTIONS; portion++) {
    double began = now();
    uint32_t last = 0;
    for (int i = 0; i < PORTION; i++) {
      x ^= x << 13, x ^= x >> 7, x ^= x << 17;
      // A router does not know the next packet's flow before it is done with this one.
      last = records[index[2 * ((x + (last & 1)) % slots)] * words];
    }
    seen += last;
    times[portion] = (now() - began) * 1e9 / PORTION;
  }
  free(index);
  free(records);
  qsort(times, PORTIONS, sizeof *times, ascending);
  return times[PORTIONS / 2];
}

int main(int argc, char **argv) {
  long index_bytes = number(argv, "index", NULL), record_bytes = number(argv, "record", NULL);
  for (int i = 1; i < argc; i++)
    if (!strchr(argv[i], '=')) printf("%.2f ", nanoseconds(atol(argv[i]), index_bytes, record_bytes));
  puts("");
  return 0;
}
