/** `weir set` on a router with two workers: a running flow is stopped and let go on, and rules' additions are seen. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Lab } from "./lab.ts";
import { labTest } from "./lab_testing.ts";
import { ROOT } from "../tree.ts";

const CONFIG = `
import { defineRouter } from "${ROOT}mod.ts";

export default defineRouter({
  interfaces: {
    lan: { addresses: ["192.0.2.1/24"], peer: { netns: "lan", addresses: ["192.0.2.2/24"], routes: ["default"] } },
    wan: { addresses: ["198.51.100.1/24"], peer: { netns: "wan", addresses: ["198.51.100.2/24"], routes: ["default"] } },
  },
  ipset: \`create blocked hash:net
create seen hash:ip timeout 600
create all list:set
add all blocked
\`,
  iptables: \`*filter
-A FORWARD -m set --match-set all src -j DROP
-A FORWARD -m state --state NEW -j SET --add-set seen src
COMMIT
\`,
  workers: 2,
});
`;

labTest("weir set changes the sets of a router at work, for all its workers", ["ping"], async () => {
  await using lab = await Lab.private("lan", "wan");
  await lab.weir(lab.write("sets.ts", CONFIG));
  const set = async (...args: string[]) => {
    const { code, stdout, stderr } = await lab.command(["set", ...args]);
    return { code, said: (stdout + stderr).trimEnd() };
  };
  const pings = async () => {
    const { stdout } = await lab.run("lan", "ping", ["-c", "6", "-i", "0.02", "-W", "1", "198.51.100.2"]);
    return Number(/(\d+) received/.exec(stdout)?.[1]);
  };
  assertEquals(await pings(), 6);
  const seen = await set("list", "seen");
  assertMatch(seen.said, /^create seen hash:ip .*\nadd seen 192\.0\.2\.2 timeout (600|59\d)$/);

  // A flow that has taken the fast path for a while meets what is added now.
  const flow = lab.run("lan", "ping", ["-c", "60", "-i", "0.1", "-W", "1", "198.51.100.2"]);
  await new Promise((done) => setTimeout(done, 1500));
  assertEquals(await set("add", "blocked", "192.0.2.0/28"), { code: 0, said: "1 member added to blocked" });
  assertEquals(await pings(), 0);
  assertEquals(await set("test", "blocked", "192.0.2.7"), { code: 0, said: "192.0.2.7 is in blocked" });
  assertEquals((await set("test", "blocked", "192.0.2.77")).code, 1);
  assertEquals(await set("del", "blocked", "192.0.2.0/28"), {
    code: 0,
    said: "1 member removed from blocked",
  });
  assertEquals(await pings(), 6);
  const received = Number(/(\d+) received/.exec((await flow).stdout)?.[1]);
  assert(received > 10 && received < 58, `${received} of 60 answers`);

  const { stdout } = await lab.command(["set", "list", "blocked", "--json"]);
  assertEquals(JSON.parse(stdout).entries, []);
  const wrong = await set("add", "bloked", "192.0.2.1");
  assertEquals(wrong.code, 1);
  assertStringIncludes(wrong.said, 'there is no set "bloked"');
  assertEquals((await set("add", "blocked")).code, 2);
});
