/**
 * A home gateway by the default configuration (as Linux) and by `profile: "rfc"`, asked the same questions.
 *
 * ```
 *   A 10.0.0.2, B 10.0.0.3 ── lan 10.0.0.1/24   │      │
 *                                               │ Weir │ wan 203.0.113.1/24 ── S 198.51.100.7, T 198.51.100.8
 *   C 10.0.1.2 ────────────── dmz 10.0.1.1/24   │      │
 * ```
 *
 * @module
 */
import { validate } from "../../src/config/validate.ts";
import type { Profile, RouterConfig } from "../../src/config/types.ts";
import { VirtualRouter } from "../../src/replay/virtual.ts";
import { icmpEcho, tcp, udp } from "../kit/packets.ts";
import { parse, type Shown } from "../kit/show.ts";

export const A = "10.0.0.2", B = "10.0.0.3", C = "10.0.1.2";
export const S = "198.51.100.7", T = "198.51.100.8", OUTSIDE = "203.0.113.1";
export const PROFILES: readonly Profile[] = ["linux", "rfc"];

export const MASQUERADE = "*nat\n-A POSTROUTING -o wan -j MASQUERADE\nCOMMIT\n";
/** What every gateway should have: INVALID packets would leave untranslated. */
export const DROP_INVALID = "*filter\n-A FORWARD -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n";

/** A packet that came out. */
export type Out = Shown & { iface: string; bytes: Uint8Array };

export class Gateway {
  readonly router: VirtualRouter;
  readonly #names: readonly string[];
  readonly #profile: Profile;
  #out: Out[] = [];
  #milliseconds = 1_700_000_000_000;

  constructor(profile: Profile, o: Partial<RouterConfig> = {}) {
    const config = validate({
      interfaces: {
        lan: { addresses: ["10.0.0.1/24"] },
        wan: { addresses: ["203.0.113.1/24"] },
        dmz: { addresses: ["10.0.1.1/24"] },
      },
      routes: [{ destination: "0.0.0.0/0", interface: "wan" }],
      iptables: MASQUERADE,
      profile,
      ...o,
      sysctl: {
        "net.netfilter.nf_conntrack_max": 1024,
        "net.netfilter.nf_conntrack_expect_max": 64,
        "net.ipv4.icmp_ratelimit": 0,
        "net.ipv4.icmp_ratemask": 0,
        ...o.sysctl,
      },
    });
    this.#profile = profile;
    this.#names = config.interfaces.map((i) => i.name);
    this.router = new VirtualRouter(config, {
      emit: (iface, bytes) => this.#out.push({ ...parse(bytes), iface: this.#names[iface - 1], bytes }),
    });
    this.router.moveTo(this.#milliseconds);
  }

  /** True for the profile "rfc". */
  get rfc(): boolean {
    return this.#profile === "rfc";
  }

  /** What a packet causes. */
  send(iface: string, bytes: Uint8Array): Out[] {
    this.#out = [];
    this.#milliseconds += 1;
    this.router.moveTo(this.#milliseconds);
    this.router.receive(this.#names.indexOf(iface) + 1, bytes);
    return this.#out;
  }

  /** The one packet that it causes. */
  pass(iface: string, bytes: Uint8Array): Out {
    const out = this.send(iface, bytes);
    if (out.length !== 1) {
      throw new Error(`${out.length} packets came out: ${JSON.stringify(this.router.drops())}`);
    }
    return out[0];
  }

  wait(seconds: number): void {
    this.#milliseconds += seconds * 1000;
    this.router.moveTo(this.#milliseconds);
  }

  flows(): string[] {
    return this.router.flows();
  }

  /** Port that a host's socket has outside, towards a target. */
  port(src: string, sport: number, dst: string, dport = 53): number {
    const iface = src.startsWith("10.0.1.") ? "dmz" : "lan";
    return this.pass(iface, udp({ src, sport, dst, dport })).sport!;
  }

  /** The same for TCP, with a SYN. */
  tcpPort(src: string, sport: number, dst: string, dport = 80): number {
    const iface = src.startsWith("10.0.1.") ? "dmz" : "lan";
    return this.pass(iface, segment(src, sport, dst, dport, "S")).sport!;
  }

  /** Identifier that a host's ping has outside. */
  id(src: string, echoId: number, dst: string): number {
    return this.pass("lan", icmpEcho({ src, dst, echoId })).echoId!;
  }
}

/** Where a packet ended up, and as what: `lan 198.51.100.7:53 > 10.0.0.2:5000`. */
export function trace(out: readonly Out[]): string[] {
  return out.map((p) => {
    if (p.type === undefined) return `${p.iface} ${p.src}:${p.sport} > ${p.dst}:${p.dport}`;
    if (p.echoId !== undefined) return `${p.iface} ${p.src} > ${p.dst} echo ${p.echoId}`;
    return `${p.iface} ${p.src} > ${p.dst} icmp ${p.type}/${p.code}`;
  });
}

/** A TCP segment. */
export function segment(
  src: string,
  sport: number,
  dst: string,
  dport: number,
  flags: string,
  seq = 1,
  ack = 0,
) {
  return tcp({ src, sport, dst, dport, flags, seq, ack });
}

/** Runs a question for both profiles. */
export function ask(
  name: string,
  question: (gateway: (o?: Partial<RouterConfig>) => Gateway, rfc: boolean) => void,
) {
  Deno.test(name, () => {
    for (const profile of PROFILES) question((o) => new Gateway(profile, o), profile === "rfc");
  });
}
