/** Trackers over one memory and one arena are one tracker: whoever gets a packet gives the answer that one alone would. */
import { assert, assertEquals } from "@std/assert";
import { MappedArena } from "../../src/arena.ts";
import { below, type Random, Xoshiro } from "../../src/clock.ts";
import { ExpectTable } from "../../src/conntrack/expect.ts";
import { listExpects } from "../../src/conntrack/format.ts";
import { HelperRoster } from "../../src/conntrack/roster.ts";
import { FlowTable } from "../../src/conntrack/table.ts";
import { ftp } from "../../src/helpers/mod.ts";
import { icmpEcho, tcp, udp } from "../kit/mod.ts";
import { Lab, type LabOptions, LAN, masquerade, WAN } from "./lab.ts";

const CAPACITY = 1024, EXPECTATIONS = 64, STEPS = 3000;
const S = "198.51.100.7";

type Step = [iface: number, bytes: Uint8Array];

/** Random packets: flows that begin, go on, are answered, announce others and end. */
function packets(random: Xoshiro): Step[] {
  const host = below(random, 8),
    sport = 5000 + host * 1000 + below(random, 40),
    inside = `10.0.0.${2 + host}`;
  const from = { src: inside, sport, dst: S }, back = { src: S, dst: "203.0.113.1", dport: sport };
  switch (below(random, 8)) {
    case 0:
    case 1:
      return [[LAN, udp({ ...from, dport: 53, payload: 9 })]];
    case 2:
      return [[WAN, udp({ ...back, sport: 53, payload: 30 })]];
    case 3:
      return [[LAN, icmpEcho({ src: inside, dst: S, echoId: sport })]];
    case 4:
    case 5:
      return [
        [LAN, tcp({ ...from, dport: 21, flags: "S", seq: 100 })],
        [WAN, tcp({ ...back, sport: 21, flags: "SA", seq: 500, ack: 101 })],
        [LAN, tcp({ ...from, dport: 21, flags: "PA", seq: 101, ack: 501, payload: "USER a\r\n" })],
        [LAN, tcp({ ...from, dport: 21, flags: "PA", seq: 109, ack: 501, payload: announcement(host) })],
      ];
    case 6:
      return [[
        WAN,
        tcp({ src: S, sport: 20, dst: "203.0.113.1", dport: 4096 + host, flags: "S", seq: 900 }),
      ]];
    default:
      return [[LAN, tcp({ ...from, dport: 21, flags: "RA", seq: 128, ack: 501 })]];
  }
}

/** A host waits for data at port 4096 and a few. */
function announcement(host: number): string {
  return `PORT 10,0,0,${2 + host},16,${host}\r\n`;
}

/** What the three draw from together, and the one alone likewise. */
class Chance implements Random {
  source: Random = new Xoshiro(1);

  next(): number {
    return this.source.next();
  }
}

function labs(o: LabOptions): { alone: Lab; shared: Lab[] } {
  const options: LabOptions = {
    rules: masquerade,
    helpers: [ftp()],
    capacity: CAPACITY,
    expectations: EXPECTATIONS,
    ...o,
  };
  const memory = {
    flows: new ArrayBuffer(FlowTable.bytes(CAPACITY)),
    expects: new ArrayBuffer(ExpectTable.bytes(EXPECTATIONS)),
    roster: HelperRoster.of(options.helpers!),
  };
  const buffer = new ArrayBuffer(1 << 22), chance = new Chance();
  const shared = [true, false, false].map((fresh) =>
    new Lab({ ...options, random: chance, memory, arena: new MappedArena(buffer, fresh) })
  );
  const alone = new Lab({ ...options, random: new Chance() });
  chance.source = new Xoshiro(5);
  (alone.conntrack.random as Chance).source = new Xoshiro(5);
  return { alone, shared };
}

for (
  const [name, sysctl] of [
    ["as Linux does", {}],
    ["with mappings", { "weir.nat_endpoint_independent": 2 }],
    ["in a full table", { "net.netfilter.nf_conntrack_max": 100 }],
  ] as const
) {
  Deno.test(`Three trackers of one arena answer ${name} as one alone`, () => {
    const { alone, shared } = labs({ sysctl }), random = new Xoshiro(11);
    let flows = 0, expects = 0;
    for (let n = 0; n < STEPS; n++) {
      const wait = below(random, 20) === 0 ? below(random, 4000) : 0;
      for (const lab of [alone, ...shared]) lab.clock.advance(wait);
      if (wait > 0) {
        alone.conntrack.sweep();
        shared[below(random, 3)].conntrack.sweep();
      }
      for (const [iface, bytes] of packets(random)) {
        const which = shared[below(random, 3)];
        assertEquals(which.send(iface, bytes), alone.send(iface, bytes), `step ${n}`);
      }
      flows = Math.max(flows, alone.conntrack.flows.count);
      expects = Math.max(expects, alone.conntrack.expects.count);
      if (n % 100 !== 0) continue;
      const other = shared[below(random, 3)];
      assertEquals(other.list().sort(), alone.list().sort(), `flows behind step ${n}`);
      assertEquals(listExpects(other.conntrack).sort(), listExpects(alone.conntrack).sort());
      assertEquals([...other.conntrack.stats], [...alone.conntrack.stats]);
      assertEquals([...other.conntrack.helperCounts], [...alone.conntrack.helperCounts]);
    }
    assert(flows > 50 && expects > 0, `${flows} flows, ${expects} expectations`);
  });
}
