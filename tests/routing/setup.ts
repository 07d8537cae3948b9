/**
 * A router without rules, tables and devices: the routing parts strung together as the real one does, for asking what
 * comes out when a packet goes in. Its addresses and routes are those of the kernel that answered the recorded cases.
 */
import type { Clock } from "../../src/clock.ts";
import { Xoshiro } from "../../src/clock.ts";
import { FORWARD, INPUT } from "../../src/netfilter.ts";
import { writeHeaderChecksum } from "../../src/packet/ipv4.ts";
import { Packet } from "../../src/packet/packet.ts";
import { parse, parseHeaders } from "../../src/packet/parse.ts";
import { Reason } from "../../src/netfilter.ts";
import {
  Fib,
  FORWARD_ERROR,
  FORWARD_OK,
  Forwarder,
  IcmpErrors,
  Interfaces,
  type InterfaceSpec,
  Ipv4Options,
  LocalStack,
  PathMtus,
  Reject,
  ROUTE_DROP,
  ROUTE_ERROR,
  ROUTE_LOCAL,
  type RouteSpec,
  Routing,
  TcpResets,
  TooBig,
} from "../../src/routing/mod.ts";
import { ARRIVED, HeaderWalk } from "../../src/routing/header_walk.ts";
import { ICMP_PARAMETERPROB, ICMPV6_PARAMPROB, ICMPV6_UNK_OPTION } from "../../src/packet/icmp.ts";
import { Sysctl } from "../../src/sysctl.ts";

/**
 * A recorded case: what it is, interface and packet that went in, interfaces and packets that came out, and the time of
 * day in milliseconds where an answer holds it. `{n}` stands for n payload bytes 0, 7, 14, … modulo 256.
 */
export type KernelCase = readonly [
  name: string,
  input: string,
  packet: string,
  output: readonly (readonly [string, string])[],
  time?: number,
];

export const INTERFACES: readonly InterfaceSpec[] = [
  { name: "lan", mtu: 1500, addresses: ["192.0.2.1/24", "2001:db8:1::1/64"] },
  {
    name: "wan",
    mtu: 1500,
    addresses: [
      "198.51.100.1/24",
      "198.51.100.9/24",
      "10.9.0.1/16",
      "2001:db8:2::1/64",
      "2001:db8:2:1::1/64",
    ],
  },
  { name: "nar", mtu: 1280, addresses: ["198.18.0.1/24", "2001:db8:9::1/64"] },
];

export const ROUTES: readonly RouteSpec[] = [
  { destination: "203.0.113.0/24", interface: "wan", via: "198.51.100.254" },
  { destination: "240.0.0.0/8", interface: "wan", via: "198.51.100.254" },
  { destination: "10.20.0.0/16", interface: "wan", via: "10.9.0.254" },
  { destination: "100.64.1.0/24", type: "blackhole" },
  { destination: "100.64.2.0/24", type: "unreachable" },
  { destination: "100.64.3.0/24", type: "prohibit" },
  { destination: "2001:db8:3::/48", interface: "wan", via: "2001:db8:2::fe" },
  { destination: "2001:db8:b1::/48", type: "blackhole" },
  { destination: "2001:db8:b2::/48", type: "unreachable" },
  { destination: "2001:db8:b3::/48", type: "prohibit" },
];

/** What REJECT does, and in which hook; null for no such rule. */
export interface RejectRule {
  readonly hook: typeof INPUT | typeof FORWARD;
  /** Code of the error in IPv4 and IPv6, or null for a TCP reset to TCP segments. */
  readonly codes: readonly [number, number] | null;
}

/** A packet that came out. */
export interface Sent {
  readonly iface: string;
  readonly bytes: Uint8Array;
  /** Made by the router, so that its identification and flow label are its own choice. */
  readonly made: boolean;
}

