// Round trips, one after the other, over UDP.
//
//   pingpong serve [port=7]                                   answers until it is killed; says "ready"
//   pingpong ask to=ADDRESS [port=7] [seconds=1] [least=10000] [most=10]
//
// Asks for `seconds`, and longer until there are `least` samples, but no longer than `most` seconds. Both run before
// everything else on their core, so a generator beside them is not measured.
// Prints how many came back, how many were lost (100 ms), and in microseconds p50, p99, p99.9 and the longest.
#include "tool.h"

_Noreturn static void serve(char **argv) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(number(argv, "port", "7"))};
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0) fail("bind");
  puts("ready");
  fflush(stdout);
  for (;;) {
    char data[2048];
    struct sockaddr_in who;
    socklen_t length = sizeof who;
    ssize_t n = recvfrom(fd, data, sizeof data, 0, (struct sockaddr *)&who, &length);
    if (n > 0) sendto(fd, data, n, 0, (struct sockaddr *)&who, length);
  }
}

static int ascending(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  hurry();
  if (argc > 1 && strcmp(argv[1], "serve") == 0) serve(argv);
  double seconds = atof(option(argv, "seconds", "1")), most = atof(option(argv, "most", "10"));
  long least = number(argv, "least", "10000"), n = 0, lost = 0, room = 4000000;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(number(argv, "port", "7"))};
  to.sin_addr.s_addr = htonl(address(argv, "to"));
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct timeval wait = {.tv_usec = 100000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0) fail("connect");
  float *samples = malloc(room * sizeof *samples);
  double began = now();
  for (uint32_t i = 0; n < room; i++) {
    double t = now();
    if (t - began > most || (t - began > seconds && n >= least)) break;
    uint32_t back;
    if (send(fd, &i, sizeof i, 0) < 0) continue;
    ssize_t got;
    do got = recv(fd, &back, sizeof back, 0);
    while (got == sizeof back && back != i);  // late for one that was given up
    if (got == sizeof back) samples[n++] = (now() - t) * 1e6;
    else lost++;
  }
  if (n == 0) {
    fprintf(stderr, "nothing came back\n");
    return 1;
  }
  qsort(samples, n, sizeof *samples, ascending);
  printf("%ld %ld %.2f %.2f %.2f %.2f\n", n, lost, samples[n / 2], samples[n * 99 / 100], samples[n * 999 / 1000],
         samples[n - 1]);
  return 0;
}
