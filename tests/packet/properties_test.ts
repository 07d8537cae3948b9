import { assert, assertEquals } from "@std/assert";
import { ACCEPT } from "../../src/netfilter.ts";
import {
  replaceInTransport,
  transportChecksum,
  verifyTransport,
  writeTransportChecksum,
} from "../../src/packet/checksum.ts";
import { Defrag } from "../../src/packet/defrag.ts";
import { describe } from "../../src/packet/format.ts";
import { fragment } from "../../src/packet/fragment.ts";
import { checkOptions } from "../../src/packet/options.ts";
import { GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, Packet } from "../../src/packet/packet.ts";
import { parse } from "../../src/packet/parse.ts";
import { segment } from "../../src/packet/segment.ts";
import { mssOption, tcpHeaderOk } from "../../src/packet/tcp.ts";
import { udpHeaderOk } from "../../src/packet/udp.ts";
import { Sysctl } from "../../src/sysctl.ts";
import * as kit from "../kit/mod.ts";

const v4 = { src: "192.0.2.2", dst: "198.51.100.7", sport: 1000, dport: 80, df: false };
const v6 = { src: "2001:db8:1::2", dst: "2001:db8:2::7", sport: 1000, dport: 80 };

/** A DataView that refuses reads behind the packet, as long as it is told where that is. */
class Fence {
  #limit = Infinity;
  readonly p: Packet;

