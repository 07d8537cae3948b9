/**
 * Who talks to whom, and the pen that writes it down.
 *
 * @module
 */
import { fragments, type IpOptions } from "../../kit/packets.ts";
import type { Chance } from "../chance.ts";
import { type Family, HOSTS, type InterfaceName, INTERFACES, MIDDLE, OWN, SERVICES } from "../net.ts";
import type { About, End, Step } from "../steps.ts";

/** One end. */
export interface Side {
  iface: InterfaceName;
  address: string;
  port: number;
}

/** A conversation as it is being written. */
export class Talk {
  readonly steps: Step[] = [];
  #id: number;
  readonly ttl: readonly [number, number];

  constructor(
    readonly c: Chance,
    readonly number: number,
    readonly family: Family,
    readonly sides: readonly [Side, Side],
  ) {
    this.#id = c.between(1, 60000);
    this.ttl = [c.pick([64, 64, 128, 255, 40]), c.pick([64, 64, 57, 128, 255])];
  }

  /** What every packet from this end carries. */
  head(from: End): Pick<IpOptions, "src" | "dst" | "ttl" | "id" | "df"> & { sport: number; dport: number } {
    const own = this.sides[from], peer = this.sides[1 - from];
    this.#id = this.#id % 65000 + 1;
    return {
      src: own.address,
      dst: peer.address,
      sport: own.port,
      dport: peer.port,
      ttl: this.ttl[from],
      id: this.#id,
    };
  }

  /** A packet leaves. */
  send(from: End, bytes: Uint8Array<ArrayBuffer>, more: Partial<Step> = {}): void {
    this.steps.push({ talk: this.number, from, iface: this.sides[from].iface, bytes, ...more });
  }

  /** A packet leaves in fragments. */
  sendFragments(from: End, bytes: Uint8Array<ArrayBuffer>, more: Partial<Step> = {}): void {
    const sizes = this.c.pick([8, 64, 512, 1024].filter((n) => n * 12 >= bytes.length));
    let pieces = fragments(bytes, sizes, this.c.between(1, 65535));
    pieces = this.c.weighted<() => typeof pieces>([
      [5, () => pieces],
      [2, () => pieces.toReversed()],
      [1, () => this.c.some(pieces, pieces.length - 1)],
      [1, () => [...pieces, this.c.pick(pieces)]],
      [1, () => [this.c.pick(pieces), ...pieces]],
    ])();
    for (const piece of pieces) if (piece !== undefined) this.send(from, piece, more);
  }

  /** An ICMP error of one end, or of a router before it, about the last packet that it saw. */
  complain(from: End, o: Partial<About> = {}): void {
    const c = this.c;
    const [type, code, rest] = c.pick(this.family === 4 ? ERRORS_4 : ERRORS_6);
    this.steps.push({
      talk: this.number,
      from,
      iface: this.sides[from].iface,
      bytes: new Uint8Array(0),
      about: {
        family: this.family,
        src: c.weighted<() => string | null>([
          [3, () => null],
          [2, () => MIDDLE[this.family]],
          [1, () => c.pick(HOSTS[this.family][this.sides[from].iface])],
        ])(),
        type,
        code,
        rest,
        quote: c.pick([8, 8, 20, 28, 64, 1000]),
        ...o,
      },
    });
  }
}

type ErrorKind = readonly [type: number, code: number, rest: number];
const ERRORS_4: readonly ErrorKind[] = [
  [3, 3, 0],
  [3, 1, 0],
  [3, 4, 1200],
  [3, 4, 500],
  [3, 13, 0],
  [11, 0, 0],
  [11, 1, 0],
  [12, 0, 0x14000000],
  [4, 0, 0],
  [5, 1, 0x01020304],
];
const ERRORS_6: readonly ErrorKind[] = [[1, 4, 0], [1, 0, 0], [2, 0, 1280], [2, 0, 1400], [3, 0, 0], [
  4,
  1,
  40,
], [1, 1, 0]];

/** Ports of clients. Some below 1024: they have classes of their own in NAT. Few, so that they clash. */
export function clientPort(c: Chance): number {
  return c.weighted<() => number>([
    [6, () => c.between(20000, 20400)],
    [2, () => c.pick([30000, 30001, 30002])],
    [1, () => c.between(600, 1023)],
    [1, () => c.between(1, 511)],
    [1, () => c.between(1024, 65535)],
  ])();
}

/** A text, and what its sender has to say beside it: with it, it may be a burst. */
export function atLength(c: Chance, text: string): string {
  if (!c.long || !c.is(0.3)) return text;
  const more = c.pick(["x", "x\r\n", "NOOP\r\n"]);
  return text + more.repeat(Math.floor(c.pick([1500, 5000, 30000, 64000]) / more.length));
}

/** Two ends: mostly from inside to outside, also to the router and to its public addresses. */
export function ends(c: Chance, family: Family, service?: number): [Side, Side] {
  const hosts = HOSTS[family], own = OWN[family];
  const port = service ??
    c.weighted<() => number>([[5, () => c.pick(SERVICES)], [1, () => c.between(1, 65535)]])();
  const from = c.weighted<InterfaceName>([[6, "lan"], [4, "wan"], [1, "dmz"]]);
  const a = { iface: from, address: c.pick(hosts[from]), port: clientPort(c) };
  const to = c.weighted<() => Omit<Side, "port">>([
    [from === "lan" ? 9 : 1, () => ({ iface: "wan", address: c.pick(hosts.wan) })],
    [from === "wan" ? 8 : 1, () => ({ iface: "lan", address: c.pick(own.wan) })],
    [2, () => {
      const iface = c.pick(INTERFACES);
      return { iface, address: c.pick(hosts[iface]) };
    }],
    [0.7, () => ({ iface: "lan", address: c.pick(own[c.pick(INTERFACES)]) })],
  ])();
  return [a, { ...to, port }];
}
