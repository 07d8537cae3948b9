// Sends UDP datagrams or TCP SYNs of many flows out of a device, as fast as it takes them or at a given rate.
//
//   blast device=lan from=ADDRESS to=ADDRESS [dport=5000] [mac=M] [size=64] [protocol=udp|tcp]
//         [first=0] [flows=64] [order=next|random] [seconds=1] [count=0] [rate=0]
//
// Flows are numbered; packets go round over `flows` of them from number `first`, in order or at random. It ends after
// `seconds`, or after `count` packets if that is not 0. `rate` is in packets per second, 0 for no bound.
// Prints how many the device took, and in how many seconds.
#include "tool.h"

#define BATCH 64

int main(int argc, char **argv) {
  uint32_t from = address(argv, "from"), to = address(argv, "to");
  long dport = number(argv, "dport", "5000"), size = number(argv, "size", "64");
  long first = number(argv, "first", "0"), flows = number(argv, "flows", "64"), count = number(argv, "count", "0");
  double seconds = atof(option(argv, "seconds", "1")), rate = atof(option(argv, "rate", "0"));
  int random = strcmp(option(argv, "order", "next"), "random") == 0;
  int syn = strcmp(option(argv, "protocol", "udp"), "tcp") == 0;
  if (syn) size = 40;

  struct sockaddr_ll at;
  int fd = packet_socket(option(argv, "device", NULL), option(argv, "mac", ""), &at, 0);
  static uint8_t packets[BATCH][2048];
  struct iovec iov[BATCH];
  struct mmsghdr messages[BATCH];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < BATCH; i++) {
    if (syn) tcp(packets[i], from, to, 0, 0, 1000, 0, TCP_SYN);
    else udp(packets[i], size, from, to, 0, 0);
    iov[i] = (struct iovec){packets[i], size};
    messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1, .msg_name = &at, .msg_namelen = sizeof at};
  }
  // Everything but the ports.
  int check = syn ? 36 : 26, batch = rate > 0 && rate < 1e6 ? 8 : BATCH;
  uint32_t rest = (uint16_t)~get16(packets[0] + check);

  long sent = 0, flow = 0;
  uint64_t chance = 88172645463325252u;
  double began = now(), end = began + seconds;
  while (now() < end && (count == 0 || sent < count)) {
    int n = count && count - sent < batch ? count - sent : batch;
    for (int i = 0; i < n; i++) {
      long which = (flow + i) % flows;
      if (random) {
        chance ^= chance << 13, chance ^= chance >> 7, chance ^= chance << 17;
        which = (chance >> 11) % flows;
      }
      uint8_t *p = packets[i];
      unsigned source = sport_of(first + which), destination = dport_of(first + which, dport);
      put16(p + 20, source), put16(p + 22, destination);
      uint16_t s = fold(rest + source + destination);
      put16(p + check, s ? s : 0xffff);
    }
    int done = sendmmsg(fd, messages, n, 0);
    if (done < 0) {
      if (errno != ENOBUFS && errno != EAGAIN) fail("sendmmsg");
      continue;
    }
    sent += done;
    flow = (flow + done) % flows;
    if (rate > 0) pause_until(began + sent / rate);
  }
  printf("%ld %.6f\n", sent, now() - began);
  return 0;
}
