/**
 * A line that outgrows its link: it fitted until the helper wrote a longer address into it.
 *
 * ```
 *   10.0.0.2, 2001:db8:1::2 ── lan, MTU 1500 ── Weir, MASQUERADE ── wan, MTU 1280 ── 198.51.100.7, 2001:db8:9::7
 * ```
 */
import { assert, assertEquals } from "@std/assert";
import { validate } from "../../src/config/validate.ts";
import { ftp } from "../../src/helpers/mod.ts";
import type { Reason } from "../../src/netfilter.ts";
import { GSO_TCPV4, Packet } from "../../src/packet/packet.ts";
import { segment } from "../../src/packet/segment.ts";
import { VirtualRouter } from "../../src/replay/virtual.ts";
import * as kit from "../kit/mod.ts";
import { compare } from "../oracle/compare.ts";
import { askKernel, kernelAvailable } from "../oracle/kernel.ts";
import { packet, type Scenario, type Step } from "../oracle/scenario.ts";
import { askWeir } from "../oracle/weir.ts";

const INTERFACES = {
  lan: { addresses: ["10.0.0.1/24", "2001:db8:1::1/64"] },
  wan: { addresses: ["203.0.113.1/24", "2001:db8:2::1/64"], mtu: 1280 },
};
const ROUTES = [{ destination: "0.0.0.0/0", interface: "wan" }, { destination: "::/0", interface: "wan" }];
const MASQUERADE = "*nat\n-A POSTROUTING -o wan -j MASQUERADE\nCOMMIT\n";
const LAN = 1, WAN = 2, MTU = 1280;

/** Addresses of one family, and a line as it is sent, and as it has to arrive. */
interface Side {
  readonly client: string;
  readonly outer: string;
  readonly server: string;
  readonly line: string;
  readonly seen: string;
}

const FOUR: Side = {
  client: "10.0.0.2",
  outer: "203.0.113.1",
  server: "198.51.100.7",
  line: "PORT 10,0,0,2,7,208\r",
  seen: "PORT 203,0,113,1,7,208\r",
};
const SIX: Side = {
  client: "2001:db8:1::2",
  outer: "2001:db8:2::1",
  server: "2001:db8:9::7",
  line: "EPRT |2|2001:db8:1::2|2000|\r",
  seen: "EPRT |2|2001:0db8:0002:0000:0000:0000:0000:0001|2000|\r",
};

/** A control connection through Weir. Sequence numbers are the caller's. */
class Line {
  readonly side: Side;
  readonly router: VirtualRouter;
  /** What came out last. */
  out: (kit.Shown & { iface: number; bytes: Uint8Array })[] = [];
  readonly #offloaded = new Packet();

  constructor(side: Side, sysctl: Readonly<Record<string, number>> = {}) {
    this.side = side;
    const config = validate({
      interfaces: INTERFACES,
      routes: ROUTES,
      helpers: [ftp()],
      sysctl,
      iptables: MASQUERADE,
      ip6tables: MASQUERADE,
    });
    this.router = new VirtualRouter(config, {
      emit: (iface, bytes) => this.out.push({ ...kit.parse(bytes), iface, bytes }),
    });
    this.router.moveTo(1_700_000_000_000);
    this.client("S", 1000, 0);
    this.server("SA", 5000, 1001);
    this.client("A", 1001, 5001);
    this.server("PA", 5001, 1001, "220 ready\r\n");
    this.client("PA", 1001, 5012, "USER x\r\n");
    this.server("PA", 5012, 1009, "331 ok\r\n");
  }

  segment(seq: number, ack: number, payload: string, df = true, flags = "PA"): Uint8Array {
    const { client: src, server: dst } = this.side;
    return kit.tcp({ src, dst, sport: 40000, dport: 21, seq, ack, payload, df, flags });
  }

  client(flags: string, seq: number, ack: number, payload = "", df = true): typeof this.out {
    this.out = [];
    this.router.receive(LAN, this.segment(seq, ack, payload, df, flags));
    return this.out;
  }