  constructor(p: Packet) {
    this.p = p;
    const view = p.view;
    const sizes = { getUint8: 1, getUint16: 2, getInt32: 4, getUint32: 4 } as const;
    for (const name of Object.keys(sizes) as (keyof typeof sizes)[]) {
      const read = view[name].bind(view);
      Object.defineProperty(view, name, {
        value: (at: number, little?: boolean) => {
          if (at + sizes[name] > this.#limit) throw new RangeError(`${name}(${at}) of ${this.#limit}`);
          return read(at, little);
        },
      });
    }
  }

  /** Runs `use` with the fence at the packet's length. */
  within<T>(use: () => T): T {
    this.#limit = this.p.length;
    try {
      return use();
    } finally {
      this.#limit = Infinity;
    }
  }
}

/** Good packets of all kinds, to be spoilt. */
const seeds: Uint8Array[] = [v4, v6].flatMap((a) => [
  kit.tcp({ ...a, flags: "S", options: [{ mss: 1460 }] }),
  kit.tcp({ ...a, flags: "PA", payload: 300 }),
  kit.udp({ ...a, payload: 40 }),
  kit.udplite({ ...a, payload: 40, coverage: 12 }),
  kit.icmpEcho({ ...a, payload: 20 }),
  kit.sctp({ ...a, vtag: 3, chunks: [kit.sctpInit(1, 2)] }),
  ...kit.fragments(kit.udp({ ...a, payload: 100, id: 3 }), 48, 3),
]).concat([
  kit.udp({ ...v4, payload: 90, ipOptions: [148, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0, 0, 68, 8, 5, 0, 0, 0, 0, 0] }),
  kit.udp({
    ...v6,
    payload: 90,
    extensions: [{ header: "hop", body: [1, 4] }, { header: "routing", body: [4, 0] }],
  }),
  kit.udp({
    ...v6,
    payload: 90,
    extensions: [{ header: "destination", body: [1, 4] }, { header: "fragment", id: 3 }],
  }),
]);

Deno.test("200,000 random and mutated packets: nothing throws, nothing is read behind the packet", () => {
  const random = kit.seeded(2026);
  const below = (n: number) => (random.next() >>> 0) % n;
  const p = new Packet();
  const out = new Packet();
  const fence = new Fence(p);
  const clock = new kit.VirtualClock();
  const sysctl = new Sysctl({
    "net.ipv4.ipfrag_high_thresh": 1 << 19,
    "net.ipv6.ip6frag_high_thresh": 1 << 19,
  });
  const defrag = new Defrag({ clock, sysctl, expired: (q) => assert(q.l4 <= q.length) });
  const scratch = new Uint8Array(4096);
  const emitted = { count: 0 };
  const emit = (o: Packet) => {
    emitted.count++;
    assert(o.length > 0 && o.length <= 65575 && o.l4 <= o.length);
  };
  let accepted = 0;
  for (let i = 0; i < 200_000; i++) {
    let length: number;
    if (i % 10 === 0) {
      length = below(120);
      for (let k = 0; k < length; k++) scratch[k] = random.next();
      if (length > 0) scratch[0] = i % 20 === 0 ? 0x45 : 0x60;
    } else {
      const seed = seeds[below(seeds.length)];
      scratch.set(seed);
      length = seed.length;
      for (let k = below(4); k > 0; k--) {
        const at = below(2) === 0 ? below(length) : below(Math.min(length, 64));
        scratch[at] = below(3) === 0 ? random.next() : scratch[at] ^ (1 << below(8));
      }
      if (below(8) === 0) length = below(length + 1);
      if (below(8) === 0) length += below(30);
    }
    // Most spoilt headers deserve a good checksum, or nothing else would ever be looked at.
    if (scratch[0] >> 4 === 4 && below(8) !== 0) {
      const header = Math.max(20, (scratch[0] & 15) * 4);
      if (header <= length) {
        if (below(4) === 0) scratch.set(kit.be(length, 2), 2);
        scratch[10] = scratch[11] = 0;
        scratch.set(kit.be(kit.checksum(scratch.subarray(0, header)), 2), 10);
      }
    } else if (scratch[0] >> 4 === 6 && length >= 40 && below(4) === 0) {
      scratch.set(kit.be(length - 40, 2), 4);
    }
    p.bytes.set(scratch.subarray(0, length));
    p.reset(1, length);
    if (below(16) === 0) {
      p.gsoType = [GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, 3][below(4)];
      p.gsoSize = below(100);
    }
    p.partialChecksum = below(16) === 0;
    const reason = fence.within(() => parse(p));
    if (reason !== 0) continue;
    accepted++;
    assert(p.l4 <= p.length && p.length <= length);
    fence.within(() => {
      verifyTransport(p);
      transportChecksum(p);
      describe(p);
      udpHeaderOk(p);
      if (p.protocol === 6 && tcpHeaderOk(p)) {
        mssOption(p);
        replaceInTransport(p, p.l4 + 16, random.next(), random.next(), below(2) === 0);
      }
      checkOptions(p);
      writeTransportChecksum(p);
    });
    if (i % 1000 === 0) clock.advance(1000);
    defrag.sweep();
    if (defrag.gather(p) !== ACCEPT) continue;
    assert(p.l4 <= p.length);
    fence.within(() => describe(p));
    const mtu = 68 + below(1500);
    if (p.gsoType !== 0) segment(p, out, emit);
    else if (p.length > mtu || p.fragMaxSize !== 0) fragment(p, mtu, out, emit);
  }
  // The mutations are gentle enough that the deeper layers were really reached.
  assert(accepted > 80_000, `accepted ${accepted}`);
  assert(emitted.count > 10_000, `emitted ${emitted.count}`);
});

Deno.test("fragment and gather are inverse, in any order, for any size and MTU", () => {
  const random = kit.seeded(7);
  const below = (n: number) => (random.next() >>> 0) % n;
  const clock = new kit.VirtualClock();
  const defrag = new Defrag({ clock });
  const p = new Packet();
  const out = new Packet();
  for (let i = 0; i < 2000; i++) {
    const a = i & 1 ? v4 : v6;
    const payload = i < 40 ? 60000 + below(5400) : below(6000);
    const ipOptions = a === v4 && below(3) === 0 ? [148, 4, 0, 0] : undefined;
    const extensions = a === v6 && below(3) === 0
      ? [{ header: "hop" as const, body: [1, 4, 0, 0, 0, 0] }]
      : undefined;
    const whole = kit.udp({ ...a, payload, id: i & 0xffff, ipOptions, extensions });
    assertEquals(parse(kit.load(p, whole)), 0);
    p.fragId = random.next();
    const parts: Uint8Array[] = [];
    const mtu = 100 + below(1400);
    if (p.length <= mtu) continue;
    assertEquals(fragment(p, mtu, out, (o) => parts.push(kit.unload(o))), 0);
    // Far from order, but not so far that the source's counter would start the queue over.
    for (let k = parts.length - 1; k > 0; k--) {
      const other = below(k + 1);
      [parts[k], parts[other]] = [parts[other], parts[k]];
    }
    let verdict = -1;
    for (const part of parts) {
      assertEquals(parse(kit.load(p, part)), 0);
      verdict = defrag.gather(p);
    }
    assertEquals(verdict, ACCEPT);
    assertEquals(kit.unload(p).every((byte, k) => byte === whole[k]) && p.length === whole.length, true);
    // And out again in the same pieces, in order.
    const again: Uint8Array[] = [];
    assertEquals(fragment(p, 1500, out, (o) => again.push(kit.unload(o))), 0);
    assertEquals(again.length, parts.length);
  }
  assertEquals([defrag.pending, defrag.memory], [0, 0]);
});
