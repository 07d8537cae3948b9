/** G14 (RFC 4787 REQ-14a, CVE-2018-5391): incomplete fragments fill what they may and no more, and hurt nobody else. */
import { assert, assertEquals } from "@std/assert";
import { defineRouter } from "../../src/config/define.ts";
import { validate } from "../../src/config/validate.ts";
import { VirtualRouter } from "../../src/replay/virtual.ts";
import { fragments, seeded, udp } from "../kit/mod.ts";

const LIMIT = 4 << 20, FLOOD = 1_000_000, EVERY = 100;

const CONFIG = validate(defineRouter({
  interfaces: {
    lan: { addresses: ["192.0.2.1/24", "2001:db8:1::1/64"] },
    wan: { addresses: ["198.51.100.1/24", "2001:db8:2::1/64"] },
  },
  tables: { nat: { POSTROUTING: [{ outInterface: "wan", jump: "MASQUERADE" }] } },
  sysctl: {
    "net.ipv4.ipfrag_high_thresh": LIMIT,
    "net.ipv6.ip6frag_high_thresh": LIMIT,
    "net.netfilter.nf_conntrack_max": 4096,
  },
}));

for (
  const [family, src, dst] of [["IPv4", "192.0.2.66", "198.51.100.7"], [
    "IPv6",
    "2001:db8:1::66",
    "2001:db8:2::7",
  ]]
) {
  Deno.test(`G14 ${FLOOD.toLocaleString("en")} incomplete ${family} fragments leave memory bounded and traffic alone`, () => {
    let emitted = 0;
    const router = new VirtualRouter(CONFIG, { emit: () => emitted++ });
    router.moveTo(1_790_000_000_000);
    const { defrag } = router.router, random = seeded(1);
    const [first, last] = fragments(udp({ src, sport: 1, dst, dport: 2, payload: 1200, df: false }), 608);
    const good = udp({ src: src.replace("66", "2"), sport: 1000, dst, dport: 53, payload: 100 });
    // The identification stands at 4 in IPv4, behind the fixed header in IPv6.
    const piece = first.slice(), view = new DataView(piece.buffer);
    let sent = 0, most = 0;
    for (let i = 0; i < FLOOD; i++) {
      if (family === "IPv4") {
        view.setUint16(4, random.next() & 0xffff);
        view.setUint8(15, random.next());
        fixHeader(view);
      } else {
        view.setInt32(44, random.next());
      }
      router.receive(1, piece);
      if (i % EVERY === 0) {
        router.moveTo(router.clock.wall * 1000 + 1);
        router.receive(1, good);
        sent++;
        most = Math.max(most, defrag.memory);
      }
    }
    assert(most <= LIMIT, `${most} bytes were held, ${LIMIT} are allowed`);
    assert(most > LIMIT / 2, `only ${most} bytes were held: the flood did not fill the store`);
    assertEquals(emitted, sent, "every good packet left, and nothing else");
    assert(new Map(router.drops()).get("fragment-memory")! > FLOOD / 2);

    // When its time is over the store is empty, and fragments pass again.
    router.moveTo(router.clock.wall * 1000 + 61_000);
    assertEquals([defrag.memory, defrag.pending], [0, 0]);
    const before = emitted;
    router.receive(1, first);
    router.receive(1, last);
    assertEquals(emitted - before, 2);
  });
}

function fixHeader(view: DataView): void {
  view.setUint16(10, 0);
  let sum = 0;
  for (let i = 0; i < 20; i += 2) sum += view.getUint16(i);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  view.setUint16(10, ~sum & 0xffff);
}
