/** A helper whose code never comes back: the router ends, says why, and the next one is not ended by it. */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Lab, ROOT } from "./lab.ts";
import { labTest } from "./lab_testing.ts";
import { startWeb } from "./services.ts";

const CONFIG = `
  import { defineHelper, defineRouter, ftp } from "${ROOT}mod.ts";
  const odd = defineHelper({
    name: "odd",
    protocol: "tcp",
    ports: [8080],
    find(payload) {
      while (payload.startsWith("GET /bytes/13 "));
      if (payload.startsWith("GET /bytes/14 ")) for (;;);
    },
  });
  export default defineRouter({
    interfaces: {
      lan: { addresses: ["192.0.2.1/24"], peer: { netns: "lan", addresses: ["192.0.2.2/24"], routes: ["default"] } },
      wan: { addresses: ["198.51.100.1/24"], peer: { netns: "wan", addresses: ["198.51.100.2/24"] } },
    },
    tables: { nat: { POSTROUTING: [{ outInterface: "wan", jump: "MASQUERADE" }] } },
    helpers: [ftp(), odd],
  });`;

labTest("a helper that never comes back ends the router, which goes on without it", ["curl"], async () => {
  await using lab = await Lab.private("lan", "wan");
  await startWeb(lab, "wan", 8080);
  const path = lab.write("odd.ts", CONFIG);
  let weir = await lab.weir(path);
  const get = (bytes: number) =>
    lab.spawn("lan", "curl", ["-sS", "-m", "40", `http://198.51.100.2:8080/bytes/${bytes}`]);
  // A loop that asks something of the payload is stopped, and costs its flow the helper.
  assertEquals((await get(13).ended).stdout.length, 13);
  assertMatch(
    weir.text,
    /nf_ct_odd: helper failed, accepting packet; .* goes on without it: RangeError: it looked at /,
  );

  // One that does not is not: its conversation is the first to go on when there is a router again.
  const conversation = get(14);
  const { code } = await weir.ended;
  assertEquals(code, 1);
  assertMatch(
    weir.text,
    /weir: the data plane died: it has not moved for 10 s; helper odd does not come to an end with a packet of flow tcp 192\.0\.2\.2:\d+ → 198\.51\.100\.2:8080\./,
  );
  weir = await lab.weir(path);
  assertStringIncludes(weir.text, "with the flows of the process before");
  assertEquals((await conversation.ended).stdout.length, 14);
  assertEquals((await get(14).ended).stdout.length, 14);
  const listed = async () => (await lab.command(["helpers"])).stdout;
  assertMatch(await listed(), /^odd +tcp 8080 +autoAssign +no +0 +0 +0 +0 +2 +0$/m);
  assertMatch(await listed(), /^ftp +tcp 21 +autoAssign +yes /m);
  assertEquals((await lab.command(["helpers", "--load", "odd"])).code, 0);
  assertEquals((await get(15).ended).stdout.length, 15);
  assertMatch(await listed(), /^odd +tcp 8080 +autoAssign +yes /m);
});
