/**
 * Packets as people write them on a command line or in a test.
 *
 * ```
 *  tcp 192.0.2.2:1000 > 203.0.113.9:80 syn
 *  tcp [2001:db8:1::2]:1000 > [2001:db8:9::9]:21 psh,ack seq 5 ack 9 "USER ftp\r\n"
 *  udp 192.0.2.2:1000 > 203.0.113.9:53 ttl 3 hex:0001
 *  icmp 192.0.2.2 > 203.0.113.9 echo-request id 5 seq 1
 *  icmp 203.0.113.9 > 192.0.2.2 unreachable code 3 about (udp 192.0.2.2:1000 > 203.0.113.9:53)
 *  IPv4 192.0.2.2:40000 > 198.51.100.7:80 TCP SYN seq 1 win 64240 len 0           as `describe` prints it
 *  450000280001…                                                                  its bytes
 * ```
 *
 * What is left out is what an ordinary sender would say: TTL 64, a SYN, an echo request. Lengths and checksums are
 * right; a packet that is to be wrong is written as bytes.
 *
 * Limits: no fragments and no options; those come as bytes, or from a capture.
 *
 * @module
 */
import { type Family, GRE, ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE } from "../netfilter.ts";
import { type Address, parseAddress } from "../packet/address.ts";
import { isIcmpError } from "../packet/icmp.ts";
import { ACK, CWR, ECE, FIN, PSH, RST, SYN, URG } from "../packet/tcp.ts";
import { protocolNumber } from "../tables/names.ts";
import { buildPacket, headerLength, type PacketParts } from "./build.ts";

/** Text that is no packet, and why; one line. */
export class PacketTextError extends Error {
  override readonly name = "PacketTextError";
}

/** A packet read from text. */
export interface PacketText {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The mark that it is to have when it comes in: what a rule in front would have given it. */
  readonly mark: number;
}

const FLAGS: Readonly<Record<string, number>> = {
  syn: SYN,
  fin: FIN,
  rst: RST,
  psh: PSH,
  ack: ACK,
  urg: URG,
  ece: ECE,
  cwr: CWR,
  none: 0,
};

/** ICMP types by family: as `describe` has them, blanks or hyphens between the words. */
const TYPES: Readonly<Record<Family, Readonly<Record<string, number>>>> = {
  4: {
    "echo-reply": 0,
    "unreachable": 3,
    "destination-unreachable": 3,
    "source-quench": 4,
    "redirect": 5,
    "echo-request": 8,
    "time-exceeded": 11,
    "parameter-problem": 12,
    "timestamp-request": 13,
    "timestamp-reply": 14,
  },
  6: {
    "unreachable": 1,
    "destination-unreachable": 1,
    "packet-too-big": 2,
    "time-exceeded": 3,
    "parameter-problem": 4,
    "echo-request": 128,
    "echo-reply": 129,
    "router-solicitation": 133,
    "router-advertisement": 134,
    "neighbour-solicitation": 135,
    "neighbour-advertisement": 136,
    "redirect": 137,
  },
};

/** An INIT chunk (RFC 9260, 3.3.2): what an association begins with. */
const SCTP_INIT = [1, 0, 0, 20, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1];
/** Most bytes that an ICMP error quotes of a packet, so that it fits in 576 or 1280. */
const QUOTED = { 4: 548, 6: 1232 } as const;
const NUMBERS = ["seq", "ack", "win", "ttl", "tos", "id", "len", "mark", "code", "type", "mtu", "vtag"];

/** Reads one packet. Throws `PacketTextError`. */
export function parsePacket(text: string): PacketText {
  const hex = text.replace(/\s+/g, "");
  if (/^[46][0-9a-fA-F]{7,}$/.test(hex)) {
    if (hex.length % 2 !== 0) throw new PacketTextError("there is half a byte at the end");
    return { bytes: Uint8Array.fromHex(hex), mark: 0 };
  }
  return new Reader(text).packet();
}

/** One text on its way from word to word. */
class Reader {
  readonly #words: readonly string[];
  #at = 0;
  #protocol = -1;
  #flags: number | null = null;
  #payload: Uint8Array | null = null;
  #quoted: PacketText | null = null;
  #typeName: string | null = null;
  #dontFragment = true;
  readonly #numbers = new Map<string, number>();

  constructor(text: string) {
    this.#words = split(text);
  }

