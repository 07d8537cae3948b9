// Sends UDP with segmentation offload: one sendmsg carries many datagrams of one size (UDP_SEGMENT).
//
//   uso to=ADDRESS [dport=5000] [size=1400] [segments=44] [seconds=1]
//
// Prints how many bytes of payload the socket took, and in how many seconds.
#include "tool.h"
#include <netinet/udp.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

int main(int argc, char **argv) {
  int size = number(argv, "size", "1400"), segments = number(argv, "segments", "44");
  double seconds = atof(option(argv, "seconds", "1"));
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(number(argv, "dport", "5000"))};
  to.sin_addr.s_addr = htonl(address(argv, "to"));
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0) fail("connect");
  if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size) < 0) fail("UDP_SEGMENT");
  static char data[65507];
  double began = now(), end = began + seconds;
  long bytes = 0;
  while (now() < end) {
    ssize_t n = send(fd, data, size * segments, 0);
    if (n > 0) bytes += n;
    else if (errno != ENOBUFS && errno != EAGAIN && errno != ECONNREFUSED) fail("send");
  }
  printf("%ld %.6f\n", bytes, now() - began);
  return 0;
}
