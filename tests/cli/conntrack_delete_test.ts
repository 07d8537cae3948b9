/** `weir conntrack -D` and `-F`, and the filter of `-L`, of a router that is this process. */

import { assertEquals, assertThrows } from "@std/assert";
import { Usage } from "../../src/cli/command.ts";
import { count, flush, list, remove } from "../../src/cli/conntrack.ts";
import { filterOf } from "../../src/cli/conntrack_filter.ts";
import { ftp } from "../../src/helpers/mod.ts";
import { udp } from "../kit/mod.ts";
import { libc } from "deno_tun";
import { CLIENT, OwnRouter, SERVER } from "./router.ts";
import { weir } from "./weir.ts";

// Opened once for all, before a test could be blamed for leaving it open.
libc();

const OTHER = "192.0.2.3";
const TABLES = {
  raw: { PREROUTING: [{ protocol: "udp", dport: 7, jump: "CT", zone: 5 }] },
  mangle: { PREROUTING: [{ protocol: "udp", dport: 53, jump: "CONNMARK", setMark: 0x12 }] },
  nat: { POSTROUTING: [{ source: OTHER, outInterface: "wan", jump: "SNAT", toSource: "198.51.100.1" }] },
} as const;

/** Five flows: FTP of the client, DNS of both, and echo of both in a zone. */
function opened(): OwnRouter {
  const own = new OwnRouter({ tables: TABLES, helpers: [ftp()] });
  own.connect();
  for (const src of [CLIENT, OTHER]) {
    for (const dport of [53, 7]) own.send(1, udp({ src, sport: 5000, dst: SERVER, dport, payload: "x" }));
  }
  return own;
}

/** A line's source and destination port, enough to know it by. */
const known = (line: string) => /src=(\S+) .*? dport=(\d+)/.exec(line)!.slice(1).join(" ");

const FTP = `${CLIENT} 21`;
const CASES: readonly [options: Record<string, string>, flows: string[]][] = [
  [{ proto: "tcp" }, [FTP]],
  [{ proto: "17", src: CLIENT }, [`${CLIENT} 53`, `${CLIENT} 7`]],
  [{ src: "192.0.2.0/31" }, []],
  [{ src: "192.0.2.2/31", dport: "53" }, [`${CLIENT} 53`, `${OTHER} 53`]],
  [{ dst: SERVER, sport: "5000" }, [`${CLIENT} 53`, `${CLIENT} 7`, `${OTHER} 53`, `${OTHER} 7`]],
  [{ "reply-dst": "198.51.100.1" }, [`${OTHER} 53`, `${OTHER} 7`]],
  [{ "reply-src": SERVER, "reply-port-src": "21", "reply-port-dst": "4000" }, [FTP]],
  [{ mark: "0x12" }, [`${CLIENT} 53`, `${OTHER} 53`]],
  [{ mark: "2/0xf", src: OTHER }, [`${OTHER} 53`]],
  [{ zone: "5" }, [`${CLIENT} 7`, `${OTHER} 7`]],
  [{ family: "ipv6" }, []],
  [{ dst: "2001:db8::/32" }, []],
];

for (const [options, flows] of CASES) {
  const says = Object.entries(options).map(([name, value]) => `--${name} ${value}`).join(" ");
  Deno.test(`conntrack -L and -D choose by ${says}`, async () => {
    using own = opened();
    const directory = own.folder.path,
      filter = filterOf(options)!,
      all = list("conntrack", "gateway", directory);
    assertEquals(all.length, 5);
    const listed = list("conntrack", "gateway", directory, filter);
    assertEquals(listed.map(known).sort(), flows.toSorted());
    assertEquals(await remove(filter, "gateway", directory), { lines: listed, deleted: flows.length });
    assertEquals(list("conntrack", "gateway", directory), all.filter((line) => !listed.includes(line)));
  });
}

Deno.test("conntrack -D takes the flow's expectations along, and its next packet begins a new flow", async () => {
  using own = opened();
  const directory = own.folder.path;
  own.say("PORT 192,0,2,2,19,136\r\n");
  assertEquals(list("expect", "gateway", directory).length, 1);
  await remove(filterOf({ proto: "tcp" })!, "gateway", directory);
  assertEquals(list("expect", "gateway", directory), []);
  own.say("NOOP\r\n");
  assertEquals(list("conntrack", "gateway", directory).map(known).filter((flow) => flow === FTP), [FTP]);
});

Deno.test("conntrack -F deletes everything, more than one slice of it", async () => {
  using own = new OwnRouter({ tables: TABLES, sysctl: { "net.netfilter.nf_conntrack_max": 2000 } });
  for (let sport = 1000; sport < 2000; sport++) {
    own.send(1, udp({ src: CLIENT, sport, dst: SERVER, dport: 9 }));
  }
  assertEquals(count("conntrack", "gateway", own.folder.path), 1000);
  assertEquals(await flush("gateway", own.folder.path), { deleted: 1000 });
  assertEquals(list("conntrack", "gateway", own.folder.path), []);
  assertEquals(await flush("gateway", own.folder.path), { deleted: 0 });
});

Deno.test("conntrack -D deletes nothing that has come since it looked", () => {
  using own = opened();
  const { conntrack } = own.router, ct = conntrack.flows.next(-1);
  assertEquals(conntrack.deleteSeen(ct, 12345), false);
  assertEquals(conntrack.deleteSeen(-1, 1), false);
  assertEquals(conntrack.deleteSeen(1 << 30, 1), false);
  assertEquals(list("conntrack", "gateway", own.folder.path).length, 5);
});

Deno.test("conntrack's filter refuses what makes no sense", () => {
  const bad = [["family", "ipx"], ["proto", "nope"], ["src", "300.1.2.3"], ["dport", "70000"], [
    "mark",
    "1/2/3",
  ]];
  for (const [option, text] of [...bad, ["zone", "65536"]]) {
    assertThrows(() => filterOf({ [option]: text }), Usage, `--${option} ${text}: it takes `);
  }
});

const WRONG: readonly (readonly string[])[] = [
  ["-D", "expect"],
  ["-F", "expect"],
  ["-C", "-p", "tcp"],
  ["-L", "-D"],
  ["-F", "-p", "tcp"],
  ["-L", "expect", "-p", "tcp"],
];
for (const args of WRONG) {
  Deno.test(`weir conntrack ${args.join(" ")} is wrong usage`, async () => {
    assertEquals((await weir(["conntrack", ...args])).code, 2);
  });
}
