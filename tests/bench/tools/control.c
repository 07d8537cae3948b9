// The control connection of FTP, and nothing else of it: PORT commands and their answers, as fast as they come back.
//
//   control serve [port=21]                                             until it is killed; says "ready"
//   control ask to=ADDRESS [port=21] [announce=192,0,2,2] [connections=16] [seconds=1]
//
// Prints how many commands were answered, and in how many seconds.
#include "tool.h"
#include <netinet/tcp.h>

#define MOST 256

static void without_delay(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

_Noreturn static void serve(char **argv) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(number(argv, "port", "21"))};
  int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, MOST) < 0) fail("listen");
  struct pollfd fds[MOST] = {{.fd = fd, .events = POLLIN}};
  int n = 1;
  puts("ready");
  fflush(stdout);
  for (;;) {
    poll(fds, n, -1);
    for (int i = n - 1; i > 0; i--) {
      char line[512];
      if (fds[i].revents == 0) continue;
      ssize_t got = recv(fds[i].fd, line, sizeof line, 0);
      if (got <= 0) {
        close(fds[i].fd);
        fds[i] = fds[--n];
      } else if (line[got - 1] == '\n') {
        send(fds[i].fd, "200 PORT command successful.\r\n", 30, MSG_NOSIGNAL);
      }
    }
    if ((fds[0].revents & POLLIN) && n < MOST) {
      int client = accept(fd, NULL, NULL);
      if (client < 0) continue;
      without_delay(client);
      fds[n++] = (struct pollfd){.fd = client, .events = POLLIN};
    }
  }
}

// Every command announces another port.
static void ask(int fd, const char *announce) {
  static unsigned asked;
  char line[128];
  unsigned port = 20000 + asked++ % 40000;
  int length = snprintf(line, sizeof line, "PORT %s,%u,%u\r\n", announce, port >> 8, port & 255);
  if (send(fd, line, length, MSG_NOSIGNAL) < 0) fail("send");
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "serve") == 0) serve(argv);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(number(argv, "port", "21"))};
  to.sin_addr.s_addr = htonl(address(argv, "to"));
  const char *announce = option(argv, "announce", "192,0,2,2");
  int n = number(argv, "connections", "16");
  double seconds = atof(option(argv, "seconds", "1"));
  struct pollfd fds[MOST];
  if (n > MOST) n = MOST;
  for (int i = 0; i < n; i++) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0) fail("connect");
    without_delay(fd);
    fds[i] = (struct pollfd){.fd = fd, .events = POLLIN};
  }
  long answered = 0;
  double began = now(), end = began + seconds;
  for (int i = 0; i < n; i++) ask(fds[i].fd, announce);
  while (now() < end) {
    poll(fds, n, 100);
    for (int i = 0; i < n; i++) {
      char line[512];
      if (fds[i].revents == 0) continue;
      ssize_t got = recv(fds[i].fd, line, sizeof line, 0);
      if (got <= 0) fail("a connection ended");
      if (line[got - 1] != '\n') continue;
      answered++;
      ask(fds[i].fd, announce);
    }
  }
  printf("%ld %.6f\n", answered, now() - began);
  return 0;
}
