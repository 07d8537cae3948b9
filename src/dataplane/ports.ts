/**
 * The devices, as the data plane has them: descriptors to read from and to write to, by interface index.
 *
 * Index 0 is the host device, 1 … n are the interfaces. Reading and writing never throw: a packet that a device does
 * not take is counted, and a device that is gone is left alone, so that the loop does not spin on it. The router hears of
 * that between two turns (`fallen`), as its routes are not to be used any more.
 */
import { errno as code, errnoView, type Libc, libc } from "deno_tun";
import * as denoTunModule from "deno_tun";
import type { Arena } from "../arena.ts";
import type { Clock } from "../clock.ts";
import * as memoryModule from "../memory.ts";
import { Reason } from "../netfilter.ts";
import { Packet } from "../packet/packet.ts";
import * as packetModule from "../packet/packet.ts";
import { completeChecksum, segment } from "../packet/segment.ts";
import type { DeviceCounters } from "./tally.ts";
import type { Routing } from "./routing.ts";
import { writeVnetHeader } from "./vnet.ts";

// Constants of this module, not imports: each packet reads them (CONTRIBUTING.md).
const { SYS_READ, SYS_WRITE } = denoTunModule;
const { INTERFACE_COUNTERS, TOTAL_TX_BYTES, TOTAL_TX_PACKETS, TX_BYTES, TX_DROPS, TX_PACKETS } = memoryModule;
const { BUFFER_SIZE, GSO_NONE, VNET_HDR_LENGTH } = packetModule;

/** A device that the control plane has opened. */
export interface PortSpec {
  /** Interface index; 0 for the host device. */
  readonly index: number;
  /** Name for people. */
  readonly name: string;
  /** Its descriptor, non-blocking; −1 while there is no device. */
  readonly fd: number;
  /** Packets carry a virtio-net header. */
  readonly vnet: boolean;
}

const DEVICE_FULL = Reason["device-full"],
  DEVICE_DOWN = Reason["device-down"],
  DEVICE_ERROR = Reason["device-error"];
const { EAGAIN, EBADF, EBADFD, EINTR, EIO, ENOBUFS, ENOMEM, ENXIO } = code;

/** When a line about a device was last written, whether one was, whether the device is known to be gone. */
const TOLD_AT = 0, TOLD_ONCE = 1, TOLD_GONE = 2, TOLD_WORDS = 3;
/** A device is gone; and no other data plane has met that before. */
const FELL = 1, FELL_FIRST = 2;
/** Milliseconds between two lines about the same device. */
const QUIET = 10000;

/** Where a packet's buffer stands in memory: it never moves. From the virtio-net header on, and from the IP header on. */
class Place {
  readonly raw: Deno.PointerValue;
  readonly bytes: Deno.PointerValue;

  constructor(p: Packet) {
    this.raw = Deno.UnsafePointer.of(p.raw);
    this.bytes = Deno.UnsafePointer.of(p.bytes);
  }
}

function placeOf(p: Packet): Place {
  return (p.place ??= new Place(p)) as Place;
}

/** All devices of one router. */
export class Ports {
  /** Descriptors to read from, by index; −1 where there is no device, or none any more. */
  readonly fds: Int32Array;
  /** Descriptors to write to: those of queue n begin at n times the length of `fds`. */
  readonly #out: Int32Array;
  /** Where those of the queue begin that `write` uses. */
  #queue = 0;

  readonly #vnet: Uint8Array;
  readonly #names: string[];
  /** TOLD_* words of each device, which all data planes share: one line is enough. */
  readonly #told: Int32Array;
  readonly #counters: Float64Array;
  readonly #totals: Float64Array;
  readonly #drops: DeviceCounters;
  /** Packets and bytes written to each device, not yet in the counters. */
  readonly #sent: Int32Array;
  readonly #clock: Clock;
  readonly #log: (line: string) => void;
  readonly #lost: (index: number) => void;
  /** FELL or FELL_FIRST of devices that are gone and that the router has not heard of; and whether there is one. */
  readonly #fallen: Uint8Array;
  fallen = false;
  readonly #errno = errnoView();
  readonly #transfer: Libc["transfer"];
  /** Where segments are made for devices that take no large ones. */
  readonly #segment = new Packet();
  readonly #writeSegment = (o: Packet): void => this.#writePlain(this.#segmentTo, o);
  #segmentTo = 0;