  packet(): PacketText {
    let version = 0;
    const first = this.#peek();
    if (/^ipv[46]$/i.test(first)) {
      version = Number(first.slice(3));
      this.#at++;
    }
    this.#readProtocol();
    const from = end(this.#next("the source's address"));
    if (this.#next('">"') !== ">") throw new PacketTextError('between the two addresses stands ">"');
    const to = end(this.#next("the destination's address"));
    if (this.#protocol < 0) this.#readProtocol();
    if (this.#protocol < 0) throw new PacketTextError("it says no protocol: tcp, udp, icmp, …");
    const family = from.address.family;
    if (to.address.family !== family || version !== 0 && version !== family) {
      throw new PacketTextError("its addresses are of different families");
    }
    if (this.#protocol === ICMP && family === 6) this.#protocol = ICMPV6;
    while (this.#at < this.#words.length) this.#word(family);
    return { bytes: buildPacket(this.#parts(from, to)), mark: (this.#numbers.get("mark") ?? 0) | 0 };
  }

  #peek(): string {
    return this.#words[this.#at] ?? "";
  }

  #next(expected: string): string {
    if (this.#at >= this.#words.length) throw new PacketTextError(`${expected} is missing`);
    return this.#words[this.#at++];
  }

  /** The protocol, if the next word is one. */
  #readProtocol(): void {
    const word = this.#peek().toLowerCase();
    if (word === "proto") {
      this.#at++;
      const number = protocolNumber(this.#next("the protocol's number"));
      if (number === null) throw new PacketTextError("proto is followed by a number from 0 to 255");
      this.#protocol = number;
    } else if (/^[a-z][a-z0-9-]*$/.test(word)) {
      const number = protocolNumber(word);
      if (number === null) throw new PacketTextError(`${word} is no protocol: tcp, udp, icmp, … or proto 99`);
      this.#protocol = number;
      this.#at++;
    }
  }

  #word(family: Family): void {
    const word = this.#next("a word"), lower = word.toLowerCase();
    const flags = flagBits(lower);
    const number = /^(0x[0-9a-f]+|\d+)$/i.test(this.#peek());
    if (NUMBERS.includes(lower) && (number || !(lower in FLAGS))) {
      if (!number) throw new PacketTextError(`${lower} is followed by a number`);
      this.#numbers.set(lower, Number(this.#next("a number")));
    } else if (this.#protocol === TCP && flags !== null) {
      this.#flags = (this.#flags ?? 0) | flags;
    } else if (word.startsWith('"')) this.#payload = text(word);
    else if (lower === "payload") this.#payload = payload(this.#next("the payload"));
    else if (lower.startsWith("hex:")) this.#payload = payload(word);
    else if (lower === "df") this.#dontFragment = true;
    else if (lower === "-df") this.#dontFragment = false;
    else if (lower === "about") this.#quoted = new Reader(this.#next("the packet that it is about")).packet();
    else if (this.#isIcmp() && this.#readType(lower, family)) return;
    else if (lower === "frag" || lower === "gso") {
      throw new PacketTextError(
        `${lower}: fragments and offloaded packets are given as bytes, or by a capture`,
      );
    } else {
      throw new PacketTextError(
        `${word} means nothing here; known are ${NUMBERS.join(", ")}, df, -df, "payload", hex:…` +
          (this.#protocol === TCP ? `, ${Object.keys(FLAGS).join(", ")}` : "") +
          (this.#isIcmp() ? `, about (PACKET), ${Object.keys(TYPES[family]).join(", ")}` : ""),
      );
    }
  }

  #isIcmp(): boolean {
    return this.#protocol === ICMP || this.#protocol === ICMPV6;
  }

  /** The name of a type, which may be two words or three. */
  #readType(word: string, family: Family): boolean {
    const rest = this.#words.slice(this.#at, this.#at + 2).map((w) => w.toLowerCase());
    for (let more = rest.length; more >= 0; more--) {
      const name = [word, ...rest.slice(0, more)].join("-");
      if (!(name in TYPES[family])) continue;
      this.#typeName = name;
      this.#at += more;
      return true;
    }
    return false;
  }

  #number(name: string, most: number, otherwise: number): number {
    const value = this.#numbers.get(name) ?? otherwise;
    if (value > most) throw new PacketTextError(`${name} ${value} is more than ${most}`);
    return value;
  }

  #parts(from: End, to: End): PacketParts {
    const protocol = this.#protocol, family = from.address.family;
    const ports = [TCP, UDP, UDPLITE, SCTP].includes(protocol);
    for (const { port, text } of [from, to]) {
      if (ports && port < 0) {
        throw new PacketTextError(`${text} has no port; write ${text.includes(":") ? `[${text}]` : text}:80`);
      }
      if (!ports && port >= 0) throw new PacketTextError(`${text}: this protocol has no ports`);
    }
    const type = this.#isIcmp() ? this.#type(family) : 0;
    const isError = this.#isIcmp() && isIcmpError(family, type);
    if (isError && this.#quoted === null && this.#payload === null) {
      throw new PacketTextError("an ICMP error quotes the packet that it is about; write about (udp …)");
    }
    const id = this.#number("id", 0xffff, this.#isIcmp() ? 1 : 0);
    const acknowledges = this.#numbers.has("ack");
    return {
      source: from.address,
      destination: to.address,
      protocol,
      sport: from.port,
      dport: to.port,
      flags: this.#flags ?? (acknowledges ? ACK : SYN),
      seq: this.#number("seq", 0xffffffff, 1) | 0,
      ack: this.#number("ack", 0xffffffff, 0) | 0,
      window: this.#number("win", 0xffff, 64240),
      type,
      code: this.#number("code", 255, 0),
      rest: isError
        ? this.#number("mtu", 0xffffffff, 0) | 0
        : id << 16 | this.#number("seq", this.#isIcmp() ? 0xffff : 0xffffffff, 1) & 0xffff,
      vtag: this.#number("vtag", 0xffffffff, 0) | 0,
      ttl: this.#number("ttl", 255, 64),
      tos: this.#number("tos", 255, 0),
      ident: this.#isIcmp() ? 0 : id,
      dontFragment: this.#dontFragment,
      payload: this.#content(family, protocol),
    };
  }

  #type(family: Family): number {
    const given = this.#numbers.get("type");
    if (given !== undefined) return this.#number("type", 255, 0);
    return TYPES[family][this.#typeName ?? "echo-request"];
  }

  #content(family: Family, protocol: number): Uint8Array {
    const length = this.#numbers.get("len");
    let content = this.#payload;
    if (content === null && this.#quoted !== null) {
      content = this.#quoted.bytes.subarray(0, QUOTED[family]);
    }
    content ??= protocol === SCTP
      ? Uint8Array.from(SCTP_INIT)
      : protocol === GRE
      ? new Uint8Array(length ?? 0)
      : new Uint8Array(Math.min(length ?? 0, 0xffff));
    if (length !== undefined && length !== content.length) {
      throw new PacketTextError(`len ${length}, but the payload has ${content.length} bytes`);
    }
    const most = 0xffff - (family === 4 ? 20 : 0) - headerLength(protocol);
    if (content.length > most) throw new PacketTextError(`the payload has more than ${most} bytes`);
    return content;
  }
}

/** TCP flags by name, joined by commas; null for anything else. */
function flagBits(text: string): number | null {
  let bits = 0;
  for (const name of text.split(",")) {
    if (!Object.hasOwn(FLAGS, name)) return null;
    bits |= FLAGS[name];
  }
  return bits;
}

/** One end: an address, and a port or −1. */
interface End {
  readonly address: Address;
  readonly port: number;
  readonly text: string;
}

function end(text: string): End {
  const [, six, withPort] = /^\[([^\]]+)\](?::(\d+))?$/.exec(text) ?? [];
  const [, four, port] = /^([^:]+):(\d+)$/.exec(text) ?? [];
  const address = parseAddress(six ?? four ?? text), number = withPort ?? port;
  if (address === null) throw new PacketTextError(`${text} is not an address, nor an address and a port`);
  if (Number(number ?? 0) > 0xffff) throw new PacketTextError(`${text}: a port is a number up to 65535`);
  return { address, port: number === undefined ? -1 : Number(number), text };
}

function payload(word: string): Uint8Array {
  if (word.startsWith('"')) return text(word);
  const digits = word.replace(/^hex:/i, "");
  if (digits === word || !/^([0-9a-f]{2})*$/i.test(digits)) {
    throw new PacketTextError(`a payload is "text" or hex:0102, not ${word}`);
  }
  return Uint8Array.fromHex(digits);
}

/** Text with the escapes of JSON and \xNN: one byte per character. */
function text(quoted: string): Uint8Array {
  let value: string;
  try {
    value = JSON.parse(quoted.replace(/\\x([0-9a-fA-F]{2})/g, "\\u00$1"));
  } catch {
    throw new PacketTextError(
      `${quoted} is not text in quotes; inside them a quote is \\" and a line end \\n`,
    );
  }
  if ([...value].some((c) => c.charCodeAt(0) > 255)) return new TextEncoder().encode(value);
  return Uint8Array.from(value, (c) => c.charCodeAt(0));
}

/** Words; what stands in quotes is one, with its quotes, and what stands in parentheses one without them. */
function split(text: string): string[] {
  const words: string[] = [];
  for (let at = 0; at < text.length;) {
    const c = text[at];
    if (/\s/.test(c)) {
      at++;
    } else if (c === '"') {
      const close = closingQuote(text, at);
      words.push(text.slice(at, close + 1));
      at = close + 1;
    } else if (c === "(") {
      const close = closingParenthesis(text, at);
      words.push(text.slice(at + 1, close));
      at = close + 1;
    } else {
      const [word] = /^[^\s"(]+/.exec(text.slice(at)) ?? [c];
      words.push(word);
      at += word.length;
    }
  }
  return words;
}

function closingQuote(text: string, open: number): number {
  for (let at = open + 1; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === '"') return at;
  }
  throw new PacketTextError("a quote is not closed");
}

function closingParenthesis(text: string, open: number): number {
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    if (text[at] === '"') at = closingQuote(text, at);
    else if (text[at] === "(") depth++;
    else if (text[at] === ")" && --depth === 0) return at;
  }
  throw new PacketTextError("a parenthesis is not closed");
}
