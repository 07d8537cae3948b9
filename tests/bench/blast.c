// A raw packet generator and its sink.
//
//   blast DEVICE SOURCE DESTINATION PORT SIZE FLOWS SECONDS COUNT   sends UDP packets of SIZE bytes (IP total length)
//       out of DEVICE through a packet socket, round robin over FLOWS source ports, until SECONDS have passed or
//       COUNT packets are out (0: no limit). Prints how many the device took.
//   blast --sink ADDRESS PORT SECONDS   a bound UDP socket that nobody reads, so nothing answers "port unreachable".
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static uint32_t sum(const void *data, int length, uint32_t total) {
  const uint8_t *p = data;
  for (; length > 1; length -= 2, p += 2) total += p[0] << 8 | p[1];
  if (length) total += p[0] << 8;
  return total;
}

static uint16_t fold(uint32_t total) {
  while (total >> 16) total = (total & 0xffff) + (total >> 16);
  return htons(~total & 0xffff);
}

static int sink(char **argv) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[3]))};
  inet_pton(AF_INET, argv[2], &at.sin_addr);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  int small = 4096;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0) fail("bind");
  puts("ready");
  fflush(stdout);
  sleep(atoi(argv[4]));
  return 0;
}

#define BATCH 64

int main(int argc, char **argv) {
  if (argc == 5 && strcmp(argv[1], "--sink") == 0) return sink(argv);
  if (argc != 9) {
    fprintf(stderr, "usage: blast DEVICE SOURCE DESTINATION PORT SIZE FLOWS SECONDS COUNT\n");
    return 2;
  }
  int port = atoi(argv[4]), size = atoi(argv[5]), flows = atoi(argv[6]);
  double seconds = atof(argv[7]);
  long count = atol(argv[8]);
  struct in_addr source, destination;
  inet_pton(AF_INET, argv[2], &source);
  inet_pton(AF_INET, argv[3], &destination);

  int fd = socket(AF_PACKET, SOCK_DGRAM, 0);
  if (fd < 0) fail("packet socket");
  int on = 1;
  setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
  struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = if_nametoindex(argv[1])};
  if (bind(fd, (struct sockaddr *)&to, sizeof to) < 0) fail("bind");

  static uint8_t packets[BATCH][2048];
  struct iovec iov[BATCH];
  struct mmsghdr messages[BATCH];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < BATCH; i++) {
    uint8_t *p = packets[i];
    p[0] = 0x45;
    p[2] = size >> 8, p[3] = size;
    p[8] = 64, p[9] = 17;
    memcpy(p + 12, &source, 4);
    memcpy(p + 16, &destination, 4);
    uint16_t header = fold(sum(p, 20, 0));
    memcpy(p + 10, &header, 2);
    p[22] = port >> 8, p[23] = port;
    p[24] = (size - 20) >> 8, p[25] = size - 20;
    iov[i] = (struct iovec){p, size};
    messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
  }
  uint32_t pseudo = sum(&source, 4, sum(&destination, 4, 17 + size - 20));
  long sent = 0, flow = 0;
  double end = now() + seconds;
  while (now() < end && (count == 0 || sent < count)) {
    int batch = count && count - sent < BATCH ? count - sent : BATCH;
    for (int i = 0; i < batch; i++) {
      uint8_t *p = packets[i];
      int from = 1024 + (flow + i) % flows;
      p[20] = from >> 8, p[21] = from;
      p[26] = p[27] = 0;
      uint16_t check = fold(sum(p + 20, size - 20, pseudo));
      memcpy(p + 26, &check, 2);
    }
    int n = sendmmsg(fd, messages, batch, 0);
    if (n < 0) {
      if (errno != ENOBUFS && errno != EAGAIN) fail("sendmmsg");
      continue;
    }
    sent += n;
    flow = (flow + n) % flows;
  }
  printf("%ld\n", sent);
  return 0;
}