  /** `queues`: the devices once for each data plane, of which this one is the `own`-th. `lost` is told of one that goes. */
  constructor(
    queues: readonly (readonly PortSpec[])[],
    own: number,
    arena: Arena,
    counters: DeviceCounters,
    clock: Clock,
    log: (line: string) => void,
    lost: (index: number) => void = () => {},
  ) {
    const specs = queues[own], count = specs.reduce((most, spec) => Math.max(most, spec.index), 0) + 1;
    this.fds = new Int32Array(count).fill(-1);
    this.#vnet = new Uint8Array(count);
    this.#names = Array(count).fill("");
    this.#told = arena.int32(count * TOLD_WORDS);
    this.#counters = counters.interfaces;
    this.#totals = counters.totals;
    this.#drops = counters;
    this.#sent = new Int32Array(count * 2);
    this.#clock = clock;
    this.#log = log;
    this.#lost = lost;
    this.#fallen = new Uint8Array(count);
    this.#out = queues.length === 1 ? this.fds : new Int32Array(count * queues.length).fill(-1);
    queues.forEach((ports, queue) => ports.forEach(({ index, fd }) => this.#out[queue * count + index] = fd));
    for (const spec of specs) {
      this.fds[spec.index] = spec.fd;
      this.#vnet[spec.index] = spec.vnet ? 1 : 0;
      this.#names[spec.index] = spec.name;
      if (spec.fd < 0) this.#fall(spec.index, FELL);
    }
    this.#transfer = libc().transfer;
  }

  /** True when packets of the device carry a virtio-net header. */
  hasVnet(index: number): boolean {
    return this.#vnet[index] !== 0;
  }

  /**
   * Reads a packet into `p.raw` or, without a virtio-net header, to where it would follow one: the number of bytes
   * read, or −1 when there is no packet now.
   */
  read(index: number, p: Packet): number {
    const n = this.#vnet[index] !== 0
      ? this.#transfer(SYS_READ, this.fds[index], placeOf(p).raw, BUFFER_SIZE)
      : this.#transfer(SYS_READ, this.fds[index], placeOf(p).bytes, BUFFER_SIZE - VNET_HDR_LENGTH);
    if (n < 0) {
      const errno = this.#errno[0];
      if (errno !== EAGAIN && errno !== EINTR) this.#readFailed(index, errno);
    }
    return n;
  }

  /** Sends a packet out of interface `index`, the host device by 0; `emit` and `emitHost` of the router. */
  write(index: number, p: Packet): void {
    if (this.#vnet[index] === 0) return this.#writeWhole(index, p);
    writeVnetHeader(p);
    const fd = this.#out[this.#queue + index];
    const n = this.#transfer(SYS_WRITE, fd, placeOf(p).raw, VNET_HDR_LENGTH + p.length);
    if (n < 0) this.#writeFailed(index, p, this.#errno[0]);
    else this.#count(index, p.length);
  }

  /** From now on packets are written to the `queue`-th queue of their device. */
  selectQueue(queue: number): void {
    this.#queue = queue * this.fds.length;
  }

  /** The device does not exist any more: it is not read again, and what is written to it is counted as lost. */
  lose(index: number): void {
    if (this.fds[index] < 0) return;
    this.fds[index] = -1;
    for (let at = index; at < this.#out.length; at += this.fds.length) this.#out[at] = -1;
    const first = Atomics.exchange(this.#told, index * TOLD_WORDS + TOLD_GONE, 1) === 0;
    this.#fall(index, first ? FELL_FIRST : FELL);
    if (first) this.#lost(index);
  }

  #fall(index: number, how: number): void {
    this.#fallen[index] = how;
    this.fallen = true;
  }

  /** Tells the router of devices that are gone; with the lock, if there is one. */
  tellFallen(router: Routing): void {
    const fallen = this.#fallen;
    this.fallen = false;
    for (let index = 0; index < fallen.length; index++) {
      const how = fallen[index];
      if (how === 0) continue;
      fallen[index] = 0;
      router.interfaceDown?.(index, how === FELL_FIRST);
    }
  }

  /** For a device without a virtio-net header: everything that the header would have left to it is done here. */
  #writeWhole(index: number, p: Packet): void {
    if (p.gsoType !== GSO_NONE) {
      this.#segmentTo = index;
      const reason = segment(p, this.#segment, this.#writeSegment);
      if (reason !== 0) this.#drops.countDrop(reason, p.length);
      return;
    }
    if (p.partialChecksum) completeChecksum(p);
    this.#writePlain(index, p);
  }

  #writePlain(index: number, p: Packet): void {
    const n = this.#transfer(SYS_WRITE, this.#out[this.#queue + index], placeOf(p).bytes, p.length);
    if (n < 0) this.#writeFailed(index, p, this.#errno[0]);
    else this.#count(index, p.length);
  }

  #count(index: number, bytes: number): void {
    const sent = this.#sent;
    sent[index * 2]++;
    sent[index * 2 + 1] += bytes;
  }

  /** Brings the interfaces' counters up to date with what was written since the last time: once per batch. */
  settle(): void {
    const sent = this.#sent, c = this.#counters, totals = this.#totals;
    for (let i = 0; i < sent.length; i += 2) {
      const packets = sent[i], bytes = sent[i + 1];
      if (packets === 0) continue;
      sent[i] = sent[i + 1] = 0;
      c[(i >> 1) * INTERFACE_COUNTERS + TX_PACKETS] += packets;
      c[(i >> 1) * INTERFACE_COUNTERS + TX_BYTES] += bytes;
      totals[TOTAL_TX_PACKETS] += packets;
      totals[TOTAL_TX_BYTES] += bytes;
    }
  }

  #writeFailed(index: number, p: Packet, errno: number): void {
    this.#counters[index * INTERFACE_COUNTERS + TX_DROPS]++;
    // EBADF comes from the −1 of a device that is gone, EIO from one that is down.
    const down = errno === EIO || errno === ENXIO || errno === EBADFD || errno === EBADF;
    const full = errno === EAGAIN || errno === ENOBUFS || errno === ENOMEM;
    this.#drops.countDrop(down ? DEVICE_DOWN : full ? DEVICE_FULL : DEVICE_ERROR, p.length);
    if (errno === EBADFD || errno === ENXIO) this.lose(index);
    else if (down && this.fds[index] >= 0) {
      this.#tell(index, "is down: packets for it are lost until it is up");
    } else if (!full && !down) this.#tell(index, `refuses a packet (errno ${errno})`);
  }

  #readFailed(index: number, errno: number): void {
    if (errno === EBADFD || errno === ENXIO || errno === EIO || errno === EBADF) {
      this.lose(index);
    } else this.#tell(index, `cannot be read (errno ${errno})`);
  }

  /** A line about a device, not more than one in ten seconds. */
  #tell(index: number, what: string): void {
    const told = this.#told, at = index * TOLD_WORDS, now = this.#clock.now;
    if (told[at + TOLD_ONCE] !== 0 && ((now - told[at + TOLD_AT]) | 0) < QUIET) return;
    told[at + TOLD_AT] = now;
    told[at + TOLD_ONCE] = 1;
    this.#log(`interface ${this.#names[index]}: its device ${what}`);
  }
}
