/**
 * What hosts send, written down before anybody knows what the router makes of it.
 *
 * A step carries a packet as its host would send it if no router translated anything. When it is its turn, each side's
 * hosts put in what they have really seen: the address and port that their peer appeared under, acknowledgements of
 * the bytes that really came, the port that a peer really announced, the packet that an ICMP error is about. So the
 * same steps work through any rules, through ports chosen at random, and when any of them is left out.
 *
 * @module
 */
import { addressBytes, icmpError } from "../kit/packets.ts";
import { type Family, type InterfaceName, OWN } from "./net.ts";
import { announced, type Announcement } from "./sent.ts";
import { addressAt, type Field, fields, read16, read32, write, write16, write32 } from "./wire.ts";

/** Which end of a conversation: who opened it, or who was called. */
export type End = 0 | 1;

/** One packet that a host sends. */
export interface Step {
  /** Number of the conversation. */
  talk: number;
  from: End;
  iface: InterfaceName;
  bytes: Uint8Array<ArrayBuffer>;
  /** The destination is what this end was told in the text of another conversation: FTP's data connections. */
  dial?: number;
  /** Which end of that conversation this host is. */
  told?: End;
  /** Where devices offload: the segments that a longer packet stands for; 0 for a packet that is one. Absent: none of it. */
  burst?: number;
  /** The packet is an ICMP error of this end (or of a router near it) about the last packet that it saw. */
  about?: About;
}

/** An ICMP error to come. `bytes` of the step is what is sent when nothing was seen. */
export interface About {
  family: Family;
  /** Who reports: an address, or the host itself. */
  src: string | null;
  type: number;
  code: number;
  rest: number;
  /** Bytes behind the quoted IP header. */
  quote: number;
  /** Bytes of the quoted packet that are wrong: place and value to add. */
  wrong?: readonly (readonly [at: number, xor: number])[];
  badChecksum?: boolean;
}

/** What one end has seen. */
interface Seen {
  /** The peer as it appeared, and the own address that it called. */
  iface: InterfaceName;
  peer: Uint8Array;
  peerPort: number;
  own: Uint8Array;
  ownPort: number;
  /** The last packet. */
  last: Uint8Array<ArrayBuffer>;
  /** How far the peer's bytes are moved against what it sent. */
  shift: number;
}

/** The hosts of one side: Linux's or Weir's. */
export class Hosts {
  readonly #seen = new Map<number, Seen>();
  readonly #announced = new Map<number, Announcement>();

  /** What the host really sends, and where. */
  send(step: Step): { iface: InterfaceName; bytes: Uint8Array<ArrayBuffer> } {
    const key = step.talk * 2 + step.from, seen = this.#seen.get(key);
    if (step.about !== undefined) return seen === undefined ? step : this.#report(step.about, seen);
    // The router's own addresses are nobody else's: a flow that clashes with one of the router's own makes NAT draw
    // ports that show in rules alone.
    if ((seen === undefined || step.from === 0) && isOwn(step.bytes)) {
      return { iface: step.iface, bytes: NOTHING };
    }
    if (seen === undefined && step.dial === undefined) return step;
    const bytes = step.bytes.slice(), f = fields(bytes);
    if (f === null) return step;
    if (step.dial !== undefined) {
      const other = step.dial * 2 + (step.told ?? 0), peer = this.#seen.get(other);
      // Who was told nothing calls back whom it has seen: TFTP.
      const told = this.#announced.get(other) ??
        (f.protocol === 17 && peer !== undefined ? { address: peer.peer, port: peer.peerPort } : undefined);
      if (told !== undefined && told.address.length === f.addressLength) {
        write(bytes, f, f.dst, told.address);
        if (f.dport) write16(bytes, f, f.dport, told.port);
      }
    }
    if (seen === undefined) return { iface: step.iface, bytes };
    if (step.from === 1 && seen.own.length === f.addressLength) {
      write(bytes, f, f.src, seen.own);
      write(bytes, f, f.dst, seen.peer);
      if (f.sport) write16(bytes, f, f.sport, seen.ownPort);
      if (f.dport) write16(bytes, f, f.dport, seen.peerPort);
    }
    if (seen.shift !== 0 && f.protocol === 6 && f.l4 + 20 <= bytes.length) acknowledge(bytes, f, seen.shift);
    return { iface: step.from === 1 ? seen.iface : step.iface, bytes };
  }

