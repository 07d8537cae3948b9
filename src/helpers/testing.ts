/**
 * A test kit for helpers: conversations through a small router in memory, with or without NAT, without devices and
 * without privileges. What comes out is checked for lengths, checksums and sequence numbers by the kit.
 *
 * ```
 *   inside 10.0.0.2, 2001:db8:1::2 ── router 203.0.113.1, 2001:db8:2::1 ── outside 198.51.100.7, 2001:db8:9::7
 *
 *   nat: "none"           inside is the client, and seen as itself
 *   nat: "source"         inside is the client, and seen as the router (SNAT)
 *   nat: "destination"    outside is the client, and knows the server inside as the router (DNAT)
 * ```
 *
 * ```ts
 * import { ftp } from "weir";
 * import { HelperLab } from "weir/testing";
 *
 * const lab = new HelperLab({ helpers: [ftp()], nat: "source" });
 * const talk = lab.connect({ port: 21 });
 * talk.server("220 ready\r\n");
 * talk.client("USER x\r\n");
 * talk.client("PORT 10,0,0,2,19,136\r\n"); // "PORT 203,0,113,1,19,136\r\n" is what the server gets
 * lab.expectations(); // ["tcp 198.51.100.7 → 203.0.113.1:5000"]
 * lab.dial({ from: lab.outside, to: lab.router, port: 5000 }); // { related: true, to: "10.0.0.2:5000", … }
 * ```
 *
 * @module
 */
import { type Clock, Xoshiro } from "../clock.ts";
import { Conntrack } from "../conntrack/core.ts";
import { EXP_LINKED, EXP_STATE, EXP_WORDS, ExpectTable } from "../conntrack/expect.ts";
import type { ConntrackHelper } from "../conntrack/helper.ts";
import { HELPER_COUNTS, type Pinhole } from "../conntrack/helping.ts";
import { FlowTable } from "../conntrack/table.ts";
import { Nat } from "../nat/core.ts";
import { NatRange } from "../nat/range.ts";
import {
  ACCEPT,
  ESTABLISHED,
  type Family,
  POSTROUTING,
  PREROUTING,
  REASONS,
  RELATED,
  TCP,
  UDP,
} from "../netfilter.ts";
import { formatAddress, parseAddress, readAddress, writeAddress } from "../packet/address.ts";
import { verifyTransport, writeTransportChecksum } from "../packet/checksum.ts";
import { ipv4HeaderOk } from "../packet/checksum.ts";
import { totalLength, writeHeaderChecksum } from "../packet/ipv4.ts";
import { IPV6_HEADER, payloadLength } from "../packet/ipv6.ts";
import { Packet } from "../packet/packet.ts";
import { parse } from "../packet/parse.ts";
import { ACK, PSH, SYN, TCP_HEADER, tcpAckSeq, tcpPayload, tcpSeq } from "../packet/tcp.ts";
import { UDP_HEADER, udpPayload } from "../packet/udp.ts";
import { Sysctl } from "../sysctl.ts";

/** What to build. */
export interface HelperLabOptions {
  readonly helpers: readonly ConntrackHelper[];
  /** Which side is translated; `"none"` by default. */
  readonly nat?: "none" | "source" | "destination";
  /** 4 by default. */
  readonly family?: Family;
  /** Room for expectations, to try what happens when it is used up; 64 by default. */
  readonly expectations?: number;
}

/** A conversation to begin. */
export interface ConnectOptions {
  /** Server's port. */
  readonly port: number;
  readonly protocol?: "tcp" | "udp";
  /** Client's port; another one for each conversation by default. */
  readonly clientPort?: number;
  /** Client's address, by default the one of its side, and the server's as the client knows it. */
  readonly client?: string;
  readonly server?: string;
}

/** A flow's first packet, sent to see where it leads. */
export interface DialOptions {
  readonly from: string;
  readonly to: string;
  readonly port: number;
  readonly protocol?: "tcp" | "udp";
  /** Source port, 50000 by default. */
  readonly fromPort?: number;
}

/** Where it led. */
export interface Dialled {
  /** It was expected. */
  readonly related: boolean;
  /** As it left: `198.51.100.7:50000` and `10.0.0.2:5000`. */
  readonly from: string;
  readonly to: string;
}

const ADDRESSES = {
  4: { inside: "10.0.0.2", router: "203.0.113.1", outside: "198.51.100.7" },
  6: { inside: "2001:db8:1::2", router: "2001:db8:2::1", outside: "2001:db8:9::7" },
} as const;

const FLOWS = 256;

