/**
 * Files without a place in the file system, for programs that want to read or lock one: nothing is left behind,
 * however the process ends.
 *
 * @module
 */
import { errnoView, libc, SyscallError } from "deno_tun";

let memfdCreate: ((name: Uint8Array<ArrayBuffer>, flags: number) => number) | undefined;

/** A file in memory that programs started from here inherit. Close `fd` by `libc().close`. */
export function memoryFile(content = ""): { fd: number; path: string } {
  // int memfd_create(const char *name, unsigned int flags);
  memfdCreate ??= Deno.dlopen("libc.so.6", { memfd_create: { parameters: ["buffer", "u32"], result: "i32" } })
    .symbols.memfd_create;
  const fd = memfdCreate(new TextEncoder().encode("weir-oracle\0"), 0);
  if (fd < 0) throw new SyscallError("memfd_create", errnoView()[0], "cannot make a file in memory");
  const bytes = new TextEncoder().encode(content);
  if (libc().write(fd, bytes, bytes.length) !== bytes.length) {
    throw new SyscallError("write", errnoView()[0], "cannot write to a file in memory");
  }
  return { fd, path: `/proc/self/fd/${fd}` };
}
