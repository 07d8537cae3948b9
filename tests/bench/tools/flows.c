// Opens flows through a router, from both of its sides, and knows of each that it is open.
//
//   flows lan=NETNS-PATH wan=NETNS-PATH from=ADDRESS to=ADDRESS [dport=5000] [mac=M] [protocol=udp|tcp]
//         [first=0] [count=0] [seconds=10] [window=128]
//
// Flow by flow a packet goes from lan to wan, its answer comes back to where it came from, and TCP acknowledges that.
// No more than `window` are on the way; what is lost is sent again. The other side answers whom it sees, so NAT may do
// as it likes. Ends when `count` flows are open (0: no limit) or after `seconds`.
// Prints how many are open, in how many seconds, and how many packets had to be sent again.
#include "tool.h"

#define BATCH 64
#define SIZE 64
// The first packet carries its flow's number: in UDP behind the header, in TCP as sequence number.
#define NUMBER_UDP 28
#define NUMBER_TCP 24
#define ISN_WAN 7000

static struct end {
  int fd;
  struct sockaddr_ll at;
} lan, wan;
static uint32_t from, to;
static long dport, first;
static int is_tcp;

static uint8_t out[BATCH][2048], in[BATCH][2048];
static int lengths[BATCH], queued;

// What stands in `out` leaves. A queue that is full loses packets, which are sent again later.
static void flush(struct end *by, struct sockaddr_ll *to_whom) {
  struct iovec iov[BATCH];
  struct mmsghdr messages[BATCH];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < queued; i++) {
    iov[i] = (struct iovec){out[i], lengths[i]};
    messages[i].msg_hdr =
        (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1, .msg_name = to_whom, .msg_namelen = sizeof *to_whom};
  }
  for (int sent = 0; sent < queued;) {
    int n = sendmmsg(by->fd, messages + sent, queued - sent, 0);
    if (n < 0 && errno != ENOBUFS && errno != EAGAIN) fail("sendmmsg");
    if (n < 0) break;
    sent += n;
  }
  queued = 0;
}

// Queues the first packet of a flow.
static void open_flow(long n) {
  uint8_t *p = out[queued];
  unsigned sport = sport_of(first + n), port = dport_of(first + n, dport);
  if (is_tcp) {
    lengths[queued++] = tcp(p, from, to, sport, port, n, 0, TCP_SYN);
  } else {
    put32(p + NUMBER_UDP, n);
    lengths[queued++] = udp(p, SIZE, from, to, sport, port);
  }
}

static int receive(struct end *e, struct sockaddr_ll *whom) {
  struct iovec iov[BATCH];
  struct mmsghdr messages[BATCH];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < BATCH; i++) {
    iov[i] = (struct iovec){in[i], sizeof in[i]};
    messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1, .msg_name = whom, .msg_namelen = sizeof *whom};
  }
  int n = recvmmsg(e->fd, messages, BATCH, MSG_DONTWAIT, NULL);
  return n < 0 ? 0 : n;
}

// The wan's side: answers what is for `to`.
static void answer(void) {
  struct sockaddr_ll whom;
  int n = receive(&wan, &whom);
  for (int i = 0; i < n; i++) {
    uint8_t *q = in[i], *p = out[queued];
    if (get32(q + 16) != to) continue;
    uint32_t source = get32(q + 12);
    unsigned sport = get16(q + 20), port = get16(q + 22);
    if (is_tcp) {
      if (!(q[33] & TCP_SYN)) continue;
      lengths[queued++] = tcp(p, to, source, port, sport, ISN_WAN, get32(q + NUMBER_TCP) + 1, TCP_SYN | TCP_ACK);
    } else {
      put32(p + NUMBER_UDP, get32(q + NUMBER_UDP));
      lengths[queued++] = udp(p, SIZE, to, source, port, sport);
    }
  }
  if (queued) {
    whom.sll_protocol = htons(ETH_P_IP);
    flush(&wan, &whom);
  }
}

int main(int argc, char **argv) {
  from = address(argv, "from"), to = address(argv, "to");
  dport = number(argv, "dport", "5000"), first = number(argv, "first", "0");
  long count = number(argv, "count", "0"), window = number(argv, "window", "128");
  double seconds = atof(option(argv, "seconds", "10"));
  is_tcp = strcmp(option(argv, "protocol", "udp"), "tcp") == 0;
  enter(option(argv, "wan", NULL));
  wan.fd = packet_socket("wan", "", &wan.at, 1);
  enter(option(argv, "lan", NULL));
  lan.fd = packet_socket("lan", option(argv, "mac", ""), &lan.at, 1);

  // Flow n waits in place n % window, so at most `window` are under way and none overtakes by more.
  long *waiting = malloc(window * sizeof *waiting);
  double *since = malloc(window * sizeof *since);
  for (long i = 0; i < window; i++) waiting[i] = -1;
  long opened = 0, next = 0, again = 0;
  double began = now(), t = began, end = began + seconds;
  struct pollfd fds[2] = {{.fd = lan.fd, .events = POLLIN}, {.fd = wan.fd, .events = POLLIN}};
  while (t < end && (count == 0 || opened < count)) {
    for (; waiting[next % window] < 0 && (count == 0 || next < count) && queued < BATCH; next++) {
      open_flow(next);
      waiting[next % window] = next;
      since[next % window] = t;
    }
    if (queued) flush(&lan, &lan.at);
    if (poll(fds, 2, 20) == 0) {
      for (long i = 0; i < window; i++) {
        if (waiting[i] < 0 || t - since[i] < 0.02) continue;
        open_flow(waiting[i]);
        since[i] = t;
        again++;
        if (queued == BATCH) flush(&lan, &lan.at);
      }
    }
    if (fds[1].revents & POLLIN) answer();
    if (fds[0].revents & POLLIN) {
      struct sockaddr_ll whom;
      int n = receive(&lan, &whom);
      for (int i = 0; i < n; i++) {
        uint8_t *q = in[i];
        if (get32(q + 12) != to || get32(q + 16) != from) continue;
        long which = is_tcp ? (long)get32(q + 28) - 1 : (long)get32(q + NUMBER_UDP);
        if (waiting[which % window] != which) continue;
        waiting[which % window] = -1;
        opened++;
        if (is_tcp) {
          lengths[queued] =
              tcp(out[queued], from, to, get16(q + 22), get16(q + 20), which + 1, get32(q + 24) + 1, TCP_ACK);
          queued++;
        }
      }
      if (queued) flush(&lan, &lan.at);
    }
    t = now();
  }
  printf("%ld %.6f %ld\n", opened, now() - began, again);
  return 0;
}
