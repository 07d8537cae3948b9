/**
 * The differences between Linux and Weir that are allowed, and no others. `allowed_test.ts` shows for each that it is
 * only that.
 *
 * @module
 */
import { readTables } from "../oracle/listing.ts";
import type { Dump } from "../oracle/scenario.ts";
import { parse } from "../kit/show.ts";
import type { Sent } from "./sent.ts";
import { addressAt, fields, read16, read32 } from "./wire.ts";

/** Every allowed difference by name, and why no router could repeat it. */
export const ALLOWED = {
  "random port": "ports and query ids drawn by NAT correspond one to one, within the same class",
  "router's id": "IP ids of packets that the router makes itself",
  "flow label": "IPv6 flow labels of packets that the router makes itself",
  "fragment id": "ids of IPv6 datagrams that the router has to cut",
  "clock": "times of day that the router writes into a packet, up to one second apart",
  "order": "packets that leave by different interfaces, lines of listings",
  "timer": "timers up to one second apart",
  "use count": "use= in listings, which counts who holds the entry at that moment",
  "empty table": "tables without rules need not be listed",
} as const;

export type AllowedName = keyof typeof ALLOWED;

/** The class of ports that NAT stays in. */
const portClass = (port: number) => port < 512 ? 0 : port < 1024 ? 1 : 2;

/** Judges what two sides say about one scenario. */
export class Judge {
  /** How often each allowed difference was met. */
  readonly met = new Map<AllowedName, number>();
  /** Linux's port to Weir's and back, by protocol and address. */
  readonly #there = new Map<string, number>();
  readonly #back = new Map<string, number>();
  /** Ports that hosts send from, likewise: nobody has drawn them. */
  readonly #own = new Set<string>();
  /** The same for ids of IPv6 datagrams. */
  readonly #ids = new Map<number, number>();

  /** Rules translate: a port may be drawn, whether or not it is seen. */
  readonly #translated: boolean;
  /** Rules draw destination ports, too. */
  readonly #drawn: boolean;

  /** `rules`: the texts in force. */
  constructor(...rules: string[]) {
    this.#translated = /-j (SNAT|MASQUERADE|DNAT|REDIRECT)/.test(rules.join("\n"));
    this.#drawn = /-j (DNAT|REDIRECT).* --random/.test(rules.join("\n"));
  }