/** A packet as text and numbers. */
interface Wire {
  readonly src: string;
  readonly dst: string;
  readonly sport: number;
  readonly dport: number;
  readonly protocol: "tcp" | "udp";
  readonly flags?: number;
  readonly seq?: number;
  readonly ack?: number;
  readonly payload?: string | Uint8Array;
}

/** The same as it came out, or why it did not. */
interface Out {
  readonly dropped: string;
  readonly ctinfo: number;
  readonly src: string;
  readonly dst: string;
  readonly sport: number;
  readonly dport: number;
  readonly seq: number;
  readonly ack: number;
  readonly payload: string;
}

class TestClock implements Clock {
  now = 1_000_000;
  wall = 1_700_000_000;
}

/** A router in memory with helpers. */
export class HelperLab {
  /** Addresses of the two ends, and the one that translation shows. */
  readonly inside: string;
  readonly outside: string;
  readonly router: string;
  /** Lines that the router has logged. */
  readonly log: string[] = [];
  /** The tracker itself, for what the kit has no word for. */
  readonly conntrack: Conntrack;
  readonly #options: HelperLabOptions;
  readonly #family: Family;
  readonly #nat: Nat;
  readonly #clock = new TestClock();
  readonly #packet = new Packet();
  #clientPort = 40000;

  constructor(o: HelperLabOptions) {
    this.#options = o;
    this.#family = o.family ?? 4;
    ({ inside: this.inside, outside: this.outside, router: this.router } = ADDRESSES[this.#family]);
    const random = new Xoshiro(1), expectations = o.expectations ?? 64;
    this.conntrack = new Conntrack({
      flows: new FlowTable(new ArrayBuffer(FlowTable.bytes(FLOWS)), 0, FLOWS, random),
      expects: new ExpectTable(new ArrayBuffer(ExpectTable.bytes(expectations)), 0, expectations, random),
      clock: this.#clock,
      random,
      sysctl: new Sysctl(),
      helpers: o.helpers,
      log: (line) => this.log.push(line),
    });
    const to = (address: string) => new NatRange().addresses(parseAddress(address)!.words);
    const router = to(this.router), inside = to(this.inside), nat = o.nat ?? "none";
    const addresses = { selectSource: () => false, redirectAddress: () => false };
    this.#nat = new Nat(this.conntrack, addresses, {
      nat: (p) => {
        const outwards = p.inInterface === 1;
        if (nat === "source" && p.hook === POSTROUTING && outwards) return this.#nat.snat(p, router);
        if (nat === "destination" && p.hook === PREROUTING && !outwards) return this.#nat.dnat(p, inside);
        return ACCEPT;
      },
    });
  }

