/** Full tables: flows (L01) and expectations (X13). */
import { assert, assertEquals } from "@std/assert";
import { validate } from "../../src/config/validate.ts";
import { CT_STATUS, FLOW_WORDS, IPS_ASSURED } from "../../src/conntrack/flow.ts";
import { STAT_DROP, STAT_EARLY_DROP } from "../../src/conntrack/tracker.ts";
import { ftp } from "../../src/helpers/mod.ts";
import { VirtualRouter } from "../../src/replay/virtual.ts";
import { tcp, udp } from "../kit/mod.ts";
import { Rig } from "./rig.ts";

const S = "198.51.100.7";
/** A host of 10.0.0.0/8 by number. */
const host = (n: number) => `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`;

Deno.test("L01 a flood of new flows costs no ASSURED flow, whoever comes after is refused and counted", () => {
  const MAX = 2000, GOOD = 1800, FLOOD = 20_000;
  const rig = new Rig({ capacity: MAX + 64, sysctl: { max: MAX } }), c = rig.conntrack;
  const good: number[] = [];
  for (let i = 0; i < GOOD; i++) {
    rig.send(udp({ src: host(i), sport: 5000, dst: S, dport: 53, payload: 9 }));
    c.flows.words[rig.p.ct * FLOW_WORDS + CT_STATUS] |= IPS_ASSURED;
    good.push(rig.p.ct);
  }
  const seen = { NEW: 0, "table-full": 0 };
  for (let i = 0; i < FLOOD; i++) {
    rig.clock.advance(i % 10 === 0 ? 1 : 0);
    const says = rig.send(udp({ src: host(100_000 + i), sport: 6000, dst: S, dport: 53, payload: 9 }));
    seen[says as keyof typeof seen]++;
    if (i % 50 === 0) c.sweep();
    assert(c.flows.count <= MAX, `${c.flows.count} flows`);
  }
  assertEquals(seen.NEW + seen["table-full"], FLOOD);
  assert(seen["table-full"] > 0 && seen.NEW > MAX - GOOD, JSON.stringify(seen));
  assertEquals(c.stats[STAT_DROP], seen["table-full"]);
  assert(c.stats[STAT_EARLY_DROP] > 0);
  for (let i = 0; i < GOOD; i++) {
    const says = rig.send(udp({ src: S, sport: 53, dst: host(i), dport: 5000, payload: 9 }));
    assertEquals([says, rig.p.ct], ["ESTABLISHED", good[i]]);
  }
  // The flood is over: its flows go, the others' places stay.
  rig.wait(31_000);
  for (let i = 0; i < 40; i++) rig.wait(200);
  assertEquals(rig.send(udp({ src: host(999_999), sport: 6000, dst: S, dport: 53, payload: 9 })), "NEW");
});

Deno.test("X13 beyond expect_max an announcement is refused with its packet, and the masters' end gives all back", () => {
  const MASTERS = 100, MOST = 60;
  const out: number[] = [], log: string[] = [];
  const router = new VirtualRouter(
    validate({
      interfaces: { lan: { addresses: ["10.255.0.1/8"] }, wan: { addresses: ["203.0.113.1/24"] } },
      routes: [{ destination: "0.0.0.0/0", interface: "wan" }],
      helpers: [ftp()],
      sysctl: { "net.netfilter.nf_conntrack_expect_max": MOST, "net.netfilter.nf_conntrack_max": 1000 },
    }),
    { emit: (iface, bytes) => void (iface === 2 && out.push(bytes.length)), log: (line) => log.push(line) },
  );
  router.moveTo(1);
  const c = (n: number, o: object) =>
    router.receive(1, tcp({ src: host(n), sport: 4000, dst: S, dport: 21, flags: "PA", ...o }));
  const s = (n: number, o: object) =>
    router.receive(2, tcp({ src: S, sport: 21, dst: host(n), dport: 4000, flags: "PA", ...o }));
  /** Every master announces a port; how many announcements got through. */
  const announce = (round: number) => {
    let passed = 0;
    for (let n = 2; n < MASTERS + 2; n++) {
      const from = host(n + 1000 * round);
      const before = out.length;
      c(n + 1000 * round, { flags: "S", seq: 1 });
      s(n + 1000 * round, { flags: "SA", seq: 1, ack: 2 });
      c(n + 1000 * round, { flags: "A", seq: 2, ack: 2 });
      c(n + 1000 * round, { seq: 2, ack: 2, payload: "USER a\r\n" });
      c(n + 1000 * round, { seq: 10, ack: 2, payload: `PORT ${from.replaceAll(".", ",")},16,0\r\n` });
      passed += out.length - before - 4 + 1;
    }
    return passed;
  };
  const conntrack = router.router.conntrack;
  assertEquals([announce(0), router.expects().length], [MOST, MOST]);
  assert(log.some((line) => line.includes("expectation table full")), log.join());
  // Who replaces its own announcement needs no room.
  c(2, { seq: 30, ack: 2, payload: "PORT 10,0,0,2,16,1\r\n" });
  assertEquals(router.expects().filter((line) => line.includes("dport=4097")).length, 1);
  assertEquals(router.expects().length, MOST);
  const { flows } = conntrack;
  for (let ct = flows.next(-1); ct >= 0; ct = flows.next(ct)) conntrack.delete(ct);
  assertEquals([router.expects().length, conntrack.expects.count], [0, 0]);
  assertEquals([announce(1), router.expects().length], [MOST, MOST], "and once more");
});
