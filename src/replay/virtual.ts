/**
 * A router in a bottle: the whole of Weir over plain memory, with a clock that stands still until it is told to move
 * and chance that comes from a seed. What goes in and what comes out are byte arrays. `replay` runs captures through
 * it, tests ask it about rules, and the same calls with the same seed give the same bytes.
 */
import { type Clock, Xoshiro } from "../clock.ts";
import type { ValidConfig } from "../config/validate.ts";
import { listExpects, listFlows } from "../conntrack/format.ts";
import { Memory } from "../memory.ts";
import { REASONS } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { MAX_PACKET } from "../packet/packet.ts";
import { geometryOf } from "../geometry.ts";
import { Router } from "../router.ts";

/** How to make one. */
export interface VirtualOptions {
  /** Where chance begins. Default 1. */
  readonly seed?: number;
  /** A router's state to go on with, this one's own from now on, and its clock. Default: nothing, at 1970. */
  readonly state?: VirtualState;
  /** The moment it begins at, in seconds since 1970; that is 0. A state has its own. */
  readonly begins?: number;
  /** Takes what leaves by interface `iface`: a copy. */
  readonly emit: (iface: number, bytes: Uint8Array<ArrayBuffer>) => void;
  /** Takes what goes to the host device. Without it Weir answers for its own addresses. */
  readonly emitHost?: (bytes: Uint8Array<ArrayBuffer>) => void;
  /** Takes lines for people. */
  readonly log?: (line: string) => void;
}

/** The state of a router of the same configuration. */
export interface VirtualState {
  readonly buffer: ArrayBuffer;
  readonly clock: Clock;
}

/** A router with a virtual clock. */
export class VirtualRouter {
  readonly router: Router;
  readonly memory: Memory;
  readonly clock: Clock;
  /** What `now` is beyond `wall`, in milliseconds: a router that runs counts since boot. */
  readonly #ahead: number;
  readonly config: ValidConfig;

  constructor(config: ValidConfig, o: VirtualOptions) {
    this.config = config;
    const geometry = geometryOf(config);
    const { state } = o;
    const { now, wall } = state?.clock ?? { now: 0, wall: o.begins ?? 0 };
    this.clock = { now, wall };
    this.#ahead = now - wall * 1000;
    this.memory = state === undefined
      ? Memory.create(new ArrayBuffer(Memory.bytes(geometry)), geometry)
      : Memory.open(state.buffer);
    const copy = (p: Packet) => p.bytes.slice(0, p.length);
    const { emit, emitHost } = o;
    this.router = new Router({
      config,
      clock: this.clock,
      random: new Xoshiro(o.seed ?? 1),
      memory: this.memory,
      recovered: state !== undefined,
      emit: (iface, p) => emit(iface, copy(p)),
      emitHost: emitHost && ((p) => emitHost(copy(p))),
      log: o.log ?? (() => {}),
    });
  }

  /**
   * Moves the clock to a moment, in milliseconds since 1970; timers that are due on the way run at their own time, and
   * `emit` sees the clock there. Time never runs backwards: an earlier moment changes nothing.
   */
  moveTo(milliseconds: number): void {
    const clock = this.clock;
    const defrag = this.router.defrag;
    while (milliseconds > clock.wall * 1000) {
      const left = defrag.nextTimeout;
      if (left < 0 || clock.wall * 1000 + left > milliseconds) return this.#tick(milliseconds);
      this.#tick(clock.wall * 1000 + left);
    }
  }

  #tick(milliseconds: number): void {
    this.clock.now = Math.floor(milliseconds + this.#ahead) | 0;
    this.clock.wall = milliseconds / 1000;
    this.router.sweep();
  }

  /** A packet arrives at interface `iface`. Longer than any IP packet: it is cut, and dies for its length. */
  receive(iface: number, bytes: Uint8Array): void {
    this.router.receive(this.load(iface, bytes), iface);
  }

  /** A packet comes from the host device. */
  receiveHost(bytes: Uint8Array): void {
    this.router.receiveHost(this.load(0, bytes));
  }

  /** Puts a packet from interface `iface` into the router's receive slot. */
  load(iface: number, bytes: Uint8Array): Packet {
    const p = this.router.packet;
    const whole = bytes.length > MAX_PACKET ? bytes.subarray(0, MAX_PACKET) : bytes;
    p.bytes.set(whole);
    p.reset(iface, whole.length);
    return p;
  }

  /** Packets that died, by reason; reasons without any are left out. */
  drops(): [string, number][] {
    const all = REASONS.map((name, i): [string, number] => [name, this.memory.drops[2 * i]]);
    return all.filter(([, packets]) => packets > 0);
  }

  /** Lines as `conntrack -L` prints them. */
  flows(): string[] {
    return listFlows(this.router.conntrack);
  }

  /** Lines as `conntrack -L expect` prints them. */
  expects(): string[] {
    return listExpects(this.router.conntrack);
  }
}