  /** Begins a conversation; of TCP the handshake is done. */
  connect(o: ConnectOptions): Conversation {
    const incoming = this.#options.nat === "destination";
    const client = o.client ?? (incoming ? this.outside : this.inside);
    const server = o.server ?? (incoming ? this.router : this.outside);
    return new Conversation({
      send: (wire) => this.#send(wire),
      protocol: o.protocol ?? "tcp",
      client: { address: client, port: o.clientPort ?? this.#clientPort++ },
      server: { address: server, port: o.port },
    });
  }

  /** Sends the first packet of a flow; null when it does not get through. */
  dial(o: DialOptions): Dialled | null {
    const { from: src, to: dst, port: dport, protocol = "tcp", fromPort: sport = 50000 } = o;
    const out = this.#send({ src, dst, sport, dport, protocol, flags: SYN, seq: 1, payload: "" });
    if (out.dropped !== "") return null;
    const end = (address: string, port: number) =>
      address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
    return { related: out.ctinfo === RELATED, from: end(out.src, out.sport), to: end(out.dst, out.dport) };
  }

  /** Who may come, and where to, oldest first: `tcp 198.51.100.7 → 203.0.113.1:5000`. */
  expectations(): string[] {
    const { expects } = this.conntrack, found: string[] = [];
    for (let exp = 0; exp < expects.high; exp++) {
      if ((expects.words[exp * EXP_WORDS + EXP_STATE] & EXP_LINKED) === 0) continue;
      found.push(this.conntrack.describeExpect(exp));
    }
    return found;
  }

  /** Counters of a helper: opened, refused, failed, blind. */
  counts(helper = 0): Record<typeof HELPER_COUNTS[number], number> {
    const at = helper * HELPER_COUNTS.length, counts = this.conntrack.helperCounts;
    return Object.fromEntries(HELPER_COUNTS.map((name, i) => [name, counts[at + i]])) as ReturnType<
      HelperLab["counts"]
    >;
  }

  /** The record of helpers that `record`. */
  get pinholes(): readonly Pinhole[] {
    return this.conntrack.pinholes;
  }

  /** Lets time pass. */
  advance(seconds: number): void {
    this.#clock.now = (this.#clock.now + seconds * 1000) | 0;
    this.#clock.wall += seconds;
    this.conntrack.sweep();
  }

  #send(wire: Wire): Out {
    const p = this.#packet;
    build(p, wire, this.#family);
    // What comes from inside goes out, and the other way round.
    p.inInterface = this.#isInside(wire.src) ? 1 : 2;
    const ended = (dropped: string, ctinfo = -1): Out => {
      const out = dropped === "" ? read(p, ctinfo) : { ...NOTHING, dropped };
      this.conntrack.release(p);
      return out;
    };
    const wrong = parse(p);
    if (wrong !== 0) return ended(REASONS[wrong]);
    p.hook = PREROUTING;
    if (this.conntrack.in(p) !== ACCEPT) return ended(REASONS[p.reason]);
    const ctinfo = p.ctinfo;
    if (p.ct < 0) return ended("invalid");
    if (this.#nat.manip(p) !== ACCEPT) return ended(REASONS[p.reason]);
    p.outInterface = 3 - p.inInterface;
    p.hook = POSTROUTING;
    if (this.#nat.manip(p) !== ACCEPT || this.conntrack.confirm(p) !== ACCEPT) {
      return ended(REASONS[p.reason]);
    }
    return ended("", ctinfo);
  }

  #isInside(address: string): boolean {
    const at = this.#family === 4 ? address.lastIndexOf(".") : address.lastIndexOf(":");
    return address.slice(0, at) ===
      this.inside.slice(0, this.inside.lastIndexOf(this.#family === 4 ? "." : ":"));
  }
}

const NOTHING = { ctinfo: -1, src: "", dst: "", sport: 0, dport: 0, seq: 0, ack: 0, payload: "" };

/** One end of a conversation. */
interface End {
  readonly address: string;
  readonly port: number;
}

/** What a conversation is made of. */
interface ConversationParts {
  readonly send: (wire: Wire) => Out;
  readonly protocol: "tcp" | "udp";
  readonly client: End;
  /** As the client knows it. */
  readonly server: End;
}

/** A conversation between a client and a server. Payloads are text of one byte per character, or bytes. */
export class Conversation {
  readonly #parts: ConversationParts;
  /** The client as the server sees it, and the server's own address; known from the first packet. */
  #seen: End;
  #serverOwn: End;
  /** Next sequence numbers: as each end counts its own bytes, and as the other has seen them. */
  readonly #next = { client: 1000, server: 5000 };
  readonly #seenNext = { client: 1000, server: 5000 };

  constructor(parts: ConversationParts) {
    this.#parts = parts;
    this.#seen = parts.client;
    this.#serverOwn = parts.server;
    if (parts.protocol === "udp") return;
    this.#must(this.#say("client", "", SYN));
    this.#must(this.#say("server", "", SYN | ACK));
    this.#must(this.#say("client", "", ACK));
  }

  /** The client says something: what the server gets. */
  client(payload: string | Uint8Array): string {
    return this.#must(this.#say("client", payload, PSH | ACK));
  }

  /** The server says something: what the client gets. */
  server(payload: string | Uint8Array): string {
    return this.#must(this.#say("server", payload, PSH | ACK));
  }

  /** The client says something that may be dropped: what the server gets, or null. It will be said again. */
  tryClient(payload: string | Uint8Array): string | null {
    return this.#try("client", payload);
  }

  /** The server says something that may be dropped: what the client gets, or null. It will be said again. */
  tryServer(payload: string | Uint8Array): string | null {
    return this.#try("server", payload);
  }

  #try(who: "client" | "server", payload: string | Uint8Array): string | null {
    const next = this.#next[who], seen = this.#seenNext[who];
    const out = this.#say(who, payload, PSH | ACK);
    if (out.dropped !== "") {
      this.#next[who] = next;
      this.#seenNext[who] = seen;
    }
    return out.dropped === "" ? out.payload : null;
  }

  #say(who: "client" | "server", payload: string | Uint8Array, flags: number): Out {
    const { send, protocol, client, server } = this.#parts, other = who === "client" ? "server" : "client";
    const [from, to] = who === "client" ? [client, server] : [this.#serverOwn, this.#seen];
    const out = send({
      src: from.address,
      sport: from.port,
      dst: to.address,
      dport: to.port,
      protocol,
      flags,
      seq: this.#next[who],
      ack: (flags & ACK) === 0 ? 0 : this.#seenNext[other],
      payload,
    });
    if (out.dropped !== "") return out;
    if (who === "client") {
      this.#seen = { address: out.src, port: out.sport };
      this.#serverOwn = { address: out.dst, port: out.dport };
    } else if (out.src !== server.address || out.dst !== client.address) {
      throw new Error(`an answer came from ${out.src} for ${out.dst}`);
    }
    if (protocol === "tcp") {
      if (out.seq !== this.#seenNext[who] || ((flags & ACK) !== 0 && out.ack !== this.#next[other])) {
        throw new Error(
          `sequence numbers do not fit: seq ${out.seq}, ack ${out.ack}; ` +
            `expected ${this.#seenNext[who]} and ${this.#next[other]}`,
        );
      }
      const syn = (flags & SYN) !== 0 ? 1 : 0;
      this.#next[who] += payload.length + syn;
      this.#seenNext[who] += out.payload.length + syn;
    }
    return out;
  }

  #must(out: Out): string {
    if (out.dropped !== "") throw new Error(`the packet did not get through: ${out.dropped}`);
    return out.payload;
  }
}

/** Writes a packet with right lengths and checksums. */
function build(p: Packet, wire: Wire, family: Family): void {
  const { view, bytes } = p, isTcp = wire.protocol === "tcp", payload = wire.payload ?? "";
  const l4 = family === 4 ? 20 : IPV6_HEADER, header = isTcp ? TCP_HEADER : UDP_HEADER;
  const length = l4 + header + payload.length, protocol = isTcp ? TCP : UDP;
  p.raw.fill(0, 0, 128);
  if (family === 4) {
    view.setUint16(0, 0x4500);
    view.setUint16(2, length);
    view.setUint16(6, 0x4000);
    view.setUint16(8, 64 << 8 | protocol);
  } else {
    view.setInt32(0, 0x60000000);
    view.setUint16(4, length - l4);
    view.setUint16(6, protocol << 8 | 64);
  }
  [wire.src, wire.dst].forEach((text, i) => {
    const address = parseAddress(text);
    if (address?.family !== family) throw new TypeError(`${text} is not an IPv${family} address`);
    writeAddress(view, family, family === 4 ? 12 + i * 4 : 8 + i * 16, address.words);
  });
  view.setUint16(l4, wire.sport);
  view.setUint16(l4 + 2, wire.dport);
  if (isTcp) {
    view.setInt32(l4 + 4, wire.seq ?? 0);
    view.setInt32(l4 + 8, wire.ack ?? 0);
    view.setUint16(l4 + 12, 5 << 12 | (wire.flags ?? 0));
    view.setUint16(l4 + 14, 0xffff);
  } else {
    view.setUint16(l4 + 4, header + payload.length);
    view.setUint16(l4 + 6, 0xffff); // asks for a checksum
  }
  for (let i = 0; i < payload.length; i++) {
    bytes[l4 + header + i] = typeof payload === "string" ? payload.charCodeAt(i) : payload[i];
  }
  p.reset(0, length);
  p.family = family;
  p.protocol = protocol;
  p.l4 = l4;
  if (family === 4) writeHeaderChecksum(p);
  writeTransportChecksum(p);
  p.ctinfo = ESTABLISHED;
}

/** Reads what came out, and checks that it is whole. */
function read(p: Packet, ctinfo: number): Out {
  const { view, family } = p, words = new Int32Array(4);
  const said = family === 4 ? totalLength(p) : payloadLength(p) + IPV6_HEADER;
  if (said !== p.length) throw new Error(`the packet has ${p.length} bytes and says ${said}`);
  if (family === 4 && !ipv4HeaderOk(view, 0, 20)) throw new Error("the IP header's checksum is wrong");
  if (!verifyTransport(p)) throw new Error("the checksum is wrong");
  const isTcp = p.protocol === TCP;
  if (!isTcp && view.getUint16(p.l4 + 4) !== p.length - p.l4) throw new Error("UDP says another length");
  const address = (at: number) => {
    readAddress(view, family, at, words);
    return formatAddress(family, words);
  };
  let payload = "";
  for (let at = isTcp ? tcpPayload(p) : udpPayload(p); at < p.length; at++) {
    payload += String.fromCharCode(p.bytes[at]);
  }
  return {
    dropped: "",
    ctinfo,
    src: address(family === 4 ? 12 : 8),
    dst: address(family === 4 ? 16 : 24),
    sport: view.getUint16(p.l4),
    dport: view.getUint16(p.l4 + 2),
    seq: isTcp ? tcpSeq(p) : 0,
    ack: isTcp ? tcpAckSeq(p) : 0,
    payload,
  };
}
