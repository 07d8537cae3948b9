/**
 * Compares what Linux and Weir answered, and says the differences so that a person can read them.
 *
 * Everything must be equal but for what no router can repeat:
 *
 * - ports and ICMP ids that were chosen at random: they must correspond one to one, in headers, in quoted packets, in
 *   the payload and in the listings alike;
 * - IP identifications of packets that the router makes itself (those that are not the id of the packet that came in),
 *   and of IPv6 datagrams that it has to cut again; IPv6 flow labels of packets that it makes;
 * - the order of packets on different interfaces, and the order of listings;
 * - timers, by one second; the reference count `use=`; tables without rules that one side does not list.
 *
 * @module
 */
import { parse, show, type Shown } from "../kit/show.ts";
import { readTables } from "./listing.ts";
import type { Answer, Dump, Emitted, Scenario } from "./scenario.ts";

/** Ports chosen at random: Linux's to Weir's and back. */
class Renaming {
  readonly #there = new Map<number, number>();
  readonly #back = new Map<number, number>();
  /** Identifications of IPv6 datagrams that were cut anew. */
  readonly #ids = new Map<number, number>();

  constructor(readonly known: ReadonlySet<number>) {}

  /** True when these two may stand for each other, now and from now on. */
  pair(kernel: number, weir: number): boolean {
    if (kernel === weir && this.known.has(kernel)) {
      return (this.#there.get(kernel) ?? weir) === weir && (this.#back.get(weir) ?? kernel) === kernel;
    }
    if (kernel !== weir && (this.known.has(kernel) || this.known.has(weir))) return false;
    if ((this.#there.get(kernel) ?? weir) !== weir || (this.#back.get(weir) ?? kernel) !== kernel) {
      return false;
    }
    this.#there.set(kernel, weir);
    this.#back.set(weir, kernel);
    return true;
  }

  /** True when these two may name the same IPv6 datagram. */
  pairId(kernel: number, weir: number): boolean {
    if (!this.#ids.has(kernel)) this.#ids.set(kernel, weir);
    return this.#ids.get(kernel) === weir;
  }

  /** Linux's number for a number of Weir's. */
  toKernel(weir: number): number {
    return this.#back.get(weir) ?? weir;
  }
}

/** Offsets of ports and query ids, those of quoted packets included. */
function portOffsets(s: Shown, base = 0): number[] {
  if (s.offset) return [];
  const at = base + s.l4;
  if (s.sport !== undefined) return [at, at + 2];
  if (s.echoId !== undefined) return [at + 4];
  return s.quoted ? portOffsets(s.quoted, at + 8) : [];
}

/** Offsets and lengths of checksums, those of quoted packets included. */
function checksumFields(s: Shown, base = 0): [number, number][] {
  const fields: [number, number][] = s.family === 4 ? [[base + 10, 2]] : [];
  const at = base + s.l4;
  if (s.offset) return fields;
  if (s.protocol === 6) fields.push([at + 16, 2]);
  if (s.protocol === 17 || s.protocol === 136) fields.push([at + 6, 2]);
  if (s.protocol === 132) fields.push([at + 8, 4]);
  if (s.protocol === 1 || s.protocol === 58) fields.push([at + 2, 2]);
  if (s.quoted) fields.push(...checksumFields(s.quoted, at + 8));
  return fields;
}

/** The flow label of an IPv6 header. */
function label(b: Uint8Array): number {
  return ((b[1] & 15) << 16) | (b[2] << 8) | b[3];
}

/** Offset of the IPv6 fragment header, or 0. */
function fragmentHeader(b: Uint8Array): number {
  if (b[0] >> 4 !== 6) return 0;
  for (let next = b[6], at = 40; at + 8 <= b.length; next = b[at], at += (b[at + 1] + 1) * 8) {
    if (next === 44) return at;
    if (next !== 0 && next !== 43 && next !== 60) return 0;
  }
  return 0;
}

const latin = (bytes: Uint8Array) => Array.from(bytes, (b) => String.fromCharCode(b)).join("");

/** True when two payloads differ only in ports that correspond, as decimals or as FTP's two bytes. */
function samePayload(kernel: Uint8Array, weir: Uint8Array, ports: Renaming): boolean {
  const k = latin(kernel), w = latin(weir);
  if (k === w) return true;
  if (k.length !== w.length) return false;
  const pattern = /(\d+),(\d+)(?!,?\d)|\d+|\D+/g;
  const kt = [...k.matchAll(pattern)], wt = [...w.matchAll(pattern)];
  return kt.length === wt.length && kt.every((a, i) => {
    const b = wt[i];
    if (a[0] === b[0]) return true;
    if ((a[1] === undefined) !== (b[1] === undefined)) return false;
    const number = (m: RegExpMatchArray) =>
      m[1] === undefined ? Number(m[0]) : Number(m[1]) * 256 + Number(m[2]);
    // Below 256 it is part of an address.
    return number(a) > 255 && number(b) > 255 && ports.pair(number(a), number(b));
  });
}

/** True when two packets are the same but for what is allowed. */
function samePacket(
  kernel: Uint8Array,
  weir: Uint8Array,
  ports: Renaming,
  ids: ReadonlySet<number>,
): boolean {
  if (kernel.length !== weir.length) return false;
  if (kernel.every((byte, i) => byte === weir[i])) {
    const s = parse(kernel);
    return portOffsets(s).every((at) => {
      const port = (kernel[at] << 8) | kernel[at + 1];
      return ports.pair(port, port);
    });
  }
  const k = kernel.slice(), w = weir.slice(), ks = parse(kernel), ws = parse(weir);
  // What is wrong about one packet must be wrong about the other: then the checksums say nothing more.
  if (ks.errors.join() !== ws.errors.join()) return false;
  const offsets = portOffsets(ks);
  if (offsets.join() !== portOffsets(ws).join()) return false;
  for (const at of offsets) {
    if (at + 1 >= k.length) continue;
    if (!ports.pair((k[at] << 8) | k[at + 1], (w[at] << 8) | w[at + 1])) return false;
    w[at] = k[at];
    w[at + 1] = k[at + 1];
  }
  if (
    ks.protocol !== 1 && ks.protocol !== 58 && ks.payload.length && samePayload(ks.payload, ws.payload, ports)
  ) {
    w.set(ks.payload, ks.length - ks.payload.length);
  }
  const portsOrPayload = kernel.some((byte, i) => byte !== weir[i] && (k[i] === w[i]));
  if (
    ks.family === 4 && ks.id !== ws.id && !ids.has(ks.id) && !ids.has(ws.id) &&
    // With DF no identification is needed, and where Linux writes 0 it is on purpose. Without, 0 is one of 65,536.
    (!ks.df || (ks.id === 0) === (ws.id === 0))
  ) {
    for (const b of [k, w]) b.fill(0, 4, 6), b.fill(0, 10, 12);
  }
  // Linux hashes the flow under a key of its own; a label that came in is no router's choice.
  if (ks.family === 6 && label(k) !== 0 && label(w) !== 0) {
    for (const b of [k, w]) b.fill(0, 2, 4), b[1] &= 0xf0;
  }
  const header = fragmentHeader(k);
  if (header && !ids.has(ks.id) && header === fragmentHeader(w)) {
    if (!ports.pairId(ks.id, ws.id)) return false;
    w.set(k.subarray(header + 4, header + 8), header + 4);
  }
  if (portsOrPayload) {
    for (const [at, length] of checksumFields(ks)) {
      for (const b of [k, w]) b.fill(0, at, Math.min(b.length, at + length));
    }
  }
  return k.every((byte, i) => byte === w[i]);
}

/** A listing line without what may differ, and its timer. */
function plainLine(line: string, ports: Renaming | null): { text: string; timeout: number } {
  let timeout = NaN;
  const text = line.replace(/ use=\d+/, "").replace(
    /^(\S+\s+\d+ )(\d+) |^(\d+) /,
    (_, head, flow, expect) => {
      timeout = Number(flow ?? expect);
      return `${head ?? ""}T `;
    },
  );
  if (ports === null) return { text, timeout };
  return {
    text: text.replace(/\b(sport|dport|id)=(\d+)/g, (_, name, n) => `${name}=${ports.toKernel(Number(n))}`),
    timeout,
  };
}

function compareListing(
  what: string,
  kernel: string[],
  weir: string[],
  ports: Renaming,
  out: string[],
): void {
  const k = kernel.map((line) => plainLine(line, null)), w = weir.map((line) => plainLine(line, ports));
  const missing: string[] = [], left = [...w];
  for (const line of k) {
    const i = left.findIndex((other) => other.text === line.text);
    if (i < 0) {
      missing.push(`  linux ${line.text}`);
      continue;
    }
    const [found] = left.splice(i, 1);
    if (Math.abs(found.timeout - line.timeout) > 1) {
      missing.push(`  linux timer ${line.timeout}, weir ${found.timeout}: ${line.text}`);
    }
  }
  if (missing.length || left.length) {
    out.push(
      `${what}:`,
      ...missing,
      ...left.map((l) => `  weir  ${l.text}`),
    );
  }
}

/** Pairs random ports that show only in listings: lines that are equal but for one number. */
function learnFromListings(kernel: Dump, weir: Dump, ports: Renaming): void {
  const take = (list: string[]) => list.map((line) => plainLine(line, null).text);
  for (const which of ["conntrack", "expect"] as const) {
    const k = take(kernel[which]), w = take(weir[which]);
    const kOnly = k.filter((l) => !w.includes(l)), wOnly = w.filter((l) => !k.includes(l));
    for (const line of kOnly) {
      const shape = line.replace(/\b(sport|dport|id)=\d+/g, "$1=");
      const candidates = wOnly.filter((l) => l.replace(/\b(sport|dport|id)=\d+/g, "$1=") === shape);
      const numbers = (l: string) => [...l.matchAll(/\b(?:sport|dport|id)=(\d+)/g)].map((m) => Number(m[1]));
      const fits = candidates.filter((l) =>
        numbers(l).every((n, i) =>
          n === numbers(line)[i] || (!ports.known.has(n) && !ports.known.has(numbers(line)[i]))
        )
      );
      if (fits.length === 1) {
        numbers(fits[0]).forEach((n, i) => n !== numbers(line)[i] && ports.pair(numbers(line)[i], n));
      }
    }
  }
}

function compareTables(what: string, kernel: string, weir: string, out: string[]): void {
  const k = readTables(kernel), w = readTables(weir);
  const empty = (list: string[] | undefined) =>
    list === undefined || list.every((l) => /^:\S+ ACCEPT /.test(l));
  for (const name of new Set([...k.keys(), ...w.keys()])) {
    const a = k.get(name), b = w.get(name);
    if ((a === undefined || b === undefined) && empty(a) && empty(b)) continue;
    if ((a ?? []).join("\n") === (b ?? []).join("\n")) continue;
    out.push(`${what} ${name}:`);
    const length = Math.max(a?.length ?? 0, b?.length ?? 0);
    for (let i = 0; i < length; i++) {
      if (a?.[i] !== b?.[i]) out.push(`  linux ${a?.[i] ?? "–"}`, `  weir  ${b?.[i] ?? "–"}`);
    }
  }
}

function byInterface(emitted: readonly Emitted[], step: number): Map<string, Uint8Array[]> {
  const map = new Map<string, Uint8Array[]>();
  for (const e of emitted) {
    if (e.step !== step) continue;
    const list = map.get(e.iface) ?? [];
    list.push(e.bytes);
    map.set(e.iface, list);
  }
  return map;
}

/**
 * An event's line without what may differ, and which flow it tells of: of one flow events have an order, of several that
 * end together they have none.
 */
function plainEvent(line: string, ports: Renaming | null): { text: string; timeout: number; flow: string } {
  const [, tag, rest] = /^ *(\[[A-Z]+\]) (.*)$/.exec(line.replace(/^\[\d+\.\d+\]\t/, "")) ?? ["", "", line];
  const plain = rest.replace(/^ipv[46] +\d+ /, "").replace(/^(?!.*type=)(.*) id=\d+/, "$1 id");
  const asked = plain.replace(/ portid=\d+( progname=\S+)?$/, "").replace(/\[(start|stop)=[^\]]*\]/g, "[$1]");
  const { text, timeout } = plainLine(asked, ports);
  return {
    text: `${tag} ${text.replace(/delta-time=\d+/, "delta-time")}`,
    timeout,
    flow: /src=\S+ dst=\S+( \S*(port|key|type|code|id)=\S+)*/.exec(text)?.[0] ?? text,
  };
}

function compareEvents(
  which: number,
  kernel: string[],
  weir: string[],
  ports: Renaming,
  out: string[],
): void {
  const k = kernel.map((line) => plainEvent(line, null)), w = weir.map((line) => plainEvent(line, ports));
  for (const flow of new Set([...k, ...w].map((event) => event.flow))) {
    const a = k.filter((event) => event.flow === flow), b = w.filter((event) => event.flow === flow);
    const same = a.length === b.length && a.every(({ text, timeout }, i) =>
      // A last line has no timer when less than a second is left.
      (text === b[i].text && !(Math.abs(timeout - b[i].timeout) > 1)) ||
      withoutTimer(text) === withoutTimer(b[i].text) && (timeout || 0) + (b[i].timeout || 0) <= 1
    );
    if (same) continue;
    const lines = (side: string, events: typeof a) =>
      events.map(({ text, timeout }) => `  ${side} ${text.replace(" T ", ` ${timeout} `)}`);
    out.push(`listener ${which}:`, ...lines("linux", a), ...lines("weir ", b));
  }
}

const withoutTimer = (text: string) => text.replace(/ T /, " ");

/** The differences between Linux's answer and Weir's, one text per line; none when they agree. */
export function compare(scenario: Scenario, kernel: Answer, weir: Answer): string[] {
  const out: string[] = [], known = new Set<number>();
  for (const step of scenario.steps) {
    if (step.do !== "packet" || typeof step.bytes === "function") continue;
    const s = parse(step.bytes);
    for (const at of portOffsets(s)) known.add((step.bytes[at] << 8) | step.bytes[at + 1]);
  }
  for (const text of [scenario.iptables ?? "", scenario.ip6tables ?? ""]) {
    // The ends of a range are as random as what lies between them.
    for (const [number] of text.replace(/\d+-\d+/g, "").matchAll(/\d+/g)) known.add(Number(number));
  }
  const ports = new Renaming(known);
  scenario.steps.forEach((step, i) => {
    const ids = new Set<number>();
    if (step.do === "packet" && typeof step.bytes !== "function") {
      const s = parse(step.bytes);
      if (s.family === 4 || s.extensions.includes(44)) ids.add(s.id);
    }
    const k = byInterface(kernel.emitted, i), w = byInterface(weir.emitted, i);
    for (const iface of new Set([...k.keys(), ...w.keys()])) {
      const a = k.get(iface) ?? [], b = w.get(iface) ?? [];
      for (let n = 0; n < Math.max(a.length, b.length); n++) {
        if (a[n] && b[n] && samePacket(a[n], b[n], ports, ids)) continue;
        if (step.do === "packet" && typeof step.bytes !== "function") {
          out.push(`step ${i}, in by ${step.iface}: ${show(step.bytes)}`);
        } else out.push(`step ${i} (${step.do}):`);
        out.push(
          `  linux ${iface}: ${a[n] ? show(a[n]) : "nothing"}`,
          `  weir  ${iface}: ${b[n] ? show(b[n]) : "nothing"}`,
        );
        if (a[n] && b[n] && show(a[n]) === show(b[n])) {
          out.push(`  linux ${a[n].toHex()}`, `  weir  ${b[n].toHex()}`);
        }
      }
    }
  });
  for (const k of kernel.dumps) {
    const w = weir.dumps.find((d) => d.name === k.name);
    if (w === undefined) {
      out.push(`dump ${k.name}: weir has none`);
      continue;
    }
    learnFromListings(k, w, ports);
    compareListing(`${k.name}: conntrack -L`, k.conntrack, w.conntrack, ports, out);
    compareListing(`${k.name}: conntrack -L expect`, k.expect, w.expect, ports, out);
    compareTables(`${k.name}: iptables -t`, k.iptables, w.iptables, out);
    compareTables(`${k.name}: ip6tables -t`, k.ip6tables, w.ip6tables, out);
  }
  (scenario.listeners ?? []).forEach((_, i) => {
    compareEvents(i, kernel.events?.[i] ?? [], weir.events?.[i] ?? [], ports, out);
  });
  return out;
}
