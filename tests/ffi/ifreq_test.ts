import { assertEquals } from "@std/assert";
import { invalidDeviceName } from "deno_tun";
import { ifreq, IFREQ_SIZE, ifreqFlags, ifreqName } from "../../ffi/ifreq.ts";
import { test } from "./netns.ts";

test("ifreq keeps name and flags", () => {
  const request = ifreq("lan0", 0xd001);
  assertEquals(request.length, IFREQ_SIZE);
  assertEquals(ifreqName(request), "lan0");
  assertEquals(ifreqFlags(request), 0xd001);
  assertEquals(Array.from(request.subarray(0, 6)), [108, 97, 110, 48, 0, 0]);
});

test("invalidDeviceName agrees with the kernel's rules", () => {
  for (const name of ["lan", "a", "eth0.5", "fifteen-letters", "Ünï"]) {
    assertEquals(invalidDeviceName(name), null, name);
  }
  for (const name of ["", ".", "..", "a b", "a/b", "a:b", "sixteen-letters-", "tun%d", "ÜÜÜÜÜÜÜÜ", "a\0b"]) {
    assertEquals(typeof invalidDeviceName(name), "string", name);
  }
});