  #report(about: About, seen: Seen): { iface: InterfaceName; bytes: Uint8Array<ArrayBuffer> } {
    const quoted = seen.last.slice();
    for (const [at, xor] of about.wrong ?? []) if (at < quoted.length) quoted[at] ^= xor;
    const bytes = icmpError({
      src: about.src ?? text(seen.own),
      dst: text(seen.peer),
      type: about.type,
      code: about.code,
      rest: about.rest,
      id: 1,
      quoted,
      quote: about.quote,
      badChecksum: about.badChecksum,
    });
    return { iface: seen.iface, bytes };
  }

  /** The router has sent something on account of a step: its receiver learns. */
  receive(step: Step, sent: Uint8Array, iface: string, bytes: Uint8Array<ArrayBuffer>): void {
    if (step.about !== undefined) return;
    const out = fields(bytes), was = fields(sent);
    if (out === null || was === null || out.protocol !== was.protocol || out.later) return;
    const end = 1 - step.from, key = step.talk * 2 + end;
    if (out.protocol === 6) {
      if (bytes.length < out.l4 + 20 || sent.length < was.l4 + 20) return;
      // A reset of the router's own.
      if (bytes[out.l4 + 13] !== sent[was.l4 + 13]) return;
    } else if (out.protocol === 1 || out.protocol === 58) {
      if (bytes[out.l4] !== sent[was.l4]) return;
    }
    let shift = this.#seen.get(key)?.shift ?? 0;
    if (out.protocol === 6) {
      shift = (read32(bytes, out.l4 + 4) + bytes.length - read32(sent, was.l4 + 4) - sent.length -
        (out.l4 - was.l4)) | 0;
      const told = announced(bytes, out);
      if (told !== null) this.#announced.set(key, told);
    }
    this.#seen.set(key, {
      iface: iface as InterfaceName,
      peer: addressAt(bytes, out, out.src),
      peerPort: out.sport ? read16(bytes, out.sport) : 0,
      own: addressAt(bytes, out, out.dst),
      ownPort: out.dport ? read16(bytes, out.dport) : 0,
      last: bytes,
      shift,
    });
  }
}

const NOTHING = new Uint8Array(0);
const ALL_OWN = new Set(
  ([4, 6] as const).flatMap((f) => Object.values(OWN[f]).flat().map((a) => addressBytes(a).join("."))),
);

function isOwn(bytes: Uint8Array): boolean {
  const f = fields(bytes);
  return f !== null && ALL_OWN.has(addressAt(bytes, f, f.src).join("."));
}

/** Moves acknowledgement and SACK blocks by what the peer's bytes were moved. */
function acknowledge(bytes: Uint8Array, f: Field, shift: number): void {
  if ((bytes[f.l4 + 13] & 16) === 0) return;
  write32(bytes, f, f.l4 + 8, (read32(bytes, f.l4 + 8) + shift) | 0);
  const end = Math.min(bytes.length, f.l4 + (bytes[f.l4 + 12] >> 4) * 4);
  for (let at = f.l4 + 20; at < end;) {
    const kind = bytes[at];
    if (kind === 0) return;
    if (kind === 1) {
      at++;
      continue;
    }
    const length = bytes[at + 1];
    if (length < 2 || at + length > end) return;
    // Blocks at odd places are left alone: their words straddle the checksum's.
    if (kind === 5 && (at - f.l4) % 2 === 0) {
      for (let b = at + 2; b + 4 <= at + length; b += 4) write32(bytes, f, b, (read32(bytes, b) + shift) | 0);
    }
    at += length;
  }
}

function text(address: Uint8Array): string {
  if (address.length === 4) return address.join(".");
  return Array.from({ length: 8 }, (_, i) => ((address[2 * i] << 8) | address[2 * i + 1]).toString(16)).join(
    ":",
  );
}
