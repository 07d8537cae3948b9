/**
 * L02 (scale: 200,000 SYNs and a table of 8,192): a SYN flood from everywhere fills what it may and no more, and those
 * who were there before do not notice.
 */
import { assert, assertEquals } from "@std/assert";
import { defineRouter } from "../../src/config/define.ts";
import { validate } from "../../src/config/validate.ts";
import { VirtualRouter } from "../../src/replay/virtual.ts";
import { seeded, tcp } from "../kit/mod.ts";

const FLOOD = 200_000, GOOD = 1_000, MAX = 8_192, PER_SECOND = 20_000;
const SERVER = "198.51.100.7", OWN = "198.51.100.1";
/** Where addresses, ports and the checksum stand in an IPv4 packet without options. */
const IP_SUM = 10, SRC = 12, SPORT = 20, TCP_SUM = 36;

const CONFIG = validate(defineRouter({
  interfaces: {
    lan: { addresses: ["192.0.2.1/24"] },
    wan: { addresses: [`${OWN}/24`] },
  },
  routes: [{ destination: "10.0.0.0/8", interface: "lan", via: "192.0.2.254" }],
  tables: { nat: { POSTROUTING: [{ outInterface: "wan", jump: "MASQUERADE" }] } },
  sysctl: { "net.netfilter.nf_conntrack_max": MAX },
}));

Deno.test(`L02 ${FLOOD.toLocaleString("en")} SYNs from random sources cost ${GOOD} open connections nothing, and leave nothing behind`, () => {
  let good = 0;
  const router = new VirtualRouter(CONFIG, {
    // The flood is for port 80, the others talk to port 443.
    emit: (iface, bytes) => {
      const view = new DataView(bytes.buffer);
      if (view.getUint16(iface === 2 ? 22 : 20) === 443) good++;
    },
  });
  router.moveTo(1_790_000_000_000);
  const { flows } = router.router.conntrack, random = seeded(2);
  const client = (i: number, o: object) =>
    tcp({ src: "192.0.2.2", sport: 2000 + i, dst: SERVER, dport: 443, flags: "A", seq: 2, ack: 2, ...o });
  const server = (i: number, o: object) =>
    tcp({ src: SERVER, sport: 443, dst: OWN, dport: 2000 + i, flags: "A", seq: 2, ack: 2, ...o });
  for (let i = 0; i < GOOD; i++) {
    router.receive(1, client(i, { flags: "S", seq: 1, ack: 0 }));
    router.receive(2, server(i, { flags: "SA", seq: 1 }));
    router.receive(1, client(i, {}));
  }
  assertEquals([good, flows.count], [3 * GOOD, GOOD]);

  const syn = tcp({ src: "10.0.0.1", sport: 1, dst: SERVER, dport: 80, flags: "S", seq: 1 });
  const view = new DataView(syn.buffer);
  let sent = 0, most = 0;
  good = 0;
  for (let i = 0; i < FLOOD; i++) {
    const source = random.next();
    change(view, IP_SUM, SRC, 0x0a00 | ((source >>> 16) & 0xff), TCP_SUM);
    change(view, IP_SUM, SRC + 2, source & 0xffff, TCP_SUM);
    change(view, -1, SPORT, 1 + (random.next() >>> 0) % 65_535, TCP_SUM);
    router.receive(1, syn);
    most = Math.max(most, flows.count);
    if (i % (PER_SECOND / 100) === 0) router.moveTo(router.clock.wall * 1000 + 10);
    if (i % 40 === 0) {
      const n = (i / 40) % GOOD;
      router.receive(1, client(n, { payload: 100 }));
      router.receive(2, server(n, { payload: 100 }));
      sent += 2;
    }
  }
  assertEquals(good, sent, "what open connections had to say was delivered");
  assert(most > MAX * 0.9 && most <= MAX, `${most} flows, the flood should have filled ${MAX}`);
  const drops = new Map(router.drops());
  assertEquals([...drops.keys()].filter((reason) => reason !== "table-full"), []);

  // 120 s after the last SYN nothing of it is left, and there is room for everybody again.
  const end = router.clock.wall * 1000;
  for (let ms = 0; ms <= 120_000; ms += 1000) router.moveTo(end + ms);
  while (router.router.sweep());
  assertEquals(flows.count, GOOD);
  good = 0;
  for (let i = 0; i < GOOD; i++) router.receive(2, server(i, { payload: 100 }));
  for (let i = GOOD; i < 2 * GOOD; i++) router.receive(1, client(i, { flags: "S", seq: 1, ack: 0 }));
  assertEquals([good, flows.count], [2 * GOOD, 2 * GOOD]);
});

/** Sets two bytes at `at`, and the sums over them follow (RFC 1624). */
function change(view: DataView, ipSum: number, at: number, value: number, tcpSum: number): void {
  for (const check of [ipSum, tcpSum]) {
    if (check < 0) continue;
    let sum = (~view.getUint16(check) & 0xffff) + (~view.getUint16(at) & 0xffff) + value;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    view.setUint16(check, ~sum & 0xffff);
  }
  view.setUint16(at, value);
}
