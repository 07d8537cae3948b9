import { assertEquals, assertStrictEquals } from "@std/assert";
import { errno, errnoName, errnoView, libc, SyscallError } from "deno_tun";
import { test } from "./netns.ts";

test("SyscallError has the name, the number, the call and one line for people", () => {
  const error = new SyscallError("ioctl(TUNSETIFF)", errno.EBUSY, "cannot open TUN device lan");
  assertEquals(error.name, "SyscallError");
  assertEquals(error.code, "EBUSY");
  assertEquals(error.errno, 16);
  assertEquals(error.syscall, "ioctl(TUNSETIFF)");
  assertEquals(error.message, "cannot open TUN device lan: in use (ioctl(TUNSETIFF): EBUSY)");
  assertStrictEquals(error instanceof Error, true);
});

test("SyscallError prefers the advice that fits the case", () => {
  const error = new SyscallError("open", errno.ENOENT, "cannot open x", "make it first");
  assertEquals(error.message, "cannot open x: make it first (open: ENOENT)");
});

test("errnoName shows an unknown number as it is", () => {
  assertEquals(errnoName(999), "errno 999");
});

test("errnoView holds what the last failed call left", () => {
  const view = errnoView();
  const buffer = new Uint8Array(1);
  const result = libc().read(-1, buffer, 1);
  const code = view[0];
  assertEquals([result, errnoName(code)], [-1, "EBADF"]);
  const again = libc().ioctlValue(0x7fffffff, 0, 0);
  assertEquals([again, view[0]], [-1, errno.EBADF]);
});

test("errnoView of a worker is the worker's own", async () => {
  const source = `import { errnoView, libc } from ${JSON.stringify(import.meta.resolve("deno_tun"))};
    libc().ioctlValue(-1, 0, 0); self.postMessage(errnoView()[0]); self.close();`;
  libc().read(-1, new Uint8Array(1), 1);
  errnoView()[0] = 123;
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(url, { type: "module" });
  const theirs = await new Promise((resolve) => worker.onmessage = (event) => resolve(event.data));
  URL.revokeObjectURL(url);
  assertEquals(theirs, errno.EBADF);
  worker.terminate();
});
