// The floor that a TUN router can reach: two offloaded TUN devices and a loop of poll, read and write, no firewall.
//
//   floor NETNS-A DEVICE-A NETNS-B DEVICE-B
//
// Prints "ready" once both devices exist. Ends on SIGTERM or SIGINT.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int open_tun(const char *netns, const char *name) {
  char path[256];
  snprintf(path, sizeof path, "/run/netns/%s", netns);
  int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  int there = open(path, O_RDONLY | O_CLOEXEC);
  if (here < 0 || there < 0) fail(path);
  if (setns(there, CLONE_NEWNET) < 0) fail("setns");
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) fail("/dev/net/tun");
  struct ifreq ifr;
  memset(&ifr, 0, sizeof ifr);
  strncpy(ifr.ifr_name, name, IFNAMSIZ - 1);
  ifr.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  if (ioctl(fd, TUNSETIFF, &ifr) < 0) fail("TUNSETIFF");
  unsigned base = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
  if (ioctl(fd, TUNSETOFFLOAD, base | TUN_F_USO4 | TUN_F_USO6) < 0 && ioctl(fd, TUNSETOFFLOAD, base) < 0)
    fail("TUNSETOFFLOAD");
  if (setns(here, CLONE_NEWNET) < 0) fail("setns back");
  close(here);
  close(there);
  return fd;
}

static char buffer[68 * 1024];

// One direction: until the device is empty, but no more than a batch, so that the other gets its turn.
static void drain(int from, int to) {
  for (int i = 0; i < 64; i++) {
    ssize_t n = read(from, buffer, sizeof buffer);
    if (n <= 0) return;
    if (write(to, buffer, n) < 0 && errno != EAGAIN && errno != EINVAL && errno != EIO) fail("write");
  }
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: floor NETNS-A DEVICE-A NETNS-B DEVICE-B\n");
    return 2;
  }
  int a = open_tun(argv[1], argv[2]), b = open_tun(argv[3], argv[4]);
  puts("ready");
  fflush(stdout);
  struct pollfd fds[2] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
  for (;;) {
    if (poll(fds, 2, -1) < 0 && errno != EINTR) fail("poll");
    if (fds[0].revents & POLLIN) drain(a, b);
    if (fds[1].revents & POLLIN) drain(b, a);
  }
}
