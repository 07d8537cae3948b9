/** `weir rules` of a router that runs, with packets of real programs to count. */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Lab, ROOT } from "./lab.ts";
import { labTest } from "./lab_testing.ts";

const PING = "tables.filter.FORWARD.rules[3]";

labTest("rules: what ping has matched is counted, listed, and set to zero", ["ping"], async () => {
  await using lab = await Lab.private("lan", "wan");
  await lab.weir(`${ROOT}examples/gateway.ts`);
  const rules = async (...args: string[]) => {
    const { code, stdout, stderr } = await lab.command(["rules", ...args]);
    assertEquals(code, 0, stderr);
    return stdout;
  };
  assertStringIncludes(await rules("--unused"), PING);
  await lab.ok("wan", "ping", "-c", "2", "-i", "0.1", "-W", "2", "192.0.2.2");
  assertMatch(await rules("--save"), /^\[1:84\] -A FORWARD -p icmp -m icmp --icmp-type 8 -j ACCEPT$/m);
  assertMatch(await rules("--table", "filter"), /^ +4 +1 +84 +ACCEPT +icmp +-- /m);
  assertEquals((await rules("--unused")).includes(PING), false);
  await rules("--zero");
  assertStringIncludes(await rules("--unused"), PING);
});
