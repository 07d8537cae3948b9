/**
 * Waiting for many descriptors at once, and being woken by another thread.
 *
 * @module
 */
import { check, EAGAIN, EINTR, errnoView, SyscallError } from "./errno.ts";
import { libc } from "./libc.ts";

/** There is something to read. */
export const POLLIN = 0x01;
/** Writing would not block. */
export const POLLOUT = 0x04;
/** Reported unasked: an error, the other side is gone, the descriptor is closed. */
export const POLLERR = 0x08, POLLHUP = 0x10, POLLNVAL = 0x20;
/** Any of them. */
export const POLL_BROKEN = POLLERR | POLLHUP | POLLNVAL;

/** A reusable array of struct pollfd. Nothing is allocated when it waits. */
export class PollSet {
  /** { int fd; short events; short revents } per entry. */
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #fds: Int32Array<ArrayBuffer>;
  readonly #events: Int16Array<ArrayBuffer>;
  readonly #poll: ReturnType<typeof libc>["poll"];

  /** @param size number of entries; all are empty at first */
  constructor(readonly size: number) {
    this.#bytes = new Uint8Array(size * 8);
    this.#fds = new Int32Array(this.#bytes.buffer);
    this.#events = new Int16Array(this.#bytes.buffer);
    this.#poll = libc().poll;
    for (let i = 0; i < size; i++) this.#fds[i * 2] = -1;
  }

  /** Watches a descriptor in entry `i`; −1 leaves the entry out. */
  set(i: number, fd: number, events: number = POLLIN): void {
    if (i < 0 || i >= this.size) throw new RangeError(`entry ${i} of a PollSet of ${this.size}`);
    this.#fds[i * 2] = fd;
    this.#events[i * 4 + 2] = events;
    this.#events[i * 4 + 3] = 0;
  }

  /**
   * Waits until something happens or `milliseconds` are over (−1: for ever): the number of entries with events.
   * A signal ends it with 0, as the time does. It blocks the thread, so it belongs into a worker.
   */
  wait(milliseconds: number): number {
    const ready = this.#poll(this.#bytes, this.size, milliseconds);
    if (ready >= 0) return ready;
    const errno = errnoView()[0];
    for (let i = 0; i < this.size; i++) this.#events[i * 4 + 3] = 0;
    if (errno === EINTR || errno === EAGAIN) return 0;
    throw new SyscallError("poll", errno, "cannot wait for the devices");
  }

  /** What happened to entry `i` in the last `wait`: POLL* bits. */
  revents(i: number): number {
    return this.#events[i * 4 + 3];
  }
}

/** _SC_NPROCESSORS_ONLN of Linux. */
const NPROCESSORS_ONLN = 84;

/** How many processors are running, whether this process may use them or not. */
export function onlineProcessors(): number {
  return Math.max(1, libc().sysconf(NPROCESSORS_ONLN));
}

const EFD_CLOEXEC = 0o2000000, EFD_NONBLOCK = 0o4000;

/**
 * An eventfd(2): any thread signals, the thread that polls `fd` wakes up. The descriptor's number can be sent to
 * a worker, which makes its own `EventFd` of it.
 */
export class EventFd {
  readonly #count = new Uint8Array(8);
  readonly #one = new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]);
  #fd: number;

  /** @param fd a descriptor that another thread has made; without it a new one */
  constructor(fd?: number) {
    this.#fd = fd ??
      check(
        libc().eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        errnoView()[0],
        "eventfd",
        "cannot make an eventfd",
      );
  }

  /** The descriptor; −1 once closed. */
  get fd(): number {
    return this.#fd;
  }

  /** Wakes whoever polls. Signals that nobody has drained yet are one. */
  signal(): void {
    const n = libc().write(this.#fd, this.#one, 8);
    // EAGAIN: the counter is full, so a wake-up is due anyway.
    const errno = errnoView()[0];
    if (errno !== EAGAIN) check(n, errno, "write", "cannot signal the other thread");
  }

  /** Takes the signals back: true when there was one. */
  drain(): boolean {
    return libc().read(this.#fd, this.#count, 8) === 8;
  }

  /** Closes the descriptor, for all threads. */
  close(): void {
    if (this.#fd < 0) return;
    libc().close(this.#fd);
    this.#fd = -1;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
