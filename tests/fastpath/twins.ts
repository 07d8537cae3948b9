/**
 * Two routers that differ in `weir.fastpath` alone get the same packets, and must do the same with them.
 *
 * ```
 *   192.0.2.0/24, 2001:db8:1::/64 ── lan (1) │ Twins │ wan (2) ── 198.51.100.0/24, 2001:db8:2::/64
 *                                            │       │ dmz (3) ── 203.0.113.0/24
 * ```
 */
import { assertEquals } from "@std/assert";
import { Xoshiro } from "../../src/clock.ts";
import { saveRules } from "../../src/config/iptables_save.ts";
import type { RouterConfig } from "../../src/config/types.ts";
import { validate, type ValidConfig } from "../../src/config/validate.ts";
import { formatEvent } from "../../src/conntrack/event_format.ts";
import { EventReader } from "../../src/conntrack/events.ts";
import { listFlows } from "../../src/conntrack/format.ts";
import { Memory } from "../../src/memory.ts";
import type { Packet } from "../../src/packet/packet.ts";
import { geometryOf } from "../../src/geometry.ts";
import { Router } from "../../src/router.ts";
import { show, VirtualClock } from "../kit/mod.ts";

export const LAN = 1, WAN = 2, DMZ = 3;

/** What came out of one packet. */
export interface Sent {
  readonly iface: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly text: string;
}

/** Lines in which two answers differ. */
export function parted(fast: unknown, long: unknown): string[] {
  const lines = (value: unknown) =>
    JSON.stringify(value, (_, v) => v instanceof Uint8Array ? `${show(v)} ${v.toHex()}` : v, 1).replaceAll(
      "\\n",
      "\n",
    )
      .split("\n");
  const a = lines(fast), b = lines(long), found: string[] = [];
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    if (a[i] !== b[i]) found.push(`fast ${a[i]?.trim()}`, `long ${b[i]?.trim()}`);
  }
  return found;
}

class Twin {
  readonly config: ValidConfig;
  readonly memory: Memory;
  readonly router: Router;
  readonly clock = new VirtualClock();
  out: Sent[] = [];
  readonly #events: EventReader;

  constructor(config: Partial<RouterConfig>, fastpath: number, batches: boolean) {
    this.config = validate({
      interfaces: {
        lan: { addresses: ["192.0.2.1/24", "2001:db8:1::1/64"] },
        wan: { addresses: ["198.51.100.1/24", "2001:db8:2::1/64"] },
        dmz: { addresses: ["203.0.113.1/24"] },
      },
      ...config,
      sysctl: {
        "net.netfilter.nf_conntrack_acct": 1,
        "net.netfilter.nf_conntrack_events": 1,
        "net.netfilter.nf_conntrack_max": 64,
        ...config.sysctl,
        "weir.fastpath": fastpath,
      },
    });
    const geometry = geometryOf(this.config);
    this.memory = Memory.create(new ArrayBuffer(Memory.bytes(geometry)), geometry);
    this.#events = new EventReader(this.memory.events);
    this.router = new Router({
      config: this.config,
      clock: this.clock,
      random: new Xoshiro(1),
      memory: this.memory,
      emit: (iface, p) => {
        const bytes = p.bytes.slice(0, p.length);
        this.out.push({ iface, bytes, text: show(bytes) });
      },
      log: () => {},
      batches,
    });
  }

  /** A packet arrives. */
  send(iface: number, bytes: Uint8Array, prepare: (p: Packet) => void = () => {}): void {
    const { router } = this, p = router.packet;
    this.out = [];
    p.bytes.set(bytes);
    p.reset(iface, bytes.length);
    prepare(p);
    router.receive(p, iface);
  }

  /** What has been told of flows since the last time. */
  #told(): string[] {
    const lines: string[] = [];
    for (let record; (record = this.#events.next()) !== null;) lines.push(formatEvent(record));
    return lines;
  }

  /** Everything that packets leave behind. */
  state() {
    const { ipv4, ipv6 } = this.config.rules, counters = this.memory.generation.rules;
    return {
      flows: listFlows(this.router.conntrack),
      events: this.#told(),
      ipv4: saveRules(ipv4, { counters }).split("\n"),
      ipv6: saveRules(ipv6, { counters }).split("\n"),
      drops: [...this.memory.drops],
      stats: [...this.router.conntrack.stats],
    };
  }
}

/** The two. */
export class Twins {
  readonly fast: Twin;
  readonly long: Twin;

  /** `batches`: counters need not agree before a sweep, and `send` must not be used. */
  constructor(config: Partial<RouterConfig>, batches = false) {
    this.fast = new Twin(config, 1, batches);
    this.long = new Twin(config, 0, batches);
  }

  /** Sends a packet through both; what came out, once they agree. `prepare` sets offload fields. */
  send(iface: number, bytes: Uint8Array, prepare?: (p: Packet) => void): Sent[] {
    this.fast.send(iface, bytes, prepare);
    this.long.send(iface, bytes, prepare);
    assertEquals(parted(this.fast.out, this.long.out), [], show(bytes));
    assertEquals(parted(this.fast.state(), this.long.state()), [], show(bytes));
    return this.fast.out;
  }

  /** `send`, and whether the packet took the fast path. */
  quick(iface: number, bytes: Uint8Array, prepare?: (p: Packet) => void): boolean {
    const before = this.taken;
    this.send(iface, bytes, prepare);
    return this.taken > before;
  }

  /** Packets that took the fast path. */
  get taken(): number {
    return this.fast.router.fastpath!.taken[0];
  }

  /** Does something to both. */
  both(change: (router: Router, twin: Twin) => void): void {
    for (const twin of [this.fast, this.long]) change(twin.router, twin);
  }
}
