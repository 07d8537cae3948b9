/**
 * errno, by name and as an error that says what to do.
 *
 * It has to be read in the statement after the failed call: anything in between may call libc too.
 *
 * @module
 */
import { errnoView } from "./libc.ts";

export { errnoView };

/** Errors that the calls of this package are known to end with, by their numbers on x86-64 and arm64. */
export const EPERM = 1, ENOENT = 2, EINTR = 4, EIO = 5, ENXIO = 6, EBADF = 9, EAGAIN = 11, ENOMEM = 12;
export const EACCES = 13,
  EFAULT = 14,
  EBUSY = 16,
  EEXIST = 17,
  ENODEV = 19,
  ENOTDIR = 20,
  EISDIR = 21,
  EINVAL = 22;
export const ENFILE = 23,
  EMFILE = 24,
  ENOTTY = 25,
  EFBIG = 27,
  ENOSPC = 28,
  EROFS = 30,
  ENOSYS = 38,
  EBADFD = 77;
export const EMSGSIZE = 90, EOPNOTSUPP = 95, ENETDOWN = 100, ENOBUFS = 105, EDQUOT = 122;

const ERRORS: Readonly<Record<number, readonly [code: string, text: string]>> = {
  [EPERM]: ["EPERM", "not permitted"],
  [ENOENT]: ["ENOENT", "does not exist"],
  [EINTR]: ["EINTR", "interrupted by a signal"],
  [EIO]: ["EIO", "the device is down or gone"],
  [ENXIO]: ["ENXIO", "no such device"],
  [EBADF]: ["EBADF", "the descriptor is closed"],
  [EAGAIN]: ["EAGAIN", "nothing to do right now"],
  [ENOMEM]: ["ENOMEM", "out of memory"],
  [EACCES]: ["EACCES", "permission denied"],
  [EFAULT]: ["EFAULT", "bad address"],
  [EBUSY]: ["EBUSY", "in use"],
  [EEXIST]: ["EEXIST", "exists already"],
  [ENODEV]: ["ENODEV", "no such device"],
  [ENOTDIR]: ["ENOTDIR", "part of the path is not a directory"],
  [EISDIR]: ["EISDIR", "is a directory"],
  [EINVAL]: ["EINVAL", "not valid"],
  [ENFILE]: ["ENFILE", "too many open files in the system"],
  [EMFILE]: ["EMFILE", "too many open files: raise `ulimit -n`"],
  [ENOTTY]: ["ENOTTY", "the descriptor is of another kind"],
  [EFBIG]: ["EFBIG", "too large"],
  [ENOSPC]: ["ENOSPC", "no space left on the file system"],
  [EROFS]: ["EROFS", "the file system is read-only"],
  [ENOSYS]: ["ENOSYS", "this kernel does not have it"],
  [EBADFD]: ["EBADFD", "the device is gone"],
  [EMSGSIZE]: ["EMSGSIZE", "too long"],
  [EOPNOTSUPP]: ["EOPNOTSUPP", "this kernel does not support it"],
  [ENETDOWN]: ["ENETDOWN", "the network is down"],
  [ENOBUFS]: ["ENOBUFS", "no buffer space"],
  [EDQUOT]: ["EDQUOT", "the quota is used up"],
};

/** The name of an error number: `errnoName(16)` is `"EBUSY"`. */
export function errnoName(errno: number): string {
  return ERRORS[errno]?.[0] ?? `errno ${errno}`;
}

/** A system call that failed. The message is one line: what was wanted, why it failed, what the user can do. */
export class SyscallError extends Error {
  override readonly name = "SyscallError";
  /** The error's C name, for example `"EBUSY"`. */
  readonly code: string;

  /**
   * @param syscall the call, with the request where there is one: `"ioctl(TUNSETIFF)"`
   * @param errno its number
   * @param what what was wanted, as in "cannot open TUN device lan0"
   * @param advice the reason and the remedy in words that fit the case better than the general text
   */
  constructor(readonly syscall: string, readonly errno: number, what: string, advice?: string) {
    const code = errnoName(errno);
    super(`${what}: ${advice ?? ERRORS[errno]?.[1] ?? "failed"} (${syscall}: ${code})`);
    this.code = code;
  }
}

/**
 * Throws the error of a call that returned `result`, when that is negative; otherwise returns it. Both are arguments,
 * `check(call(…), errnoView()[0], …)`, so that nothing runs between the call and the reading of errno.
 */
export function check(
  result: number,
  errno: number,
  syscall: string,
  what: string,
  advice?: Readonly<Record<number, string>>,
): number {
  if (result >= 0) return result;
  throw new SyscallError(syscall, errno, what, advice?.[errno]);
}
