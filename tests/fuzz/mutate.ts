/**
 * What goes wrong on the way: fields, options, lengths, checksums, order, loss, duplicates, fragments.
 *
 * @module
 */
import { checksum, fixIpChecksum, fragments, pseudoHeader } from "../kit/packets.ts";
import type { Chance } from "./chance.ts";
import { HOSTS, INTERFACES, OWN } from "./net.ts";
import { addressBytes } from "../kit/packets.ts";
import type { Step } from "./steps.ts";
import { addressAt, fields, putCrc, read16, write, write16, write32 } from "./wire.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Makes lengths and checksums right for what the packet has become. */
export function repair(b: Bytes): Bytes {
  const family = b[0] >> 4;
  if (family === 4 && b.length >= 20) {
    b[2] = b.length >> 8;
    b[3] = b.length & 255;
    if ((b[0] & 15) * 4 <= b.length) fixIpChecksum(b);
  } else if (family === 6 && b.length >= 40) {
    b[4] = (b.length - 40) >> 8;
    b[5] = (b.length - 40) & 255;
  }
  const f = fields(b);
  if (f === null || f.checksum === 0 || f.later) return b;
  if (f.protocol === 132) return putCrc(b, f), b;
  if (f.protocol === 17 && f.l4 + 6 <= b.length) {
    b[f.l4 + 4] = (b.length - f.l4) >> 8;
    b[f.l4 + 5] = (b.length - f.l4) & 255;
  }
  b[f.checksum] = b[f.checksum + 1] = 0;
  const rest = b.subarray(f.l4);
  let sum: number;
  if (f.protocol === 1) sum = checksum(rest);
  else {
    const pseudo = pseudoHeader(addressAt(b, f, f.src), addressAt(b, f, f.dst), f.protocol, rest.length);
    const all = new Uint8Array(pseudo.length + rest.length);
    all.set(pseudo);
    all.set(rest, pseudo.length);
    sum = checksum(all);
    if (sum === 0 && (f.protocol === 17 || f.protocol === 136)) sum = 0xffff;
  }
  b[f.checksum] = sum >> 8;
  b[f.checksum + 1] = sum & 255;
  return b;
}

/** Puts bytes between what is before `at` and what follows. */
function insert(b: Bytes, at: number, more: readonly number[]): Bytes {
  const out = new Uint8Array(b.length + more.length);
  out.set(b.subarray(0, at));
  out.set(more, at);
  out.set(b.subarray(at), at + more.length);
  return out;
}

