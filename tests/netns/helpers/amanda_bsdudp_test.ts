/**
 * Amanda with `auth bsdudp` through Weir: one connection for all streams, so that the client's answer names a port, and
 * channels of six digits, of which Linux reads five and takes them for ports. The first dump survives that: nobody else
 * waits at the "port", and it stays as it is. Within the 180 s in which it is expected, the answer of any other
 * client behind the same address gets other digits, and so does that of the same client to a new question; then the two
 * ends speak of different channels.
 *
 * In a capture the client often ends the connection with resets, through any router: it has closed its side when the
 * server's last words arrive. The dump is whole by then.
 */

import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import type { Lab } from "../lab.ts";
import { labTest } from "../lab_testing.ts";
import { type Description, IMPLEMENTATIONS, ROUTER_PROGRAMS } from "../routers.ts";
import { Amanda, CONTROL, PROGRAMS } from "./amanda.ts";
import { helperLab, routerBeside, withHelper } from "./kit.ts";

/** Channels as the client counts them. */
const CHANNELS = "MESG 499999 INDEX 499998 STATE 499997";
const ANSWER = new RegExp(`^CONNECT DATA 50\\d{3} ${CHANNELS}$`, "gm");

/** Backup servers of the same client, behind one address. */
const SERVERS = [{ where: "lan", name: "one" }, { where: "lan2", name: "other" }];
const CLIENT = "wan.example.net";

/** Clients of the same backup server, behind one address: the port says who is meant. */
const CLIENTS = [{ where: "lan", name: "one", port: 10080 }, { where: "lan2", name: "other", port: 10081 }];
const OUTER = "outer.example.net";

/** The router before the two clients; `options` are those of the helper. */
function beforeClients(options = ""): Description {
  return {
    ...routerBeside(CONTROL, options),
    iptables: `*raw
-A PREROUTING -p udp -m udp --dport 10080:10081 -j CT --helper amanda
COMMIT
*nat
-A PREROUTING -d 198.51.100.1/32 -p udp -m udp --dport 10080 -j DNAT --to-destination 192.0.2.2
-A PREROUTING -d 198.51.100.1/32 -p udp -m udp --dport 10081 -j DNAT --to-destination 203.0.113.2:10080
COMMIT
*filter
:FORWARD DROP
-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A FORWARD -m conntrack --ctstate RELATED -m helper --helper amanda -j ACCEPT
-A FORWARD -i wan -p udp -m udp --dport 10080 -m conntrack --ctstate NEW -j ACCEPT
COMMIT
`,
  };
}

/** Starts the two clients, and a server for each of them. */
async function startClients(lab: Lab): Promise<Amanda> {
  const amanda = await Amanda.in(lab, "bsdudp");
  for (const { where, name, port } of CLIENTS) {
    await amanda.startClient(where);
    await amanda.configure(name, OUTER, port);
  }
  return amanda;
}

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
    assert(performance.now() - began < 180_000, "what the first dump expects would still be expected");
    assertEquals((await amanda.contents("log/amandad/")).match(ANSWER)?.length, 4, "one dump, one answer");
  },
);

labTest(
  "Amanda, auth bsdudp, portsOnly: a server keeps two clients behind one address twice each within three minutes",
  PROGRAMS,
  async () => {
    await using lab = await helperLab();
    await IMPLEMENTATIONS.find(({ name }) => name === "Weir")!.start(lab, beforeClients("portsOnly: true"));
    await using amanda = await startClients(lab);
    for (const { name } of CLIENTS) await amanda.check("wan", name);
    const began = performance.now();
    for (let i = 0; i < 2; i++) {
      for (const { name } of CLIENTS) {
        await amanda.dump("wan", name);
        await amanda.restore("wan", name, OUTER);
      }
    }
    assert(performance.now() - began < 180_000, "what the first dump expects would still be expected");
    assertEquals((await amanda.contents("log/amandad/")).match(ANSWER)?.length, 4, "one dump, one answer");
  },
);

for (const { name: router, start } of IMPLEMENTATIONS) {
  labTest(
    `Amanda, auth bsdudp, ${router} as the router without portsOnly: the second client's channels get other numbers`,
    [...PROGRAMS, ...ROUTER_PROGRAMS],
    async () => {
      await using lab = await helperLab();
      await start(lab, beforeClients());
      await using amanda = await startClients(lab);
      const [one, other] = CLIENTS;
      await amanda.dump("wan", one.name);
      await amanda.restore("wan", one.name, OUTER);
      assertNotEquals((await amanda.run("wan", "amdump", other.name)).code, 0, "what the second amdump says");
      assertEquals((await amanda.contents("log/amandad/")).match(ANSWER)?.length, 2, "what the clients said");
      // Of each number five digits became a port that was free, and the sixth stayed.
      const heard = await Promise.all(CLIENTS.map(async ({ name }) => {
        const log = await amanda.contents(`log/server/${name}/dumper.`);
        return log.match(/^CONNECT DATA .*$/gm)?.join("\n") ?? "";
      }));
      assertMatch(heard[0], new RegExp(`^CONNECT DATA 50\\d{3} ${CHANNELS}$`));
      assertMatch(heard[1], /^CONNECT DATA 50\d{3} MESG (?!49999)\d{5}9 INDEX \d{5}8 STATE \d{5}7$/);
    },
  );
}