  #allow(name: AllowedName): true {
    this.met.set(name, (this.met.get(name) ?? 0) + 1);
    return true;
  }

  /** Whether a port of Linux's and one of Weir's may stand for each other. */
  #pair(protocol: number, address: string, kernel: number, weir: number): boolean {
    if (kernel === weir) return true;
    const icmp = protocol === 1 || protocol === 58;
    if (!icmp && portClass(kernel) !== portClass(weir)) return false;
    const k = `${protocol} ${address} ${kernel}`, w = `${protocol} ${address} ${weir}`;
    if (this.#there.get(k) === undefined && (this.#own.has(k) || this.#own.has(w))) return false;
    if ((this.#there.get(k) ?? weir) !== weir || (this.#back.get(w) ?? kernel) !== kernel) return false;
    this.#there.set(k, weir);
    this.#back.set(w, kernel);
    return this.#allow("random port");
  }

  /**
   * The packets that one packet caused. Null when they agree, else what differs. `unfinished`: the device that it came
   * by has left its checksum to others.
   */
  packets(
    sent: Uint8Array,
    kernel: readonly Sent[],
    weir: readonly Sent[],
    sentToWeir = sent,
    unfinished = false,
  ): readonly [Sent?, Sent?] | null {
    const f = fields(sent);
    if (f !== null && f.sport) {
      this.#own.add(`${f.protocol} ${addressAt(sent, f, f.src).join(".")} ${read16(sent, f.sport)}`);
    }
    if (kernel.length === 1 && weir.length === 1 && kernel[0].iface === weir[0].iface) {
      return kernel[0].burst === weir[0].burst &&
          (equal(kernel[0].bytes, weir[0].bytes) ||
            this.#same(sent, sentToWeir, kernel[0].bytes, weir[0].bytes, unfinished))
        ? null
        : [kernel[0], weir[0]];
    }
    const left = [...weir];
    for (const [n, k] of kernel.entries()) {
      const i = left.findIndex((w) => w.iface === k.iface);
      if (i < 0) return [k, undefined];
      const [w] = left.splice(i, 1);
      if (k.burst !== w.burst) return [k, w];
      if (!equal(k.bytes, w.bytes) && !this.#same(sent, sentToWeir, k.bytes, w.bytes, unfinished)) {
        return [k, w];
      }
      if (kernel[n].iface !== weir[n]?.iface) this.#allow("order");
    }
    return left.length > 0 ? [undefined, left[0]] : null;
  }

  #same(
    sent: Uint8Array,
    sentToWeir: Uint8Array,
    kernel: Uint8Array,
    weir: Uint8Array,
    unfinished: boolean,
  ): boolean {
    if (kernel.length !== weir.length) return false;
    const k = kernel.slice(), w = weir.slice();
    let zeroed = false;
    const f = fields(k), g = fields(w), s = fields(sent);
    if (f === null || g === null || f.l4 !== g.l4 || f.protocol !== g.protocol) return false;
    const came = portsOf(sent, 0).map(([at]) => read16(sent, at));
    const cameToWeir = portsOf(sentToWeir, 0).map(([at]) => read16(sentToWeir, at));
    for (const [at, protocol, address] of portsOf(k, 0)) {
      if (at + 2 > w.length) return false;
      const a = read16(k, at), b = read16(w, at);
      if (a === b) continue;
      // What came in was kept by one and changed by the other.
      if (came.includes(a) !== cameToWeir.includes(b)) return false;
      if (!this.#pair(protocol, address, a, b)) return false;
      w[at] = k[at];
      w[at + 1] = k[at + 1];
      zeroed = true;
    }
    // An error quotes its cause with the ports that it came with. An unfinished checksum is not changed with them on
    // the way there, but on the way back: what is quoted is off by the port that was drawn, which nobody sees.
    if (unfinished && this.#translated && quotes(k)) {
      const quoted = k.subarray(f.l4 + 8), at = fields(quoted)?.checksum ?? 0;
      if (at !== 0 && at + 2 <= quoted.length && read16(quoted, at) !== read16(w, f.l4 + 8 + at)) {
        this.#allow("random port");
        zeroed = true;
      }
    }
    for (const at of idsOf(k, 0)) {
      const x = read32(k, at), y = read32(w, at), end = Math.min(k.length, at + 4);
      if (x === y) continue;
      if (end === at + 4 && (this.#ids.get(x) ?? y) !== y) return false;
      if (end === at + 4) this.#ids.set(x, y);
      w.set(k.subarray(at, end), at);
      this.#allow("fragment id");
      if (quotes(k)) zeroed = true; // the checksum covers it
    }
    for (const at of timesOf(k)) {
      if (at + 4 > w.length) return false;
      const x = read32(k, at), y = read32(w, at);
      if (x === y) continue;
      if (Math.abs(x - y) > 1000) return false;
      w.set(k.subarray(at, at + 4), at);
      this.#allow("clock");
      zeroed = true;
    }
    if (zeroed) {
      // What is wrong about one packet must be wrong about the other: then the checksums say nothing more.
      if (parse(kernel).errors.join() !== parse(weir).errors.join()) return false;
      for (const [at, length] of sumsOf(k, 0)) {
        for (const b of [k, w]) b.fill(0, at, Math.min(b.length, at + length));
      }
    }
    if (f.family === 4) {
      const a = read16(kernel, 4),
        b = read16(weir, 4),
        own = s === null || s.family !== 4 ? -1 : read16(sent, 4);
      // Where no identification is needed, 0 is on purpose; otherwise it is one of 65,536.
      const dontFragment = (kernel[6] & 0x40) !== 0;
      if (
        a !== b && a !== own && b !== own && (!dontFragment || (a === 0) === (b === 0)) &&
        sumsRight(kernel) === sumsRight(weir)
      ) {
        for (const x of [k, w]) x.fill(0, 4, 6), x.fill(0, 10, 12);
        this.#allow("router's id");
      }
    } else {
      const a = read32(kernel, 0) & 0xfffff, b = read32(weir, 0) & 0xfffff;
      const own = s === null || s.family !== 6 ? -1 : read32(sent, 0) & 0xfffff;
      if (a !== b && a !== 0 && b !== 0 && (a !== own && b !== own)) {
        for (const x of [k, w]) x.fill(0, 2, 4), x[1] &= 0xf0;
        this.#allow("flow label");
      }
    }
    return equal(k, w);
  }

  /** The tables at the end: differences, one text per line. */
  dumps(kernel: Dump, weir: Dump): string[] {
    const out: string[] = [];
    this.#listing("conntrack -L", kernel.conntrack, weir.conntrack, out);
    this.#listing("conntrack -L expect", kernel.expect, weir.expect, out);
    this.#tables("iptables -t", kernel.iptables, weir.iptables, out);
    this.#tables("ip6tables -t", kernel.ip6tables, weir.ip6tables, out);
    return out;
  }

  #listing(what: string, kernel: readonly string[], weir: readonly string[], out: string[]): void {
    const left = new Map<string, number[]>();
    for (const line of weir) {
      const { text, timer } = plain(line, null);
      const timers = left.get(text);
      if (timers === undefined) left.set(text, [timer]);
      else timers.push(timer);
    }
    const missing: string[] = [];
    for (const line of kernel) {
      const { timer } = plain(line, null);
      let { text } = plain(line, null);
      if (!left.has(text)) text = plain(line, this.#there).text;
      const timers = left.get(text);
      if (timers === undefined || timers.length === 0) {
        missing.push(line);
        continue;
      }
      // The nearest, so that equal lines do not take each other's.
      let best = 0;
      for (let i = 1; i < timers.length; i++) {
        if (Math.abs(timers[i] - timer) < Math.abs(timers[best] - timer)) best = i;
      }
      const [found] = timers.splice(best, 1);
      if (found === timer || (Number.isNaN(found) && Number.isNaN(timer))) continue;
      if (Math.abs(found - timer) <= 1) this.#allow("timer");
      else missing.push(`${line}   (weir's timer: ${found})`);
    }
    const rest = [...left].flatMap(([text, timers]) => timers.map(() => text));
    // Ports that were drawn and never left: lines that are alike but for a reply's port.
    for (let i = missing.length - 1; i >= 0; i--) {
      const shape = shapeOf(plain(missing[i], null).text, this.#drawn);
      const found = rest.findIndex((line) => shapeOf(line, this.#drawn) === shape);
      if (found < 0 || missing[i].includes("(weir's")) continue;
      missing.splice(i, 1);
      rest.splice(found, 1);
      this.#allow("random port");
    }
    if (missing.length > 0 || rest.length > 0) {
      out.push(`${what}:`, ...missing.map((l) => `  linux ${l}`), ...rest.map((l) => `  weir  ${l}`));
    }
  }

  #tables(what: string, kernel: string, weir: string, out: string[]): void {
    if (kernel === weir) return;
    const k = readTables(kernel), w = readTables(weir);
    const empty = (list: string[] | undefined) =>
      list === undefined || list.every((l) => /^:\S+ ACCEPT /.test(l));
    for (const name of new Set([...k.keys(), ...w.keys()])) {
      const a = k.get(name), b = w.get(name);
      if ((a === undefined || b === undefined) && empty(a) && empty(b)) {
        this.#allow("empty table");
        continue;
      }
      const differ: string[] = [];
      for (let i = 0; i < Math.max(a?.length ?? 0, b?.length ?? 0); i++) {
        if (a?.[i] !== b?.[i]) differ.push(`  linux ${a?.[i] ?? "–"}`, `  weir  ${b?.[i] ?? "–"}`);
      }
      if (differ.length > 0) out.push(`${what} ${name}:`, ...differ);
    }
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** A listing line without its timer and use count, Linux's ports renamed. */
function plain(line: string, there: ReadonlyMap<string, number> | null): { text: string; timer: number } {
  let timer = NaN;
  let text = line.replace(/ use=\d+/, "").replace(/^(\S+\s+\d+ )(\d+) |^(\d+) /, (_, head, flow, expect) => {
    timer = Number(flow ?? expect);
    return `${head ?? ""}T `;
  });
  if (there === null || there.size === 0) return { text, timer };
  const protocol = /^\S+\s+(\d+)/.exec(text)?.[1] ?? /proto=(\d+)/.exec(text)?.[1];
  text = text.replace(/src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+)/g, (_, src, dst, sport, dport) => {
    const s = there.get(`${protocol} ${long(src)} ${sport}`) ?? sport,
      d = there.get(`${protocol} ${long(dst)} ${dport}`) ?? dport;
    return `src=${src} dst=${dst} sport=${s} dport=${d}`;
  }).replace(/src=(\S+) dst=(\S+) type=(\d+) code=(\d+) id=(\d+)/g, (_, src, dst, type, code, id) => {
    const i = there.get(`${protocol} ${long(src)} ${id}`) ?? there.get(`${protocol} ${long(dst)} ${id}`) ??
      id;
    return `src=${src} dst=${dst} type=${type} code=${code} id=${i}`;
  });
  return { text, timer };
}

/** A line without the port that NAT may have drawn for the reply's destination, and if `drawn` for its source. */
function shapeOf(line: string, drawn: boolean): string {
  // A TFTP server may answer from any port to the client's, which the expectation has as NAT has drawn it.
  if (/^T proto=17 .* sport=0 dport=65535 .* helper=tftp$/.test(line)) {
    return line.replace(/dport=(\d+)/, (_, port) => `dport=*${portClass(Number(port))}`);
  }
  let n = 0;
  const shape = line.replace(
    /dport=(\d+)|\bid=(\d+)/g,
    (all, port) => ++n === 2 ? (port === undefined ? "id=*" : `dport=*${portClass(Number(port))}`) : all,
  );
  if (!drawn) return shape;
  let m = 0;
  return shape.replace(/sport=(\d+)/g, (all, port) => ++m === 2 ? `sport=*${portClass(Number(port))}` : all);
}

/** An address as the key of a port: the bytes, so that every spelling is the same. */
function long(address: string): string {
  if (!address.includes(":")) return address;
  const [head, tail] = address.split("::");
  const words = (s: string | undefined) =>
    s === undefined || s === "" ? [] : s.split(":").map((w) => parseInt(w, 16));
  const a = words(head), b = words(tail);
  const all = tail === undefined ? a : [...a, ...Array(8 - a.length - b.length).fill(0), ...b];
  return all.flatMap((w) => [w >> 8, w & 255]).join(".");
}

/** Places of ports and query ids with protocol and address of their side, those of a quoted packet included. */
function portsOf(b: Uint8Array, base: number): [at: number, protocol: number, address: string][] {
  const part = base === 0 ? b : b.subarray(base), f = fields(part);
  if (f === null) return [];
  const out: [number, number, string][] = [];
  if (f.sport) out.push([base + f.sport, f.protocol, addressAt(part, f, f.src).join(".")]);
  if (f.dport) out.push([base + f.dport, f.protocol, addressAt(part, f, f.dst).join(".")]);
  if (base === 0 && quotes(part)) out.push(...portsOf(b, f.l4 + 8));
  return out;
}

/** Places of IPv6 fragment ids, those of a quoted packet included. */
function idsOf(b: Uint8Array, base: number): number[] {
  const part = base === 0 ? b : b.subarray(base);
  if (part.length < 40 || part[0] >> 4 !== 6) return [];
  const out: number[] = [];
  for (let next = part[6], at = 40; at + 5 <= part.length; next = part[at], at += (part[at + 1] + 1) * 8) {
    if (next === 44) {
      out.push(base + at + 4);
      break;
    }
    if (next !== 0 && next !== 43 && next !== 60) break;
  }
  const f = fields(part);
  if (base === 0 && f !== null && quotes(part)) out.push(...idsOf(b, f.l4 + 8));
  return out;
}

/** Places of times of day: ICMP timestamp replies (RFC 792), IPv4 timestamp options (RFC 781). */
function timesOf(b: Uint8Array, base = 0): number[] {
  const part = base === 0 ? b : b.subarray(base), f = fields(part);
  if (f === null || f.family !== 4) return [];
  const out: number[] = [];
  if (f.protocol === 1 && !f.later && part[f.l4] === 14 && f.l4 + 20 <= part.length) {
    out.push(base + f.l4 + 12, base + f.l4 + 16);
  }
  for (let at = 20; at + 4 <= f.l4 && part[at] !== 0;) {
    if (part[at] === 1) {
      at++;
      continue;
    }
    const length = part[at + 1];
    if (length < 2) break;
    const step = (part[at + 3] & 15) === 0 ? 4 : 8;
    if (part[at] === 68) { for (let t = at + step; t + 4 <= at + length; t += step) out.push(base + t); }
    at += length;
  }
  if (base === 0 && quotes(part)) out.push(...timesOf(b, f.l4 + 8));
  return out;
}

function quotes(b: Uint8Array): boolean {
  const f = fields(b);
  if (f === null || f.later || f.l4 + 28 > b.length) return false;
  return f.protocol === 1 ? [3, 4, 5, 11, 12].includes(b[f.l4]) : f.protocol === 58 && b[f.l4] < 128;
}

/** Places and lengths of checksums, those of a quoted packet included. */
function sumsOf(b: Uint8Array, base: number): [at: number, length: number][] {
  const part = base === 0 ? b : b.subarray(base), f = fields(part);
  if (f === null) return [];
  const out: [number, number][] = f.family === 4 ? [[base + 10, 2]] : [];
  if (f.checksum) out.push([base + f.checksum, f.protocol === 132 ? 4 : 2]);
  if (base === 0 && quotes(part)) out.push(...sumsOf(b, f.l4 + 8));
  return out;
}

/** Whether the IPv4 header checksum is right. */
function sumsRight(b: Uint8Array): boolean {
  return !parse(b).errors.includes("IP checksum");
}
