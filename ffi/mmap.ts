/**
 * A file as memory: shared by the threads of a process, by processes, and by a process and its successor.
 *
 * A worker sees the same bytes through `MappedFile.view(address, length)`. Each thread then has an ArrayBuffer of its
 * own over them; `Atomics` work on these.
 *
 * The ArrayBuffers do not keep the mapping alive. After `unmap` any use of them ends the process, in every thread.
 *
 * @module
 */
import { check, EACCES, EAGAIN, EINTR, ENOENT, ENOSPC, EPERM, errnoView, SyscallError } from "./errno.ts";
import { cString, libc } from "./libc.ts";

const O_RDONLY = 0, O_RDWR = 2, O_CREAT = 0o100, O_CLOEXEC = 0o2000000, O_NOFOLLOW = 0o400000;
const PROT_READ = 1, PROT_WRITE = 2, MAP_SHARED = 1, MAP_PRIVATE = 2, MAP_ANONYMOUS = 0x20;
const MAP_NORESERVE = 0x4000, MADV_HUGEPAGE = 14, MADV_POPULATE_WRITE = 23;
const LOCK_EX = 2, LOCK_NB = 4;
const SEEK_END = 2;
const MAP_FAILED = 0xffffffffffffffffn;

/** How to open a file. */
export interface MapOptions {
  /** Only look: the file must exist. Writing to the memory then ends the process. */
  readOnly?: boolean;
  /** Mode of a file that is made. Default 0600. */
  mode?: number;
}

/** A file that is, or can be, mapped into memory. */
export class MappedFile {
  #fd: number;
  #at: Deno.PointerValue = null;
  #length = 0;

