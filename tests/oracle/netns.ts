/**
 * A network namespace without a name: it belongs to this thread for as long as the thread stays in it, programs
 * started meanwhile run in it, and it is gone with the last descriptor, however the process ends.
 *
 * @module
 */
import { errnoView, libc, SyscallError } from "deno_tun";

const CLONE_NEWNET = 0x40000000;
const O_CLOEXEC = 0o2000000;

const cString = (text: string) => new TextEncoder().encode(text + "\0");

let unshare: ((flags: number) => number) | undefined;

function back(namespace: number): void {
  if (libc().setns(namespace, CLONE_NEWNET) === 0) return;
  throw new SyscallError("setns", errnoView()[0], "cannot go back to the own network namespace");
}

/** Runs `f`, which must not be async, in a new network namespace, and comes back. */
export function inNewNetns<T>(f: () => T): T {
  // int unshare(int flags);
  unshare ??= Deno.dlopen("libc.so.6", { unshare: { parameters: ["i32"], result: "i32" } }).symbols.unshare;
  const { open, close } = libc();
  const here = open(cString("/proc/thread-self/ns/net"), O_CLOEXEC, 0);
  if (here < 0) throw new SyscallError("open", errnoView()[0], "cannot find the own network namespace");
  try {
    if (unshare(CLONE_NEWNET) < 0) {
      throw new SyscallError("unshare", errnoView()[0], "cannot make a network namespace; it takes root");
    }
    try {
      return f();
    } finally {
      back(here);
    }
  } finally {
    close(here);
  }
}
