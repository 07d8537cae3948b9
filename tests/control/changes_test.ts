import { assertEquals } from "@std/assert";
import { summarize } from "../../src/config/summary.ts";
import type { RouterConfig } from "../../src/config/types.ts";
import { validate } from "../../src/config/validate.ts";
import { changesBetween, describeChanges, impossible } from "../../src/control/changes.ts";
import { ftp, irc, tftp } from "../../src/helpers/mod.ts";

const BASE: RouterConfig = { interfaces: { lan: { addresses: ["192.0.2.1/24"] }, wan: {} } };
const A = { source: "192.0.2.1", jump: "ACCEPT" } as const,
  B = { source: "192.0.2.2", jump: "DROP" } as const;

const summaryOf = (more: Partial<RouterConfig>) => {
  const written = { ...BASE, ...more };
  return summarize(validate(written));
};

/** What two configurations differ in, and the lines that say so. */
const CASES: [before: Partial<RouterConfig>, now: Partial<RouterConfig>, lines: string[]][] = [
  [{}, {}, []],
  [{ tables: { filter: { FORWARD: [A] } } }, { tables: { filter: { FORWARD: [B, A, B] } } }, [
    "iptables filter FORWARD: 2 rules added",
  ]],
  [{ tables: { filter: { FORWARD: [A, B] } } }, { tables: { filter: { FORWARD: [B, A] } } }, [
    "iptables filter FORWARD: rules in another order",
  ]],
  [
    { tables: { ipv4: { filter: { FORWARD: [A, A] } } } },
    { tables: { ipv4: { filter: { FORWARD: { policy: "DROP", rules: [A, B] } } } } },
    ["iptables filter FORWARD: 1 rule added, 1 rule removed, policy ACCEPT → DROP"],
  ],
  [{ tables: { ipv4: { mangle: { OUTPUT: [A] } } } }, {}, ["iptables mangle OUTPUT: 1 rule removed"]],
  [{ helpers: [ftp(), tftp()] }, { helpers: [ftp({ ports: [21, 2121] }), irc()] }, [
    "helpers: ftp-2121, irc added; tftp removed",
  ]],
  [{ helpers: [ftp()] }, { helpers: [ftp({ minPort: 1024 })] }, ["helpers: ftp changed"]],
  [
    { interfaces: { lan: { addresses: ["192.0.2.1/24"] }, wan: {} } },
    { interfaces: { lan: { addresses: ["192.0.2.9/24"] }, dmz: {} } },
    ["interfaces: dmz added; wan removed; lan changed"],
  ],
  // The order of interfaces is nobody's business.
  [{}, { interfaces: { wan: {}, lan: { addresses: ["192.0.2.1/24"] } } }, []],
  [{}, { routes: [{ destination: "10.0.0.0/8", interface: "wan" }] }, ["routes: 10.0.0.0/8 dev wan added"]],
  [{}, { host: { device: "weir0" } }, ["host: changed"]],
  [{}, { sysctl: { "net.netfilter.nf_conntrack_udp_timeout": 60 } }, [
    "net.netfilter.nf_conntrack_udp_timeout: 30 → 60",
  ]],
];
CASES.forEach(([before, now, lines], i) =>
  Deno.test(`changesBetween tells what changes: ${lines[0] ?? `nothing (${i})`}`, () => {
    assertEquals(describeChanges(changesBetween(summaryOf(before), summaryOf(now))), lines);
  })
);

Deno.test("impossible names what a running router cannot change, each with its place", () => {
  const cases: [before: Partial<RouterConfig>, now: Partial<RouterConfig>, place: RegExp | null][] = [
    [{}, { tables: { filter: { FORWARD: [A] } } }, null],
    [{}, { workers: 2 }, /^workers: 1 → 2: /],
    [
      {},
      { sysctl: { "net.netfilter.nf_conntrack_max": 7 } },
      /^sysctl\["net.netfilter.nf_conntrack_max"\]: \d+ → 7: /,
    ],
    [{}, { profile: "rfc" }, /^sysctl\["weir.nat_endpoint_independent"\]: /],
    [
      {},
      { interfaces: { lan: { addresses: ["192.0.2.1/24"], offload: false }, wan: {} } },
      /^interfaces.lan.offload: /,
    ],
    [
      {},
      { interfaces: { lan: { device: "wan" }, wan: { device: "other" } } },
      /^interfaces.lan: device wan belongs to interface wan/,
    ],
    [{}, { interfaces: { lan: { device: "other" }, wan: {} } }, null],
  ];
  for (const [before, now, place] of cases) {
    const reasons = impossible(summaryOf(before), summaryOf(now), null);
    assertEquals(reasons.length > 0, place !== null, reasons.join("\n"));
    if (place !== null) assertEquals(place.test(reasons[0]), true, reasons[0]);
  }
  assertEquals(
    impossible(summaryOf({}), summaryOf({ workers: 2 }), 1),
    [],
    "the command line has said how many",
  );
});