export function fromHex(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const [, run, byte] of text.matchAll(/\{(\d+)\}|([0-9a-f]{2})/g)) {
    if (byte !== undefined) bytes.push(parseInt(byte, 16));
    else for (let i = 0; i < Number(run); i++) bytes.push((i * 7) & 0xff);
  }
  return Uint8Array.from(bytes);
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class TestRouter {
  readonly clock: Clock = { now: 0, wall: 0 };
  readonly interfaces: Interfaces;
  readonly routing: Routing;
  readonly pathMtus: PathMtus;
  readonly options: Ipv4Options;
  readonly forwarder: Forwarder;
  readonly errors: IcmpErrors;
  readonly resets: TcpResets;
  readonly reject: Reject;
  readonly local: LocalStack;
  readonly #walk = new HeaderWalk();
  readonly packet = new Packet();
  readonly made = new Packet();
  rule: RejectRule | null = null;

  constructor(
    interfaces: readonly InterfaceSpec[],
    routes: readonly RouteSpec[],
    values: Record<string, number> = {},
  ) {
    // Those who answered the recorded cases did not redirect.
    const sysctl = new Sysctl({ "net.ipv4.conf.all.send_redirects": 0, ...values });
    const clock = this.clock;
    this.interfaces = new Interfaces(interfaces);
    const fib = new Fib(this.interfaces, routes);
    const routing = this.routing = new Routing({ interfaces: this.interfaces, fib, sysctl });
    const options = this.options = new Ipv4Options({ routing, clock });
    const random = new Xoshiro(1);
    const pathMtus = this.pathMtus = new PathMtus({ interfaces: this.interfaces, sysctl, clock, random });
    const errors = this.errors = new IcmpErrors({ routing, pathMtus, options, sysctl, clock, random });
    const resets = this.resets = new TcpResets({ routing, errors, sysctl });
    this.forwarder = new Forwarder({ pathMtus, sysctl });
    this.reject = new Reject({ errors, resets });
    const tooBig = new TooBig({ routing, pathMtus });
    this.local = new LocalStack({ routing, errors, resets, options, tooBig, sysctl, clock });
  }

  /** Puts bytes into the receive slot. */
  load(iface: string | number, bytes: Uint8Array): Packet {
    const p = this.packet;
    p.bytes.set(bytes);
    p.reset(typeof iface === "string" ? this.interfaces.byName(iface) : iface, bytes.length);
    return p;
  }

  /** Sends a packet through, and returns what comes out; null if nothing does. */
  send(iface: string, bytes: Uint8Array): Sent | null {
    const p = this.load(iface, bytes);
    const out = this.made;
    const { routing, errors, forwarder } = this;
    const refused = parse(p);
    if (refused !== 0) {
      if (refused !== Reason["bad-option"]) return null;
      parseHeaders(p);
      return this.#answer(errors.make(out, p, ICMPV6_PARAMPROB, ICMPV6_UNK_OPTION, p.errorPointer));
    }
    const route = routing.input(p);
    if (route === ROUTE_DROP) return null;
    const option = this.options.receive(p);
    if (option === Reason["bad-option"]) {
      return this.#answer(errors.make(out, p, ICMP_PARAMETERPROB, 0, p.errorPointer << 24));
    }
    if (option !== 0) return null;
    if (route === ROUTE_ERROR) {
      return this.#answer(errors.makeNoRoute(out, p, routing.icmpType, routing.icmpCode));
    }
    if (route === ROUTE_LOCAL) {
      // For itself the router puts pieces together, before INPUT.
      if (p.fragmentOffset !== 0 || p.moreFragments) return null;
      if (this.rule?.hook === INPUT && this.#matches(p)) return this.#answer(this.#refuse(p));
      const walk = this.#walk;
      if (p.family === 6 && walk.begin(p) !== ARRIVED) {
        return this.#answer(
          walk.pointer >= 0 && errors.make(out, p, ICMPV6_PARAMPROB, walk.code, walk.pointer),
        );
      }
      return this.#answer(this.local.answer(out, p));
    }
    const result = forwarder.forward(p);
    if (result === FORWARD_ERROR) {
      return this.#answer(
        errors.make(out, p, forwarder.icmpType, forwarder.icmpCode, forwarder.icmpInfo),
      );
    }
    if (result !== FORWARD_OK) return null;
    if (this.rule?.hook === FORWARD && this.#matches(p)) return this.#answer(this.#refuse(p));
    this.options.forward(p);
    if (forwarder.finish(p) !== FORWARD_OK) return null;
    return sent(this.interfaces, p, false);
  }

  /** A rule for resets has `-p tcp`, and one about ports never matches later fragments; this one has no ports. */
  #matches(p: Packet): boolean {
    return this.rule!.codes !== null || p.protocol === 6;
  }

  #refuse(p: Packet): boolean {
    const codes = this.rule!.codes;
    if (codes === null) return this.reject.tcpReset(this.made, p);
    return this.reject.unreachable(this.made, p, codes[p.family === 4 ? 0 : 1]);
  }

  /** What the router says to itself stays inside. */
  #answer(made: boolean): Sent | null {
    return made && this.made.outInterface !== 0 ? sent(this.interfaces, this.made, true) : null;
  }
}

function sent(interfaces: Interfaces, p: Packet, made: boolean): Sent {
  return { iface: interfaces.name(p.outInterface), bytes: p.bytes.slice(0, p.length), made };
}

/** The bytes of a made packet with the identification, or flow label, of the recorded one, which is chosen at random. */
export function withChoicesOf(recorded: Uint8Array, bytes: Uint8Array): Uint8Array {
  const p = new Packet();
  p.bytes.set(bytes);
  if (recorded[0] >> 4 === 4) {
    // A packet that must not be fragmented has identification 0, in Linux as here.
    if ((bytes[6] & 0x40) === 0) p.bytes.set(recorded.subarray(4, 6), 4);
    writeHeaderChecksum(p);
  } else if ((p.view.getInt32(0) & 0xfffff) !== 0) {
    p.bytes[1] = (p.bytes[1] & 0xf0) | (recorded[1] & 0x0f);
    p.bytes.set(recorded.subarray(2, 4), 2);
  }
  return p.bytes.slice(0, bytes.length);
}
