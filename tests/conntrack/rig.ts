/**
 * A connection tracker without a router around it: packets go in, are said to be NEW, ESTABLISHED …, and go out through
 * confirm, or are dropped on the way as by a rule.
 *
 * @module
 */
import type { Arena } from "../../src/arena.ts";
import { Conntrack } from "../../src/conntrack/core.ts";
import { EventRing } from "../../src/conntrack/events.ts";
import { ExpectTable } from "../../src/conntrack/expect.ts";
import { listExpects, listFlows } from "../../src/conntrack/format.ts";
import type { ConntrackHelper } from "../../src/conntrack/helper.ts";
import { seqAdjust } from "../../src/conntrack/seqadj.ts";
import { FlowTable } from "../../src/conntrack/table.ts";
import {
  ACCEPT,
  type Dir,
  DROP,
  ESTABLISHED,
  ESTABLISHED_REPLY,
  type Hook,
  NEW,
  ORIGINAL,
  POSTROUTING,
  PREROUTING,
  REASONS,
} from "../../src/netfilter.ts";
import { type CtTemplate, Packet } from "../../src/packet/packet.ts";
import { parse } from "../../src/packet/parse.ts";
import { tcpSeq } from "../../src/packet/tcp.ts";
import type { Space } from "../../src/space.ts";
import { Sysctl } from "../../src/sysctl.ts";
import { load, seeded, tcp, unload, VirtualClock } from "../kit/mod.ts";

/** The offset that a flow's direction has at `seq`, as its sender counts: what a segment that begins there is moved by. */
export function seqOffset(flows: FlowTable, ct: number, dir: Dir, seq: number): number {
  const p = new Packet();
  parse(load(p, tcp({ src: "192.0.2.2", sport: 1, dst: "198.51.100.7", dport: 2, flags: "", seq })));
  seqAdjust(flows, p, ct, dir === ORIGINAL ? ESTABLISHED : ESTABLISHED_REPLY);
  return (tcpSeq(p) - seq) | 0;
}

/** What `-m conntrack --ctstate` would say about a packet. */
export type State = "NEW" | "ESTABLISHED" | "RELATED" | "INVALID" | "UNTRACKED";

/** The state of a packet that has been through `Conntrack.in`. */
export function stateOf(p: Packet): State {
  if (p.untracked) return "UNTRACKED";
  if (p.ct < 0) return "INVALID";
  if (p.ctinfo === NEW) return "NEW";
  if (p.ctinfo === ESTABLISHED || p.ctinfo === ESTABLISHED_REPLY) return "ESTABLISHED";
  return "RELATED";
}

/** A template that asks for nothing. */
export const PLAIN: CtTemplate = {
  zoneOriginal: 0,
  zoneReply: 0,
  helper: -1,
  rule: 0,
  timeoutPolicy: 0,
  events: -1,
  mark: new Int32Array(1),
};

export interface RigOptions {
  /** Without `net.netfilter.nf_conntrack_`. */
  sysctl?: Readonly<Record<string, number>>;
  /** Knobs of Weir's own, by their whole names. */
  weir?: Readonly<Record<string, number>>;
  helpers?: readonly ConntrackHelper[];
  capacity?: number;
  expectCapacity?: number;
  /** Memory with another tracker's flows: they go on, unless `arena` is shared with it, too. */
  memory?: ArrayBuffer;
  arena?: Arena;
  /** Where there is memory behind the flows; everywhere by default. */
  space?: Space;
}

/** How one packet is treated. */
export interface SendOptions {
  template?: CtTemplate;
  mark?: number;
  hook?: Hook;
  /** A rule drops it between in and confirm. */
  drop?: boolean;
  /** What happens between in and confirm, as NAT would. */
  between?: (p: Packet) => void;
  /** Sets offload fields before parse. */
  offload?: (p: Packet) => void;
}

/** A tracker, its clock and one packet record. */
export class Rig {
  readonly clock = new VirtualClock();
  readonly conntrack: Conntrack;
  /** Of 1024 events; nobody listens at first. */
  readonly events = new EventRing(new ArrayBuffer(EventRing.bytes(1024)), 0, 1024);
  readonly p = new Packet();
  readonly log: string[] = [];
  /** Bytes of the last packet as it left. */
  sent: Uint8Array = new Uint8Array();

  constructor(o: RigOptions = {}) {
    const capacity = o.capacity ?? 1024, expectCapacity = o.expectCapacity ?? 64, random = seeded(7);
    const flowBytes = FlowTable.bytes(capacity);
    const memory = o.memory ?? new ArrayBuffer(flowBytes + ExpectTable.bytes(expectCapacity));
    const flows = new FlowTable(memory, 0, capacity, random, o.arena, o.space);
    const expects = new ExpectTable(memory, flowBytes, expectCapacity, random, o.arena);
    const sysctl: Record<string, number> = { ...o.weir };
    for (const [name, value] of Object.entries(o.sysctl ?? {})) {
      sysctl[`net.netfilter.nf_conntrack_${name}`] = value;
    }
    this.conntrack = new Conntrack({
      events: this.events,
      flows,
      expects,
      clock: this.clock,
      random,
      sysctl: new Sysctl(sysctl),
      helpers: o.helpers ?? [],
      arena: o.arena,
      log: (line) => this.log.push(line),
    });
    if (o.memory && !o.arena) this.conntrack.recover();
  }

  /** One packet from a device to a device. Says its state, or why it was dropped. */
  send(bytes: Uint8Array, o: SendOptions = {}): string {
    const p = load(this.p, bytes);
    o.offload?.(p);
    const reason = parse(p);
    if (reason !== 0) return REASONS[reason];
    p.hook = o.hook ?? PREROUTING;
    p.mark = o.mark ?? 0;
    p.template = o.template ?? null;
    if (this.conntrack.in(p) === DROP) return REASONS[p.reason];
    const state = stateOf(p);
    if (o.drop) {
      this.conntrack.release(p);
      return state;
    }
    o.between?.(p);
    p.hook = POSTROUTING;
    const verdict = this.conntrack.confirm(p);
    this.sent = unload(p);
    if (verdict !== ACCEPT) {
      this.conntrack.release(p);
      return REASONS[p.reason];
    }
    return state;
  }

  /** Lets time pass, and the sweep with it. */
  wait(milliseconds: number): void {
    this.clock.advance(milliseconds);
    this.conntrack.sweep();
  }

  /** `conntrack -L`. */
  flows(): string[] {
    return listFlows(this.conntrack);
  }

  /** `conntrack -L expect`. */
  expects(): string[] {
    return listExpects(this.conntrack);
  }

  /** The only flow, as text; fails when there is not exactly one. */
  flow(): string {
    const all = this.flows();
    if (all.length !== 1) throw new Error(`one flow expected:\n${all.join("\n")}`);
    return all[0];
  }

  /** Protocol, timeout, state and flags of the only flow: `tcp 120 SYN_SENT [UNREPLIED]`; "" when there is none. */
  brief(): string {
    const all = this.flows();
    return all.length === 0 ? "" : brief(this.flow());
  }
}

/** Protocol, timeout, state and flags of a line. */
export function brief(line: string): string {
  const words = line.split(/ +/), out = [words[0], words[2]];
  if (/^[A-Z_0-9]+$/.test(words[3])) out.push(words[3]);
  if (words.includes("[UNREPLIED]")) out.push("[UNREPLIED]");
  if (words.includes("[ASSURED]")) out.push("[ASSURED]");
  return out.join(" ");
}