  /** Opens the file; without `readOnly` it is made if there is none. */
  constructor(readonly path: string, readonly options: MapOptions = {}) {
    const flags = (options.readOnly ? O_RDONLY : O_RDWR | O_CREAT) | O_CLOEXEC | O_NOFOLLOW;
    const denied = "permission denied; is it another user's?";
    this.#fd = check(
      libc().open(cString(path), flags, options.mode ?? 0o600),
      errnoView()[0],
      "open",
      `cannot open ${path}`,
      {
        [EACCES]: denied,
        [EPERM]: denied,
        [ENOENT]: options.readOnly ? "it does not exist" : "its directory does not exist",
      },
    );
  }

  /** Takes the lock that one process can hold at a time (flock); it ends with the process. False when another has it. */
  lock(): boolean {
    const result = libc().flock(this.#fd, LOCK_EX | LOCK_NB);
    if (result === 0) return true;
    const errno = errnoView()[0];
    if (errno === EAGAIN) return false;
    throw new SyscallError("flock", errno, `cannot lock ${this.path}`);
  }

  /** True while `path` names this very file: false when it was removed, or removed and made anew. */
  isAt(path: string): boolean {
    try {
      const own = Deno.statSync(`/proc/self/fd/${this.#fd}`), there = Deno.lstatSync(path);
      return own.ino === there.ino && own.dev === there.dev;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    }
  }

  /** The file's size in bytes. */
  get size(): number {
    return Number(libc().lseek(this.#fd, 0n, SEEK_END));
  }

  /** Gives the file a size. What is added reads as zero and takes no space until it is touched. */
  resize(bytes: number): void {
    check(
      libc().ftruncate(this.#fd, BigInt(bytes)),
      errnoView()[0],
      "ftruncate",
      `cannot give ${this.path} ${bytes} bytes`,
      {
        [ENOSPC]: "no space left on the file system",
      },
    );
  }

  /**
   * Has the file system give memory, or disk, to bytes that may have none yet. Throws a `SyscallError` when it has none
   * left, where touching those bytes in the mapping would end the process (SIGBUS).
   */
  reserve(from: number, length: number): void {
    const error = reserveFile(this.#fd, from, length);
    if (error === 0) return;
    throw new SyscallError("fallocate", error, `cannot reserve ${length} bytes for ${this.path}`);
  }

  /** Sets the permission bits, whatever umask and earlier owners made of them. */
  chmod(mode: number): void {
    check(libc().fchmod(this.#fd, mode), errnoView()[0], "fchmod", `cannot set the mode of ${this.path}`);
  }

  /** Maps the first `length` bytes, the whole file by default. */
  map(length: number = this.size): ArrayBuffer {
    if (this.#at !== null) throw new Error(`${this.path} is mapped already`);
    if (length <= 0) throw new RangeError(`${this.path} is empty: there is nothing to map`);
    const prot = this.options.readOnly ? PROT_READ : PROT_READ | PROT_WRITE;
    const at = libc().mmap(null, BigInt(length), prot, MAP_SHARED, this.#fd, 0n);
    const errno = errnoView()[0];
    if (at === null || Deno.UnsafePointer.value(at) === MAP_FAILED) {
      throw new SyscallError("mmap", errno, `cannot map ${length} bytes of ${this.path}`);
    }
    this.#at = at;
    this.#length = length;
    return Deno.UnsafePointerView.getArrayBuffer(at, length);
  }

  /** Its descriptor, to be sent to a worker. */
  get fd(): number {
    return this.#fd;
  }

  /** Where the mapping stands, to be sent to a worker; 0 while there is none. */
  get address(): bigint {
    return this.#at === null ? 0n : Deno.UnsafePointer.value(this.#at);
  }

  /** Bytes mapped. */
  get length(): number {
    return this.#length;
  }

  /** The same bytes in another thread of this process. */
  static view(address: bigint, length: number): ArrayBuffer {
    const at = Deno.UnsafePointer.create(address);
    if (at === null) throw new RangeError("no mapping at address 0");
    return Deno.UnsafePointerView.getArrayBuffer(at, length);
  }

  /** Ends the mapping. No thread may use its ArrayBuffer any more. */
  unmap(): void {
    if (this.#at === null) return;
    check(
      libc().munmap(this.#at, BigInt(this.#length)),
      errnoView()[0],
      "munmap",
      `cannot unmap ${this.path}`,
    );
    this.#at = null;
    this.#length = 0;
  }

  /** Closes the descriptor, and with it gives up the lock. A mapping stays. */
  close(): void {
    if (this.#fd < 0) return;
    libc().close(this.#fd);
    this.#fd = -1;
  }
}

/**
 * Reserves bytes of a file, by its descriptor: 0, or the error (ENOSPC, …). On a file system that cannot do it the C
 * library writes to each block instead, so nobody else may write to these bytes meanwhile.
 */
export function reserveFile(fd: number, from: number, length: number): number {
  for (;;) {
    const error = libc().posix_fallocate(fd, BigInt(from), BigInt(length));
    if (error !== EINTR) return error;
  }
}

/**
 * Memory without a file, all zero, which takes no space until it is touched: its address. All threads of this process
 * see it by `MappedFile.view`; no other process does. It lies on huge pages where the kernel gives them to who asks
 * (/sys/kernel/mm/transparent_hugepage/enabled), so that reading it at random misses less.
 */
export function mapMemory(length: number): bigint {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  const at = libc().mmap(null, BigInt(length), PROT_READ | PROT_WRITE, flags, -1, 0n);
  const errno = errnoView()[0], address = Deno.UnsafePointer.value(at);
  if (address === MAP_FAILED) throw new SyscallError("mmap", errno, `cannot map ${length} bytes of memory`);
  libc().madvise(at, BigInt(length), MADV_HUGEPAGE); // else small pages
  return address;
}

/** Has the kernel give memory of `mapMemory` its pages now; where it cannot, whoever touches one first waits for it. */
export function populateMemory(address: bigint, length: number): void {
  libc().madvise(Deno.UnsafePointer.create(address), BigInt(length), MADV_POPULATE_WRITE);
}

/** Gives memory of `mapMemory` back. No thread may use its ArrayBuffers any more. */
export function unmapMemory(address: bigint, length: number): void {
  const result = libc().munmap(Deno.UnsafePointer.create(address), BigInt(length));
  check(result, errnoView()[0], "munmap", `cannot unmap ${length} bytes of memory`);
}