const IP_OPTIONS: readonly (readonly number[])[] = [
  [1, 1, 1, 1],
  [0, 0, 0, 0],
  [7, 7, 4, 0, 0, 0, 0, 0], // record route with one place
  [7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  [68, 8, 5, 0, 0, 0, 0, 0], // timestamps
  [68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0],
  [148, 4, 0, 0], // router alert
  [131, 7, 4, 192, 0, 2, 3, 0], // loose source route
  [137, 7, 4, 203, 0, 113, 50, 0], // strict source route
  [7, 3, 4, 0],
  [7, 20, 4, 0],
  [130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], // security
  [200, 4, 1, 2],
  [200, 1, 0, 0],
];

const EXTENSIONS: readonly (readonly [number: number, body: readonly number[]])[] = [
  [0, [1, 4, 0, 0, 0, 0]],
  [0, [5, 2, 0, 0, 1, 0]], // router alert
  [0, [0x3f, 4, 0, 0, 0, 0]],
  [0, [0x7f, 4, 0, 0, 0, 0]],
  [0, [0xbf, 4, 0, 0, 0, 0]],
  [0, [0xff, 4, 0, 0, 0, 0]],
  [60, [1, 4, 0, 0, 0, 0]],
  [60, [0xbf, 4, 0, 0, 0, 0]],
  [43, [0, 0, 0, 0, 0, 0]],
  [43, [0, 1, 0, 0, 0, 0]],
  [43, [4, 0, 0, 0, 0, 0]],
  [44, [0, 0, 0, 0, 0, 1]], // an atomic fragment
];

const TCP_OPTIONS: readonly (readonly number[])[] = [
  [1, 1, 1, 1],
  [3, 3, 14, 1],
  [3, 3, 200, 0],
  [3, 2, 0, 0],
  [2, 4, 0, 0],
  [5, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1],
  [5, 3, 0, 0],
  [5, 40, 0, 0],
  [1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2, 0],
  [8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1],
  [4, 2, 1, 1],
  [254, 4, 1, 2],
  [254, 0, 1, 2],
  [19, 18, ...Array(18).fill(0)],
];

const OWN_BYTES = new Set(
  ([4, 6] as const).flatMap((f) => Object.values(OWN[f]).flat().map((a) => addressBytes(a).join("."))),
);
const WORDS = [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xfffe, 0xffff];

/** One packet, changed; null when nothing of the kind can be done. */
function change(c: Chance, old: Bytes): Bytes | null {
  const b = old.slice(), f = fields(b);
  if (f === null) return null;
  const tcp = f.protocol === 6 && f.l4 + 20 <= b.length && !f.later;
  return c.weighted<() => Bytes | null>([
    // TTL
    [3, () => {
      b[f.family === 4 ? 8 : 7] = c.pick([0, 1, 1, 1, 2, 3, 255]);
      return f.family === 4 ? fixIpChecksum(b) : b;
    }],
    // A bit somewhere, with checksums as they were or made right
    [3, () => {
      const at = c.below(b.length);
      b[at] ^= 1 << c.below(8);
      return c.is(0.4) && b[0] === old[0] ? repair(b) : b;
    }],
    // A header field with a telling value
    [4, () => {
      const at = f.l4 + 2 * c.below(Math.max(1, Math.min(16, (b.length - f.l4) >> 1)));
      if (at + 2 > b.length) return null;
      const value = c.pick(WORDS);
      if (c.is(0.6)) write16(b, f, at, value);
      else b[at] = value >> 8, b[at + 1] = value & 255;
      return b;
    }],
    [2, () => {
      const at = f.family === 4 ? c.pick([0, 1, 2, 4, 6, 8]) : c.pick([0, 2, 4, 6]);
      const value = c.pick(WORDS);
      if (c.is(0.5)) b[at] = value & 255;
      else b[at] = value >> 8, b[at + 1] = value & 255;
      if (f.family === 4 && (b[0] & 15) * 4 <= b.length && c.is(0.9)) fixIpChecksum(b);
      return b;
    }],
    [tcp ? 4 : 0, () => {
      b[f.l4 + 13] = c.pick([0, 1, 2, 3, 4, 6, 8, 16, 17, 18, 20, 24, 41, 56, 63, 0xc2, 0xff, c.below(256)]);
      return repair(b);
    }],
    // Sequence, acknowledgement, window
    [tcp ? 4 : 0, () => {
      const at = f.l4 + c.pick([4, 8]);
      const d = c.pick([1, -1, 2, 100, -100, 1000, 65535, -65535, 70000, 0x7fffffff, -0x80000000, c.word()]);
      write32(b, f, at, (new DataView(b.buffer).getInt32(at) + d) | 0);
      return b;
    }],
    [tcp ? 1 : 0, () => (write16(b, f, f.l4 + 14, c.pick([0, 1, 100, 65535])), b)],
    [tcp ? 3 : 0, () => {
      const option = c.pick(TCP_OPTIONS), header = (b[f.l4 + 12] >> 4) * 4;
      if (header + option.length > 60 || f.l4 + header > b.length) return null;
      const out = insert(b, f.l4 + header, option);
      out[f.l4 + 12] = ((header + option.length) / 4) << 4 | (out[f.l4 + 12] & 15);
      return repair(out);
    }],
    [tcp ? 1 : 0, () => {
      b[f.l4 + 12] = c.below(16) << 4;
      return repair(b);
    }],
    // IP options and extension headers
    [f.family === 4 && (b[0] & 15) === 5 ? 3 : 0, () => {
      const option = [...c.pick(IP_OPTIONS)];
      while (option.length % 4) option.push(0);
      const out = insert(b, 20, option);
      out[0] = 0x40 | (5 + option.length / 4);
      return repair(out);
    }],
    [f.family === 6 ? 3 : 0, () => {
      const [number, body] = c.pick(EXTENSIONS);
      // Linux looks for such a header in the wrong place once it has gathered the fragments.
      if (b[6] === 44 && (number === 43 || number === 60)) return null;
      const out = insert(b, 40, [b[6], 0, ...body]);
      out[6] = number;
      return repair(out);
    }],
    // Lengths
    [2, () => {
      const cut = b.slice(0, c.between(1, b.length));
      return c.is(0.7) && cut.length >= (f.family === 4 ? 20 : 40) ? repair(cut) : cut;
    }],
    [1, () => {
      const longer = insert(b, b.length, new Array(c.between(1, 20)).fill(0xee));
      return c.is(0.3) ? repair(longer) : longer;
    }],
    [f.protocol === 17 && f.l4 + 8 <= b.length ? 2 : 0, () => {
      write16(b, f, f.l4 + 4, c.pick([0, 7, 8, 9, b.length - f.l4 - 1, b.length - f.l4 + 1, 65535]));
      return b;
    }],
    // Checksums
    [f.checksum ? 2 : 0, () => {
      if (c.is(0.5)) b[f.checksum] ^= 0x55;
      else b[f.checksum] = b[f.checksum + 1] = 0;
      return b;
    }],
    [f.family === 4 ? 0.5 : 0, () => (b[10] ^= 0x11, b)],
    // Other addresses
    [2, () => {
      const all = [...HOSTS[f.family][c.pick(INTERFACES)], ...OWN[f.family][c.pick(INTERFACES)]];
      const odd = f.family === 4
        ? ["127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "169.254.1.1", "240.0.0.1", "10.9.8.7"]
        : ["::1", "::", "ff02::1", "ff0e::1", "2001:db8:77::", "fd00::1", "::ffff:192.0.2.2"];
      const to = addressBytes(c.pick(c.is(0.6) ? all : odd));
      // Not from the router itself: see Hosts.send.
      write(b, f, c.is(0.5) && !OWN_BYTES.has(to.join(".")) ? f.src : f.dst, to);
      return b;
    }],
    // DF, TOS
    [f.family === 4 ? 1 : 0, () => (b[6] ^= 0x40, fixIpChecksum(b))],
    [1, () => {
      if (f.family === 4) b[1] = c.below(256), fixIpChecksum(b);
      else b[1] ^= c.below(256), b[0] = 0x60 | c.below(16);
      return b;
    }],
    // Another protocol's number on the same bytes
    [0.5, () => {
      b[f.family === 4 ? 9 : 6] = c.pick([1, 6, 17, 47, 58, 132, 136, 33, 0, 59, 50, 255]);
      return f.family === 4 ? fixIpChecksum(b) : b;
    }],
    // Payload
    [1, () => {
      for (let n = c.between(1, 4); n > 0 && b.length > f.l4 + 8; n--) {
        b[c.between(f.l4 + 8, b.length - 1)] = c.below(256);
      }
      return repair(b);
    }],
  ])();
}

/** Splits a TCP segment in two. */
function split(c: Chance, old: Bytes): Bytes[] | null {
  const f = fields(old);
  if (f === null || f.protocol !== 6 || f.l4 + 20 > old.length) return null;
  const from = f.l4 + (old[f.l4 + 12] >> 4) * 4, size = old.length - from;
  if (from < f.l4 + 20 || size < 2) return null;
  const at = c.between(1, size - 1);
  const first = repair(old.slice(0, from + at)),
    second = insert(old.slice(0, from), from, [...old.subarray(from + at)]);
  const view = new DataView(second.buffer);
  view.setUint32(f.l4 + 4, (view.getUint32(f.l4 + 4) + at) >>> 0);
  return [first, repair(second)];
}

/** Changes a conversation in `times` places. */
export function mutate(c: Chance, steps: readonly Step[], times: number): Step[] {
  const out = [...steps];
  for (let n = 0; n < times && out.length > 0; n++) {
    const i = c.below(out.length), step = out[i];
    c.weighted<() => void>([
      [8, () => {
        if (step.about !== undefined) {
          const wrong = [[c.below(60), 1 << c.below(8)] as const];
          out[i] = {
            ...step,
            about: {
              ...step.about,
              quote: c.below(40),
              wrong: c.is(0.5) ? wrong : undefined,
              badChecksum: c.is(0.1),
            },
          };
          return;
        }
        const bytes = change(c, step.bytes);
        if (bytes !== null && bytes.length > 0) {
          if (c.is(0.6)) out[i] = { ...step, bytes };
          else out.splice(i, 0, { ...step, bytes }); // and the right one after it
        }
      }],
      [2, () => void out.splice(i, 1)],
      [1.5, () => void out.splice(c.between(i, Math.min(out.length, i + 6)), 0, step)],
      [1.5, () => {
        out.splice(i, 1);
        out.splice(Math.min(out.length, i + c.between(1, 4)), 0, step);
      }],
      [1, () => {
        const two = split(c, step.bytes);
        if (two !== null) {
          out.splice(i, 1, ...(c.is(0.8) ? two : two.reverse()).map((bytes) => ({ ...step, bytes })));
        }
      }],
      [1.5, () => {
        const f = fields(step.bytes);
        if (
          f === null || f.later || step.bytes.length < f.l4 + 9 ||
          step.bytes[step.bytes.length - 1] === undefined
        ) return;
        if (f.family === 4 && (read16(step.bytes, 6) & 0x3fff) !== 0) return;
        if (f.family === 6 && step.bytes[6] === 44) return;
        const rest = step.bytes.length - (f.family === 4 ? f.l4 : 40);
        const size = Math.max(8, (c.between(8, rest) >> 3) * 8);
        let pieces = fragments(step.bytes, rest / size > 20 ? 512 : size, c.between(1, 65535)).map((
          bytes,
        ) => ({ ...step, bytes }));
        if (c.is(0.3)) pieces.reverse();
        if (c.is(0.15)) pieces = c.some(pieces, pieces.length - 1);
        if (c.is(0.15) && pieces.length > 0) pieces.push(c.pick(pieces));
        if (c.is(0.15)) {
          pieces = pieces.map((p) => c.is(0.3) ? { ...p, bytes: change(c, p.bytes) ?? p.bytes } : p);
        }
        out.splice(i, 1, ...pieces);
      }],
      [0.5, () => {
        // Pieces that come by different interfaces: Linux then answers by that of the first, Weir by that of the last.
        if (step.bytes[6] !== 44) out[i] = { ...step, iface: c.pick(INTERFACES) };
      }],
    ])();
  }
  return out.filter((s) => s.about !== undefined || s.bytes.length > 0);
}
