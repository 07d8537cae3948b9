/**
 * The one table of C functions that Weir calls, each under its C declaration.
 *
 * Nothing is opened when this module is imported: the first call of `libc()` in a thread does it.
 *
 * Signatures are chosen for V8's fast calls. A result declared `i32` instead of `ssize_t`, and a length declared `u32`
 * instead of `size_t`, keep a call at 10–40 ns; one 64-bit integer in the signature costs 500 ns. So the functions
 * of the packet path have none. A `pointer` is 7 ns cheaper than a `buffer`, whose address is looked up at each call.
 * None of the packet path is `nonblocking`: that would be 35 µs a call, and a data plane that blocks in poll(2) does it in
 * its own worker.
 *
 * In a program with threads glibc's read and write are cancellation points, which costs two atomic operations a call
 * (15 ns). The packet path goes around them by syscall(2), which only moves its arguments and sets errno.
 *
 * The variadic functions (open, ioctl) are declared with the arguments that are used. That is the right call on the
 * Linux ABIs of x86-64 and arm64, where variadic arguments travel as the others do.
 *
 * @module
 */

const SYMBOLS = {
  // ── the packet path ──────────────────────────────────────────────────────────────────────────────────────────
  // long syscall(long number, int fd, void *buf, size_t count); with SYS_READ or SYS_WRITE
  transfer: { name: "syscall", parameters: ["i32", "i32", "pointer", "u32"], result: "i32" },
  // int poll(struct pollfd *fds, nfds_t nfds, int timeout);
  poll: { parameters: ["buffer", "u32", "i32"], result: "i32" },
  // int clock_gettime(clockid_t clockid, struct timespec *tp);
  clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },

  // ── threads ──────────────────────────────────────────────────────────────────────────────────────────────────
  // long syscall(long number, uint32_t *uaddr, int op, uint32_t val, const struct timespec *timeout); with SYS_FUTEX
  futex: { name: "syscall", parameters: ["i32", "pointer", "i32", "i32", "buffer"], result: "i32" },

  // ── descriptors ──────────────────────────────────────────────────────────────────────────────────────────────
  // ssize_t read(int fd, void *buf, size_t count);
  read: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // ssize_t write(int fd, const void *buf, size_t count);
  write: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // The same on another thread, whose errno nobody sees.
  writeApart: { name: "write", parameters: ["i32", "buffer", "u32"], result: "i32", nonblocking: true },
  // int *__errno_location(void);
  __errno_location: { parameters: [], result: "pointer" },
  // int open(const char *pathname, int flags, mode_t mode);
  open: { parameters: ["buffer", "i32", "u32"], result: "i32" },
  // int close(int fd);
  close: { parameters: ["i32"], result: "i32" },
  // int ftruncate(int fd, off_t length);
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  // int posix_fallocate(int fd, off_t offset, off_t len); its result is the error
  posix_fallocate: { parameters: ["i32", "i64", "i64"], result: "i32" },
  // off_t lseek(int fd, off_t offset, int whence);
  lseek: { parameters: ["i32", "i64", "i32"], result: "i64" },
  // int fchmod(int fd, mode_t mode);
  fchmod: { parameters: ["i32", "u32"], result: "i32" },
  // int flock(int fd, int operation);
  flock: { parameters: ["i32", "i32"], result: "i32" },
  // int ioctl(int fd, unsigned long request, void *argp);
  ioctl: { parameters: ["i32", "u32", "buffer"], result: "i32" },
  // int ioctl(int fd, unsigned long request, unsigned long argument);
  ioctlValue: { name: "ioctl", parameters: ["i32", "u32", "u32"], result: "i32" },
  // int eventfd(unsigned int initval, int flags);
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  // long sysconf(int name); what is asked for fits into an int
  sysconf: { parameters: ["i32"], result: "i32" },

  // ── memory ───────────────────────────────────────────────────────────────────────────────────────────────────
  // void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
  mmap: { parameters: ["pointer", "usize", "i32", "i32", "i32", "i64"], result: "pointer" },
  // int madvise(void *addr, size_t length, int advice);
  madvise: { parameters: ["pointer", "usize", "i32"], result: "i32" },
  // int munmap(void *addr, size_t length);
  munmap: { parameters: ["pointer", "usize"], result: "i32" },

  // ── namespaces ───────────────────────────────────────────────────────────────────────────────────────────────
  // int setns(int fd, int nstype);
  setns: { parameters: ["i32", "i32"], result: "i32" },
  // int unshare(int flags);
  unshare: { parameters: ["i32"], result: "i32" },
  // int socket(int domain, int type, int protocol);
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** The functions by name. */
export type Libc = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** Numbers of read(2) and write(2) for `transfer`. */
export const SYS_READ = Deno.build.arch === "x86_64" ? 0 : 63,
  SYS_WRITE = Deno.build.arch === "x86_64" ? 1 : 64;
/** Number of futex(2) for `futex`. */
export const SYS_FUTEX = Deno.build.arch === "x86_64" ? 202 : 98;

let symbols: Libc | undefined;
let errno: Int32Array<ArrayBuffer> | undefined;

/** The C library of this thread; opened at the first call. Needs `--allow-ffi`. */
export function libc(): Libc {
  if (symbols === undefined) {
    symbols = Deno.dlopen("libc.so.6", SYMBOLS).symbols;
    // Before any call that can fail, so that looking for errno cannot overwrite it.
    const at = symbols.__errno_location();
    if (at === null) throw new Error("__errno_location returned NULL");
    errno = new Int32Array(Deno.UnsafePointerView.getArrayBuffer(at, 4));
    // Compiled now, not behind the first call that fails: the engine allocates, and may overwrite it too.
    errnoView();
  }
  return symbols;
}

/**
 * This thread's errno, as a view whose only element holds the current value. It stands at one address for the whole
 * life of the thread, so a loop may keep the view.
 */
export function errnoView(): Int32Array<ArrayBuffer> {
  if (errno === undefined) libc();
  return errno!;
}

/** Text as C reads it: UTF-8 and a zero byte. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text + "\0");
}
