/**
 * Nanoseconds that finding a flow takes, among as many as are asked for.
 *
 *   deno run -A lookup.ts FLOWS…
 *
 * UDP flows are opened by packets through the router in memory; then random ones of all are looked up, so that a table
 * beyond the caches is one. Two numbers for each count: one lookup after the other, and as packets that are read
 * together have it, whose places are fetched at once.
 */
import { defineRouter } from "../../src/config/define.ts";
import { validate } from "../../src/config/validate.ts";
import { copyTuple, DST, newTuple, PORTS, PROTO, SRC, TUPLE_WORDS } from "../../src/conntrack/tuple.ts";
import { UDP } from "../../src/netfilter.ts";
import { VirtualRouter } from "../../src/replay/virtual.ts";
import { print } from "../../src/cli/output.ts";
import { seeded, udp } from "../kit/mod.ts";
import { summary } from "./statistics.ts";

/** Tuples that are looked up: read one after the other, they do not compete for the caches. */
const LOOKUPS = 1 << 18;
/** Packets that are read together. */
const TOGETHER = 32;
/** Passes over them, in portions, of whose times the median counts. */
const PASSES = 4, PORTION = 4096;
const PORT = 443, CLIENTS = 0x0a000000, SERVER = 0xcb007107;

/** Ports of flow i: 60,000 of each client. */
const client = (i: number) => CLIENTS + 2 + Math.floor(i / 60_000), sport = (i: number) => 1024 + i % 60_000;

function nanoseconds(flows: number): number[] {
  const router = new VirtualRouter(
    validate(defineRouter({
      interfaces: { lan: { addresses: ["10.0.0.1/8"] }, wan: { addresses: ["198.51.100.1/24"] } },
      routes: [{ destination: "default", interface: "wan", via: "198.51.100.254" }],
      tables: { filter: { FORWARD: [{ state: "ESTABLISHED", jump: "ACCEPT" }] } },
      sysctl: { "net.netfilter.nf_conntrack_max": flows + 64 },
    })),
    { emit: () => {} },
  );
  const bytes = udp({ src: "10.0.0.2", sport: 1, dst: "203.0.113.7", dport: PORT, checksum: 0 });
  const view = new DataView(bytes.buffer), header = view.getUint16(10);
  for (let i = 0; i < flows; i++) {
    view.setUint32(12, client(i));
    // RFC 1624, from the first client's address to this one's.
    let sum = (~header & 0xffff) + (~2 & 0xffff) + (client(i) & 0xffff);
    sum = (sum & 0xffff) + (sum >> 16);
    view.setUint16(10, ~((sum & 0xffff) + (sum >> 16)) & 0xffff);
    view.setUint16(20, sport(i));
    router.receive(1, bytes);
  }
  const { conntrack } = router.router;
  if (conntrack.flows.count !== flows) throw new Error(`${conntrack.flows.count} flows instead of ${flows}`);
  const tuples = new Int32Array(LOOKUPS * TUPLE_WORDS), random = seeded(5);
  for (let n = 0, at = 0; n < LOOKUPS; n++, at += TUPLE_WORDS) {
    const i = (random.next() >>> 0) % flows;
    tuples[at + SRC] = client(i);
    tuples[at + DST] = SERVER;
    tuples[at + PORTS] = sport(i) << 16 | PORT;
    tuples[at + PROTO] = 4 << 8 | UDP;
  }
  const { foresight, flows: table } = conntrack, t = newTuple();
  const alone = (from: number, to: number) => {
    for (let n = from; n < to; n++) {
      if (conntrack.find(tuples, n * TUPLE_WORDS) < 0) throw new Error("a flow is not found");
    }
  };
  const together = (from: number, to: number) => {
    for (let first = from; first < to; first += TOGETHER) {
      foresight.clear();
      for (let n = first; n < first + TOGETHER; n++) {
        copyTuple(t, 0, tuples, n * TUPLE_WORDS);
        foresight.announce(t);
      }
      foresight.fetch();
      for (let n = first; n < first + TOGETHER; n++) {
        copyTuple(t, 0, tuples, n * TUPLE_WORDS);
        const found = table.findHashed(foresight.hash(t), t, 0);
        if (found < 0 || conntrack.expired(found >> 1)) throw new Error("a flow is not found");
      }
    }
  };
  return [alone, together].map((look) => {
    const times: number[] = [];
    for (let pass = 0; pass < PASSES; pass++) {
      for (let from = 0; from < LOOKUPS; from += PORTION) {
        const began = performance.now();
        look(from, from + PORTION);
        times.push((performance.now() - began) * 1e6 / PORTION);
      }
    }
    return summary(times)!.median;
  });
}

if (import.meta.main) {
  print(Deno.args.flatMap((flows) => nanoseconds(Number(flows)).map((ns) => ns.toFixed(2))).join(" "));
}
