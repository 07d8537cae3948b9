// Says when the first packet is through.
//
//   probe lan=NETNS-PATH wan=NETNS-PATH to=ADDRESS [port=5999] [seconds=20]
//
// Sends a datagram from lan every half millisecond, whether or not there is a device yet, and prints the wall clock
// in milliseconds when the first one is seen in wan, on whatever device.
#include "tool.h"

int main(int argc, char **argv) {
  unsigned port = number(argv, "port", "5999");
  hurry();
  enter(option(argv, "wan", NULL));
  int seen = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP));
  enter(option(argv, "lan", NULL));
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  if (seen < 0 || fd < 0) fail("socket");
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  to.sin_addr.s_addr = htonl(address(argv, "to"));
  puts("ready");
  fflush(stdout);
  double t = now(), end = t + atof(option(argv, "seconds", "20"));
  for (; t < end; t = now()) {
    sendto(fd, "first", 5, 0, (struct sockaddr *)&to, sizeof to);
    for (double until = t + 0.0005; now() < until;) {
      uint8_t p[2048];
      ssize_t n = recv(seen, p, sizeof p, MSG_DONTWAIT);
      if (n >= 28 && p[9] == IPPROTO_UDP && get16(p + (p[0] & 15) * 4 + 2) == port) {
        struct timespec wall;
        clock_gettime(CLOCK_REALTIME, &wall);
        printf("first %.3f\n", wall.tv_sec * 1e3 + wall.tv_nsec / 1e6);
        return 0;
      }
      if (n < 0) {
        pause_until(until < now() + 0.0001 ? until : now() + 0.0001);
      }
    }
  }
  fprintf(stderr, "nothing came through\n");
  return 1;
}
