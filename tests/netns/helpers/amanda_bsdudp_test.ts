/**
 * Amanda with `auth bsdudp` through Weir: one connection for all streams, so that the client's answer names a port, and
 * channels of six digits, of which Linux reads five and takes them for ports. One server's first dump survives that:
 * nobody else waits at the "port", and it stays as it is. Within the 180 s in which it is expected any other dump by
 * way of the same address is given another number there, and the two ends speak of different channels.
 *
 * In a capture the client often ends the connection with resets, through any router: it has closed its side when the
 * server's last words arrive. The dump is whole by then.
 */

import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { labTest } from "../lab_testing.ts";
import { IMPLEMENTATIONS, ROUTER_PROGRAMS } from "../routers.ts";
import { Amanda, CONTROL, PROGRAMS } from "./amanda.ts";
import { helperLab, routerBeside, withHelper } from "./kit.ts";

/** Two backup servers behind one address, of the same client. */
const SERVERS = [{ where: "lan", name: "one" }, { where: "lan2", name: "other" }];
const CLIENT = "wan.example.net";
/** What a client answers. */
const ANSWER = /^CONNECT DATA 50\d{3} MESG 499999 INDEX 499998 STATE 499997$/gm;

labTest(
  "Amanda, auth bsdudp, portsOnly: two servers behind one address keep a directory twice each within three minutes",
  PROGRAMS,
  async () => {
    await using lab = await helperLab();
    await using amanda = await Amanda.in(lab, "bsdudp");
    await withHelper(lab, CONTROL, "{ portsOnly: true }");
    await amanda.startClient("wan");
    for (const { where, name } of SERVERS) {
      await amanda.configure(name, CLIENT);
      await amanda.check(where, name);
    }
    const began = performance.now();
    for (let i = 0; i < 2; i++) {
      for (const { where, name } of SERVERS) {
        await amanda.dump(where, name);
        await amanda.restore(where, name, CLIENT);
      }
    }
    assertEquals(
      performance.now() - began < 180_000,
      true,
      "expectations of the first dump would still be there",
    );
    assertEquals((await amanda.contents("log/amandad/")).match(ANSWER)?.length, 4, "one dump, one answer");
  },
);

for (const { name: router, start } of IMPLEMENTATIONS) {
  labTest(
    `Amanda, auth bsdudp, ${router} as the router without portsOnly: the second dump hears of channels that nobody has`,
    [...PROGRAMS, ...ROUTER_PROGRAMS],
    async () => {
      await using lab = await helperLab();
      await using amanda = await Amanda.in(lab, "bsdudp");
      await start(lab, routerBeside(CONTROL));
      await amanda.startClient("wan");
      const [{ where, name }] = SERVERS;
      await amanda.configure(name, CLIENT);
      await amanda.dump(where, name);
      await amanda.restore(where, name, CLIENT);
      const { code } = await amanda.run(where, "amdump", name);
      const report = await amanda.run(where, "amreport", name);
      const log = await amanda.contents("log/amandad/") + await amanda.contents(`log/server/${name}/dumper.`);
      assertNotEquals(code, 0, report.stdout + log.match(/^.*CONNECT DATA.*$/gm)?.join("\n"));
      assertEquals((await amanda.contents("log/amandad/")).match(ANSWER)?.length, 2, "what the client said");
      // Of each number five digits became a port that was free, and the sixth stayed.
      const heard = (await amanda.contents(`log/server/${name}/dumper.`)).match(/^CONNECT DATA .*$/gm) ?? [];
      assertEquals(heard.length, 2, "what the server heard");
      assertMatch(heard.join("\n"), /^.* MESG 499999 .*\n.* MESG (?!49999)\d{5}9 INDEX \d{5}8 STATE \d{5}7$/);
    },
  );
}
