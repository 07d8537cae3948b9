/**
 * What a data plane does with a device that has packets: it reads some, takes them through the router, and writes them.
 *
 * ```
 *  read, read, read …   ─▶  lock  ─▶  receive, receive, receive …  ─▶  unlock  ─▶  write, write, write …
 *  in the kernel, side by side        by turns                                     side by side again
 * ```
 *
 * The kernel's code and the router's do not fit into the processor's first cache together, so one after the other for
 * several packets is cheaper than by turns for each; and what they need of a large flow table is fetched for all of them
 * at once. A packet that leaves in the slot that it came in is written when all have passed the router. What the router
 * makes itself, and pieces of packets, are in slots that the next packet needs, so they are written at once; what came
 * before them goes first.
 *
 * A data plane that is alone has no lock. Among several each reads and writes queues of its own, and one lock guards the
 * router: reading and writing a device cost several times what the router costs, so two hardly ever wait for each other.
 *
 * Whoever writes to a queue tells the kernel to send the answers there (tun_flow_update). So a flow's packets are all
 * written to the queue that its number in the table gives, whichever data plane has them: both directions then come to
 * one, in order. Were each to write to its own, two that have a direction each would pass the flow to and fro.
 */
import {
  CONTROL_HEARTBEAT,
  HEARTBEAT_STRIDE,
  INTERFACE_COUNTERS,
  RX_BYTES,
  RX_DROPS,
  RX_PACKETS,
  TOTAL_RX_BYTES,
  TOTAL_RX_PACKETS,
} from "../memory.ts";
import { NO_CT, Reason } from "../netfilter.ts";
import { fastPackets } from "../packet/block_sum.ts";
import type { Packet } from "../packet/packet.ts";
import type { Lock } from "./lock.ts";
import type { Routing } from "./routing.ts";
import type { Ports } from "./ports.ts";
import type { DeviceCounters, Tally } from "./tally.ts";
import { readVnetHeader } from "./vnet.ts";

/** Packets that pass the router in one turn. */
const SLOTS = 32;
/** Bytes after which no more are read: what is read is to be still in the cache when it is written. */
const MOST_BYTES = 128 * 1024;

const BAD_OFFLOAD = Reason["bad-offload"];

/** What several data planes need that one does not. */
export interface Sharing {
  /** Where this one counts between two turns. */
  readonly tally: Tally;
  readonly lock: Lock;
}

/** A data plane, alone or one of several. */
export class Crew {
  readonly #count: number;
  readonly #ports: Ports;
  readonly #counters: DeviceCounters;
  readonly #shared: Sharing | null;
  readonly #slots: Packet[] = fastPackets(SLOTS);
  /** By which interface the packet of each slot leaves, −1 for none. */
  readonly #leaves = new Int32Array(SLOTS).fill(-1);
  /** The slot that the router works on, and the first that has not been written. */
  #at = 0;
  #written = 0;
  /** The device had no more when it was last read. */
  #empty = false;
  /** Something has been counted since the last `settle`. */
  #counted = false;

  constructor(
    /** Its number; 0 looks after timers and commands. */
    readonly number: number,
    /** How many they are. */
    count: number,
    ports: Ports,
    /** Where it counts: the router's counters, or between two turns its tally. */
    counters: DeviceCounters,
    /** Null when it is alone. */
    shared: Sharing | null,
  ) {
    this.#count = count;
    this.#ports = ports;
    this.#counters = counters;
    this.#shared = shared;
  }

  /** Word of its heartbeat in `Memory.control`. */
  get heartbeat(): number {
    return CONTROL_HEARTBEAT + this.number * HEARTBEAT_STRIDE;
  }

  /** The router's `emit`: now, or when the lock is free. */
  emit(iface: number, p: Packet): void {
    if (p === this.#slots[this.#at]) {
      this.#leaves[this.#at] = iface;
    } else {
      this.#write(this.#at);
      this.#send(iface, p);
    }
  }

  /** Up to `most` packets of one device. False when the lock was not to be had before the end. */
  drain(router: Routing, index: number, most: number): boolean {
    const slots = this.#slots, vnet = this.#ports.hasVnet(index), shared = this.#shared;
    for (let packets = 0; packets < most;) {
      const count = this.#read(index, vnet);
      if (count === 0) return true;
      packets += count;
      if (shared !== null && !shared.lock.acquire()) return false;
      router.foresee?.(slots, count);
      for (this.#at = 0; this.#at < count; this.#at++) {
        const p = slots[this.#at];
        if (index === 0) router.receiveHost(p);
        else router.receive(p, index);
        if (p.reason !== 0) this.#counters.interfaces[index * INTERFACE_COUNTERS + RX_DROPS]++;
      }
      if (shared !== null) shared.lock.release();
      this.#write(count);
      this.#at = this.#written = 0;
      if (this.#empty) return true;
    }
    return true;
  }

  /** Once per turn of the loop: hands over its counts, and does `turn` for all of them. False as `drain`. */
  settle(router: Routing, turn: (() => void) | null): boolean {
    const { fallen } = this.#ports;
    if (turn === null && !this.#counted && !fallen) return true;
    const shared = this.#shared;
    if (shared !== null && !shared.lock.acquire()) return false;
    this.#ports.settle();
    if (fallen) this.#ports.tellFallen(router);
    if (shared !== null) shared.tally.settle();
    router.settle?.();
    this.#counted = false;
    turn?.();
    if (shared !== null) shared.lock.release();
    return true;
  }

  /** Fills the slots: how many there are. */
  #read(index: number, vnet: boolean): number {
    const ports = this.#ports, slots = this.#slots;
    let count = 0, packets = 0, bytes = 0;
    this.#empty = false;
    // Packets of no use are passed over, but not for ever.
    while (count < SLOTS && bytes < MOST_BYTES && packets < 2 * SLOTS) {
      const p = slots[count], n = ports.read(index, p);
      if (n < 0) {
        this.#empty = true;
        break;
      }
      packets++;
      p.reset(index, n);
      if (vnet && !readVnetHeader(p, n)) {
        this.#counters.countDrop(BAD_OFFLOAD, p.length);
        this.#counters.interfaces[index * INTERFACE_COUNTERS + RX_DROPS]++;
        continue;
      }
      bytes += p.length;
      count++;
    }
    if (packets === 0) return 0;
    this.#counted = true;
    const { interfaces, totals } = this.#counters, at = index * INTERFACE_COUNTERS;
    interfaces[at + RX_PACKETS] += packets;
    interfaces[at + RX_BYTES] += bytes;
    totals[TOTAL_RX_PACKETS] += packets;
    totals[TOTAL_RX_BYTES] += bytes;
    return count;
  }

  /** Writes what leaves of the slots before `end`. */
  #write(end: number): void {
    const leaves = this.#leaves, slots = this.#slots;
    for (let i = this.#written; i < end; i++) {
      if (leaves[i] < 0) continue;
      this.#send(leaves[i], slots[i]);
      leaves[i] = -1;
    }
    this.#written = end;
  }

  #send(iface: number, p: Packet): void {
    if (this.#count > 1) this.#ports.selectQueue(p.ct === NO_CT ? this.number : p.ct % this.#count);
    this.#ports.write(iface, p);
  }
}
