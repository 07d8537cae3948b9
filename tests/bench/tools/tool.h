// What the generators share: options, time, network namespaces, packet sockets and IPv4 headers.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

static inline void fail(const char *what) {
  perror(what);
  exit(1);
}

// The value of NAME=VALUE among the arguments; `otherwise` (NULL: it must be there) if it is not.
static inline const char *option(char **argv, const char *name, const char *otherwise) {
  size_t length = strlen(name);
  for (; *argv; argv++)
    if (strncmp(*argv, name, length) == 0 && (*argv)[length] == '=') return *argv + length + 1;
  if (!otherwise) {
    fprintf(stderr, "%s= is missing\n", name);
    exit(2);
  }
  return otherwise;
}

static inline long number(char **argv, const char *name, const char *otherwise) {
  return atol(option(argv, name, otherwise));
}

static inline uint32_t address(char **argv, const char *name) {
  struct in_addr in;
  const char *text = option(argv, name, NULL);
  if (inet_pton(AF_INET, text, &in) != 1) {
    fprintf(stderr, "%s=%s is no address\n", name, text);
    exit(2);
  }
  return ntohl(in.s_addr);
}

static inline double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static inline void pause_until(double when) {
  struct timespec t = {.tv_sec = (time_t)when, .tv_nsec = (long)((when - (time_t)when) * 1e9)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR);
}

// Goes into the namespace with this path.
static inline void enter(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET) < 0) fail(path);
  close(fd);
}

// So that no generator on the same core makes a measuring tool wait.
static inline void hurry(void) {
  struct sched_param p = {.sched_priority = 10};
  sched_setscheduler(0, SCHED_FIFO, &p);
}

// A packet socket on a device, for IPv4 without link header. `mac` is where packets go, for devices that ask.
static inline int packet_socket(const char *device, const char *mac, struct sockaddr_ll *to, int receives) {
  int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
  if (fd < 0) fail("packet socket");
  setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
  setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on);
  *to = (struct sockaddr_ll){.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
  to->sll_ifindex = if_nametoindex(device);
  if (*mac) {
    unsigned m[6];
    if (sscanf(mac, "%x:%x:%x:%x:%x:%x", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5]) != 6) fail(mac);
    to->sll_halen = 6;
    for (int i = 0; i < 6; i++) to->sll_addr[i] = m[i];
  }
  struct sockaddr_ll at = *to;
  if (!receives) at.sll_protocol = 0;
  if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0) fail(device);
  return fd;
}

static inline uint16_t get16(const uint8_t *p) { return p[0] << 8 | p[1]; }
static inline uint32_t get32(const uint8_t *p) { return (uint32_t)get16(p) << 16 | get16(p + 2); }
static inline void put16(uint8_t *p, unsigned v) { p[0] = v >> 8, p[1] = v; }
static inline void put32(uint8_t *p, uint32_t v) { put16(p, v >> 16), put16(p + 2, v & 0xffff); }

static inline uint32_t sum(const uint8_t *p, int length, uint32_t total) {
  for (; length > 1; length -= 2, p += 2) total += get16(p);
  return length ? total + (p[0] << 8) : total;
}

static inline uint16_t fold(uint32_t total) {
  while (total >> 16) total = (total & 0xffff) + (total >> 16);
  return ~total & 0xffff;
}

// Sum of the pseudo header of an IPv4 packet of `size` bytes.
static inline uint32_t pseudo(const uint8_t *p, int size) { return sum(p + 12, 8, p[9] + size - 20); }

// An IPv4 header of 20 bytes in front of `size - 20` more.
static inline void ipv4(uint8_t *p, int size, int protocol, uint32_t from, uint32_t to) {
  memset(p, 0, 20);
  p[0] = 0x45, p[6] = 0x40, p[8] = 64, p[9] = protocol;
  put16(p + 2, size);
  put32(p + 12, from), put32(p + 16, to);
  put16(p + 10, fold(sum(p, 20, 0)));
}

// The ports of flow number n: many sources to one port, then to the next.
#define FIRST_SPORT 1024
#define SPORTS 60000
static inline unsigned sport_of(long n) { return FIRST_SPORT + n % SPORTS; }
static inline unsigned dport_of(long n, long dport) { return dport + n / SPORTS; }

// A TCP segment without payload, or a UDP datagram that is filled up to `size`, whole in its checksum.
static inline int tcp(uint8_t *p, uint32_t from, uint32_t to, unsigned sport, unsigned dport, uint32_t seq, uint32_t ack,
                      int flags) {
  ipv4(p, 40, IPPROTO_TCP, from, to);
  memset(p + 20, 0, 20);
  put16(p + 20, sport), put16(p + 22, dport);
  put32(p + 24, seq), put32(p + 28, ack);
  p[32] = 5 << 4, p[33] = flags;
  put16(p + 34, 65535);
  put16(p + 36, fold(sum(p + 20, 20, pseudo(p, 40))));
  return 40;
}

static inline int udp(uint8_t *p, int size, uint32_t from, uint32_t to, unsigned sport, unsigned dport) {
  ipv4(p, size, IPPROTO_UDP, from, to);
  put16(p + 20, sport), put16(p + 22, dport), put16(p + 24, size - 20), put16(p + 26, 0);
  put16(p + 26, fold(sum(p + 20, size - 20, pseudo(p, size))));
  return size;
}
#define TCP_SYN 2
#define TCP_ACK 16
