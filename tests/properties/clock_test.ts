/** L10, the clock: what people set it to changes no timer; what time really passes while nobody looked counts. */
import { assert, assertEquals } from "@std/assert";
import { defineRouter } from "../../src/config/define.ts";
import { validate } from "../../src/config/validate.ts";
import { VirtualRouter } from "../../src/replay/virtual.ts";
import { fragments, icmpEcho, tcp, udp } from "../kit/mod.ts";

const HOUR = 3600, YEAR = 365 * 24 * HOUR, SERVER = "198.51.100.7", OWN = "198.51.100.1", LAN = "192.0.2.2";

const CONFIG = validate(defineRouter({
  interfaces: { lan: { addresses: ["192.0.2.1/24"] }, wan: { addresses: [`${OWN}/24`] } },
  iptables: `*nat
-A POSTROUTING -o wan -j MASQUERADE
COMMIT
*filter
-A FORWARD -p icmp -m limit --limit 1/second --limit-burst 1 -j ACCEPT
-A FORWARD -p icmp -j DROP
COMMIT
`,
}));

/** A router with flows of all ages, and what can be asked about it. */
class Bench {
  emitted = 0;
  readonly router = new VirtualRouter(CONFIG, { emit: () => this.emitted++ });
  readonly flows = this.router.router.conntrack.flows;

  constructor() {
    this.router.moveTo(1_790_000_000_000);
    const { router } = this;
    for (let i = 0; i < 100; i++) {
      router.receive(1, udp({ src: LAN, sport: 1000 + i, dst: SERVER, dport: 53 }));
      router.receive(1, tcp({ src: LAN, sport: 1000 + i, dst: SERVER, dport: 80, flags: "S", seq: 1 }));
      if (i % 2) continue;
      router.receive(
        2,
        tcp({ src: SERVER, sport: 80, dst: OWN, dport: 1000 + i, flags: "SA", seq: 1, ack: 2 }),
      );
      router.receive(
        1,
        tcp({ src: LAN, sport: 1000 + i, dst: SERVER, dport: 80, flags: "A", seq: 2, ack: 2 }),
      );
    }
    assertEquals(this.flows.count, 200);
  }

  /** So many seconds pass, and somebody sets the clock forward by so many more. */
  pass(seconds: number, set = 0): void {
    const { clock } = this.router;
    clock.now = (clock.now + seconds * 1000) | 0;
    clock.wall += seconds + set;
    for (let i = 0; i < 20; i++) this.router.router.sweep();
  }

  /** Packets that leave while `f` runs. */
  left(f: (router: VirtualRouter) => void): number {
    const before = this.emitted;
    f(this.router);
    return this.emitted - before;
  }
}

for (
  const [name, set] of [["-1 h", -HOUR], ["+1 h", HOUR], ["+10 y", 10 * YEAR], ["-10 y", -10 * YEAR]] as const
) {
  Deno.test(`L10 the wall clock is set ${name}: no flow, no fragment and no limit notices`, () => {
    const bench = new Bench();
    const [first, last] = fragments(
      udp({ src: LAN, sport: 7, dst: SERVER, dport: 7, payload: 900, df: false }),
      456,
    );
    const ping = (router: VirtualRouter) => router.receive(1, icmpEcho({ src: LAN, dst: SERVER }));
    assertEquals(bench.left((router) => router.receive(1, first)), 0);
    assertEquals(bench.left(ping), 1);
    const listing = bench.router.flows();
    bench.pass(0, set);
    assertEquals(bench.router.flows(), listing, "every timeout as before");
    assertEquals(bench.left(ping), 0, "the limit is used up as it was");
    bench.pass(1);
    assertEquals(bench.left(ping), 1, "and a second later it is not");
    assertEquals(bench.left((router) => router.receive(1, last)), 2, "the datagram becomes whole");
    bench.pass(28);
    assertEquals(bench.flows.count, 202);
    bench.pass(1, set);
    assertEquals(bench.flows.count, 102, "30 s after its only packet a datagram's flow goes");
    assertEquals(
      bench.left((router) => {
        for (let i = 0; i < 100; i += 2) {
          const back = { src: SERVER, sport: 80, dst: OWN, dport: 1000 + i };
          router.receive(2, tcp({ ...back, flags: "PA", seq: 2, ack: 2, payload: "hello" }));
        }
      }),
      50,
    );
  });
}

Deno.test("L10 after a pause of 30 s in which nobody looked at the clock, what was due is gone and nothing else", () => {
  const bench = new Bench();
  bench.pass(30);
  assertEquals(bench.flows.count, 100);
  assert(bench.router.flows().every((line) => line.startsWith("tcp")));
});

Deno.test("L10 a flow whose time was over during a pause is not found by the packet that comes before the sweep", () => {
  const bench = new Bench(), { clock, router } = bench.router;
  clock.now = (clock.now + 31_000) | 0;
  clock.wall += 31;
  bench.router.receive(1, udp({ src: LAN, sport: 1000, dst: SERVER, dport: 53 }));
  router.sweep();
  const lines = bench.router.flows().filter((line) => line.startsWith("udp"));
  assertEquals(lines.length, 1);
  assert(/^udp +17 30 .*UNREPLIED/.test(lines[0]), lines[0]);
});

Deno.test("L10 the monotonic clock wraps after 49 days, and no timer notices", () => {
  const bench = new Bench();
  // In steps that an int32 can tell apart; open connections speak now and then.
  for (let day = 0; day < 100; day += 4) {
    bench.pass(4 * 24 * HOUR);
    assertEquals(bench.flows.count, 50, `day ${day}`);
    const left = bench.left((router) => {
      for (let i = 0; i < 100; i += 2) {
        // Both sides speak: the same segment again and again would be a retransmission, with a short timeout.
        const to = { src: LAN, sport: 1000 + i, dst: SERVER, dport: 80, flags: "A", seq: 2, ack: 2 };
        router.receive(1, tcp(to));
        router.receive(2, tcp({ ...to, src: SERVER, sport: 80, dst: OWN, dport: 1000 + i }));
      }
    });
    assertEquals(left, 100);
  }
});