  server(flags: string, seq: number, ack: number, payload = ""): typeof this.out {
    const { server: src, outer: dst } = this.side;
    this.out = [];
    this.router.receive(WAN, kit.tcp({ src, dst, sport: 21, dport: 40000, seq, ack, payload, flags }));
    return this.out;
  }

  /** The server opens a data connection. */
  dial(dport: number): typeof this.out {
    const { server: src, outer: dst } = this.side;
    this.out = [];
    this.router.receive(WAN, kit.tcp({ src, dst, sport: 20, dport, flags: "S", seq: 1 }));
    return this.out;
  }

  /** The client's device hands over at once what makes segments of `gsoSize` bytes. Returns the packet afterwards. */
  offloaded(seq: number, ack: number, payload: string, gsoSize: number, df: boolean): Packet {
    const bytes = this.segment(seq, ack, payload, df), p = kit.load(this.#offloaded, bytes, LAN);
    const { client, server } = this.side;
    const pseudo = kit.pseudoHeader(kit.addressBytes(client), kit.addressBytes(server), 6, bytes.length - 20);
    p.view.setUint16(36, ~kit.checksum(pseudo));
    p.partialChecksum = true;
    p.gsoType = GSO_TCPV4;
    p.gsoSize = gsoSize;
    this.out = [];
    this.router.router.receive(p, LAN);
    return p;
  }
}

/** The line, padded behind its own end so that its packet has this length. */
function padded(line: string, length: number, headers: number): string {
  return line + "x".repeat(length - headers - line.length - 2) + "\r\n";
}

function textOf(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

Deno.test("a line that outgrows the link is cut in two, and the conversation goes on", () => {
  for (const side of [FOUR, SIX]) {
    const headers = side === FOUR ? 40 : 60, grown = side.seen.length - side.line.length;
    const seq = 1009, ack = 5020;
    for (const length of [MTU - grown + 1, MTU]) {
      const s = new Line(side), sent = padded(side.line, length, headers), next = seq + sent.length;
      const arrives = side.seen + sent.slice(side.line.length);
      // Sent once more, it arrives as it did before, and its growth counts once.
      for (const out of [s.client("PA", seq, ack, sent), s.client("PA", seq, ack, sent)]) {
        assertEquals(out.map((p) => [p.iface, p.src, p.errors]), new Array(2).fill([WAN, side.outer, []]));
        assertEquals(out.map((p) => p.seq), [seq, seq + MTU - headers]);
        assertEquals(out[0].length, MTU);
        assertEquals(out.map((p) => textOf(p.payload)).join(""), arrives);
      }
      assertEquals(s.router.drops(), []);
      const [reply] = s.server("PA", ack, next + grown, "200 ok\r\n");
      assertEquals([reply.iface, reply.ack, reply.errors], [LAN, next, []]);
      const data = s.dial(2000);
      assertEquals(data.map((p) => [p.iface, p.dst, p.dport, p.errors]), [[LAN, side.client, 2000, []]]);
      const [list] = s.client("PA", next, ack + 8, "LIST\r\n");
      assertEquals([list.iface, list.seq, textOf(list.payload)], [WAN, next + grown, "LIST\r\n"]);
    }
  }
});

Deno.test("with weir.segment_grown=0 a line that outgrows the link is refused with the link's MTU, as in Linux", () => {
  for (const side of [FOUR, SIX]) {
    const v4 = side === FOUR, headers = v4 ? 40 : 60, grown = side.seen.length - side.line.length;
    const seq = 1009, ack = 5020;
    const fits = new Line(side, { "weir.segment_grown": 0 }).client(
      "PA",
      seq,
      ack,
      padded(side.line, MTU - grown, headers),
    );
    assertEquals(fits.map((p) => [p.iface, p.length, p.errors]), [[WAN, MTU, []]]);
    for (const length of [MTU - grown + 1, MTU]) {
      const s = new Line(side, { "weir.segment_grown": 0 }), sent = padded(side.line, length, headers);
      // Sent again as it was, it fares no better, and its growth counts once.
      for (const out of [s.client("PA", seq, ack, sent), s.client("PA", seq, ack, sent)]) {
        assertEquals(out.map((p) => [p.iface, p.src, p.dst, p.errors]), [[LAN, side.outer, side.client, []]]);
        const [{ type, code, rest, quoted }] = out, q = quoted!;
        assertEquals([type, code, rest], v4 ? [3, 4, MTU] : [2, 0, MTU]);
        // The sender finds its own connection in it, and its own place there.
        assertEquals([q.src, q.sport, q.dst, q.dport, q.seq], [side.client, 40000, side.server, 21, seq]);
      }
      assertEquals(s.router.drops(), [["packet-too-big" satisfies keyof typeof Reason, 2]]);
      // Cut in two, the first one is the line again, and both arrive.
      const half = sent.length >> 1, next = seq + sent.length;
      const pieces = [
        ...s.client("A", seq, ack, sent.slice(0, half)),
        ...s.client("PA", seq + half, ack, sent.slice(half)),
      ];
      assertEquals(pieces.map((p) => [p.iface, p.src, p.errors]), new Array(2).fill([WAN, side.outer, []]));
      assertEquals(pieces.map((p) => p.seq), [seq, seq + half + grown]);
      const arrived = pieces.map((p) => textOf(p.payload)).join("");
      assertEquals(arrived, side.seen + sent.slice(side.line.length));
      // The server dials, and the conversation goes on, each side with its own numbers.
      const [reply] = s.server("PA", ack, next + grown, "200 ok\r\n");
      assertEquals([reply.iface, reply.ack, reply.errors], [LAN, next, []]);
      const data = s.dial(2000);
      assertEquals(data.map((p) => [p.iface, p.dst, p.dport, p.errors]), [[LAN, side.client, 2000, []]]);
      const [list] = s.client("PA", next, ack + 8, "LIST\r\n");
      assertEquals([list.iface, list.seq, textOf(list.payload)], [WAN, next + grown, "LIST\r\n"]);
    }
  }
});

Deno.test("an offloaded packet that grows has one segment more, by the device or by Weir", () => {
  for (
    const { gsoSize, df } of [
      { gsoSize: MTU - 40, df: true }, // fits the link: goes on as it is, and the device cuts it
      { gsoSize: 1400, df: false }, // does not: Weir cuts it, and each segment into fragments
    ]
  ) {
    const s = new Line(FOUR), sent = padded(FOUR.line, 2 * gsoSize, 0);
    const arrives = FOUR.seen + sent.slice(FOUR.line.length);
    const p = s.offloaded(1009, 5020, sent, gsoSize, df);
    let bytes = s.out.map((packet) => packet.bytes);
    if (df) {
      assertEquals([s.out.length, p.gsoType, p.gsoSize, p.length], [
        1,
        GSO_TCPV4,
        gsoSize,
        40 + arrives.length,
      ]);
      bytes = [];
      assertEquals(segment(p, new Packet(), (piece) => bytes.push(kit.unload(piece))), 0);
    } else {
      assert(bytes.length > 3);
    }
    assert(bytes.every(({ length }) => length <= MTU));
    const segments = df ? bytes.map((b) => kit.parse(b)) : gather(bytes);
    assertEquals(segments.map((g) => g.errors), [[], [], []]);
    assertEquals(segments.map((g) => g.seq), [1009, 1009 + gsoSize, 1009 + 2 * gsoSize]);
    assertEquals(segments.map((g) => textOf(g.payload)).join(""), arrives);
    const [reply] = s.server("PA", 5020, 1009 + arrives.length, "200 ok\r\n");
    assertEquals(reply.ack, 1009 + sent.length);
  }
});

/** Puts fragments together that came in order. */
function gather(bytes: readonly Uint8Array[]): kit.Shown[] {
  const whole: Uint8Array[] = [];
  for (const piece of bytes) {
    const { offset } = kit.parse(piece);
    if (offset === 0) whole.push(piece);
    else whole.push(kit.concat(whole.pop()!, piece.slice(20)));
  }
  return whole.map((packet) => {
    packet[2] = packet.length >> 8;
    packet[3] = packet.length & 255;
    packet[6] = packet[7] = 0;
    return kit.parse(kit.fixIpChecksum(packet));
  });
}

/** A line that is sent in some lengths, then in halves; then the rest of the conversation. */
function conversation(
  side: Side,
  sport: number,
  df: boolean,
  lengths: (least: number) => readonly number[],
): Step[] {
  const { client, server, outer } = side, headers = side === FOUR ? 40 : 60;
  const grown = side.seen.length - side.line.length, seq = 1009, ack = 5020;
  const says = (flags: string, seq: number, ack: number, payload = "") =>
    packet("lan", kit.tcp({ src: client, dst: server, sport, dport: 21, flags, seq, ack, payload, df }));
  const hears = (flags: string, seq: number, ack: number, payload = "") =>
    packet("wan", kit.tcp({ src: server, dst: outer, sport: 21, dport: sport, flags, seq, ack, payload }));
  const line = side.line.replace(/2000|7,208/, (port) => port === "2000" ? `${sport}` : `7,${sport & 255}`);
  const sent = padded(line, MTU, headers), half = sent.length >> 1, next = seq + sent.length;
  return [
    says("S", 1000, 0),
    hears("SA", 5000, 1001),
    says("A", 1001, 5001),
    hears("PA", 5001, 1001, "220 ready\r\n"),
    says("PA", 1001, 5012, "USER x\r\n"),
    hears("PA", 5012, 1009, "331 ok\r\n"),
    ...lengths(MTU - grown + 1).map((length) => says("PA", seq, ack, padded(line, length, headers))),
    says("A", seq, ack, sent.slice(0, half)),
    says("PA", seq + half, ack, sent.slice(half)),
    hears("PA", ack, next + grown, "200 ok\r\n"),
    says("PA", next, ack + 8, "LIST\r\n"),
  ];
}

/** Lengths in which a line is sent before it is cut in two; `least` is the first that grows too long. */
const ATTEMPTS: readonly ((least: number) => number[])[] = [
  (least) => [least - 1],
  (least) => [least, least],
  () => [MTU, MTU, MTU],
  // Too many ends of one line: both forget that it begins there, and leave it as it is from then on.
  (least) => [MTU + 1, least, MTU, MTU],
];
let port = 4000;
const SCENARIO: Scenario = {
  interfaces: INTERFACES,
  routes: ROUTES,
  iptables: MASQUERADE + "*raw\n-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp\nCOMMIT\n",
  ip6tables: MASQUERADE + "*raw\n-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp\nCOMMIT\n",
  steps: [FOUR, SIX].flatMap((side) =>
    [true, false].flatMap((df) => ATTEMPTS.flatMap((lengths) => conversation(side, port++, df, lengths)))
  ),
};

Deno.test({
  name: "Linux and Weir agree about lines that outgrow their link",
  // Needs root, /dev/net/tun and iptables.
  ignore: !kernelAvailable(),
  fn: () => {
    const [linux, weir] = [askKernel(SCENARIO), askWeir(SCENARIO)].map((answer) => ({
      ...answer,
      emitted: answer.emitted.map((e) => ({ ...e, bytes: withoutQuotedChecksum(e.bytes) })),
    }));
    assertEquals(compare(SCENARIO, linux, weir), []);
  },
});

/**
 * Linux leaves the checksum of a lengthened segment to the device, and quotes it unfinished; Weir quotes it as it would
 * have been sent. Nobody can judge it in a quotation that is cut off.
 */
function withoutQuotedChecksum(bytes: Uint8Array): Uint8Array {
  const { type, family, l4, src, dst } = kit.parse(bytes);
  if (type === undefined) return bytes;
  const copy = bytes.slice(), view = new DataView(copy.buffer);
  view.setUint16(l4 + 8 + (family === 4 ? 20 : 40) + 16, 0);
  view.setUint16(l4 + 2, 0);
  const icmp = copy.subarray(l4);
  const pseudo = kit.pseudoHeader(kit.addressBytes(src), kit.addressBytes(dst), 58, icmp.length);
  view.setUint16(l4 + 2, kit.checksum(family === 4 ? icmp : kit.concat(pseudo, icmp)));
  return copy;
}
