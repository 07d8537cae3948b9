/**
 * Captures in pcapng, both ways (draft-ietf-opsawg-pcapng): pure functions of bytes.
 *
 * Overview: a file is a row of blocks. A section header says in which byte order the blocks behind it are written;
 * interface descriptions number the interfaces of the section and say what a tick of their timestamps is; packet
 * blocks carry packets. Blocks of other types are skipped, as the format wants it. Times are nanoseconds since 1970
 * as bigint, because a double cannot hold them.
 *
 * Limits: link type 101 (raw IP) only. What cannot be understood is an error with its place in the file, never a
 * packet less.
 *
 * @module
 */

/** Link type of packets that begin with their IP header (LINKTYPE_RAW). */
export const LINKTYPE_RAW = 101;

/** A file that is not what it should be. */
export class PcapngError extends Error {
  override readonly name = "PcapngError";
  /** What is wrong, and the offset of the block in which it is. */
  constructor(message: string, readonly offset: number) {
    super(`${message} (at byte ${offset})`);
  }
}

/** An interface that packets were seen on. */
export interface PcapngInterface {
  /** `if_name`, or "" when the file does not say. */
  readonly name: string;
  readonly linkType: number;
  /** Most bytes kept of a packet; 0 for all. */
  readonly snapLength: number;
  /** `if_tsresol` as the file has it: ticks are 10⁻ⁿ seconds, or 2⁻ⁿ with the highest bit set. */
  readonly resolution: number;
  /** `if_tsoffset`: seconds that are added to each time. */
  readonly offset: bigint;
}

/** One packet. */
export interface PcapngPacket {
  /** Index in `Pcapng.interfaces`. */
  readonly interface: number;
  /** Nanoseconds since 1970. A packet without a time (Simple Packet Block) has that of the packet before it. */
  readonly time: bigint;
  /** Views of the file's bytes. */
  readonly bytes: Uint8Array;
  /** Length of the packet before it was cut to `snapLength`. */
  readonly originalLength: number;
}

/** What a file holds. */
export interface Pcapng {
  /** All interfaces of all sections, in the order of the file. */
  readonly interfaces: readonly PcapngInterface[];
  readonly packets: readonly PcapngPacket[];
}

const SECTION_HEADER = 0x0a0d0d0a,
  INTERFACE_DESCRIPTION = 1,
  PACKET = 2,
  SIMPLE_PACKET = 3,
  ENHANCED_PACKET = 6;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const OPT_END = 0, IF_NAME = 2, IF_TSRESOL = 9, IF_TSOFFSET = 14, SHB_USERAPPL = 4;
/** Bytes of a block around its body: type, length, and the length again. */
const FRAME = 12;
const MICROSECONDS = 6, NANOSECONDS = 9;

/** First words of other capture files. */
const OTHER_FORMATS: Readonly<Record<number, string>> = {
  0xa1b2c3d4: "pcap",
  0xd4c3b2a1: "pcap",
  0xa1b23c4d: "pcap",
  0x4d3cb2a1: "pcap",
  0x1f8b0800: "gzip",
};

const padded = (length: number) => (length + 3) & ~3;

/** Reads a whole file. Throws a `PcapngError` that says what is wrong and where. */
export function readPcapng(file: Uint8Array): Pcapng {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const interfaces: PcapngInterface[] = [], packets: PcapngPacket[] = [];
  /** Index of the current section's first interface, and its byte order. */
  let first = 0, little = false, time = 0n;

  if (file.length < 4 || view.getUint32(0) !== SECTION_HEADER) {
    const other = file.length < 4 ? undefined : OTHER_FORMATS[view.getUint32(0)];
    const hint = other === "pcap"
      ? ": this is a pcap file; `editcap -F pcapng` converts it"
      : other
      ? `: this is ${other}`
      : "";
    throw new PcapngError(file.length === 0 ? "the file is empty" : `not a pcapng file${hint}`, 0);
  }

  for (let at = 0; at < file.length;) {
    if (file.length - at < FRAME) throw new PcapngError(`cut off: ${file.length - at} bytes of a block`, at);
    const header = view.getUint32(at) === SECTION_HEADER;
    if (header) {
      const magic = view.getUint32(at + 8);
      if (magic === BYTE_ORDER_MAGIC) little = false;
      else if (view.getUint32(at + 8, true) === BYTE_ORDER_MAGIC) little = true;
      else {throw new PcapngError(
          `section header with byte order 0x${magic.toString(16).padStart(8, "0")}`,
          at,
        );}
    }
    const type = view.getUint32(at, little), length = view.getUint32(at + 4, little);
    if (length < FRAME || length % 4 !== 0) throw new PcapngError(`block of impossible length ${length}`, at);
    if (length > file.length - at) {
      throw new PcapngError(`cut off: a block of ${length} bytes has ${file.length - at}`, at);
    }
    const again = view.getUint32(at + length - 4, little);
    if (again !== length) {
      throw new PcapngError(`block that begins with length ${length} and ends with ${again}`, at);
    }

    const from = at + 8, to = at + length - 4;
    switch (type) {
      case SECTION_HEADER: {
        if (to - from < 16) throw new PcapngError(`section header of ${length} bytes`, at);
        const major = view.getUint16(from + 4, little), minor = view.getUint16(from + 6, little);
        if (major !== 1) throw new PcapngError(`pcapng version ${major}.${minor}; known is 1`, at);
        checkOptions(from + 16, to, at);
        first = interfaces.length;
        break;
      }
      case INTERFACE_DESCRIPTION:
        interfaces.push(readInterface(from, to, at));
        break;
      case ENHANCED_PACKET: {
        if (to - from < 20) throw new PcapngError(`packet block of ${length} bytes`, at);
        const index = interfaceAt(view.getUint32(from, little), at);
        time = timeOf(interfaces[index], from + 4);
        addPacket(index, from + 12, from + 20, to, at);
        break;
      }
      case PACKET: {
        if (to - from < 20) throw new PcapngError(`packet block of ${length} bytes`, at);
        const index = interfaceAt(view.getUint16(from, little), at);
        time = timeOf(interfaces[index], from + 4);
        addPacket(index, from + 12, from + 20, to, at);
        break;
      }
      case SIMPLE_PACKET: {
        if (to - from < 4) throw new PcapngError(`packet block of ${length} bytes`, at);
        const index = interfaceAt(0, at), original = view.getUint32(from, little);
        const snap = interfaces[index].snapLength;
        const kept = Math.min(original, snap === 0 ? original : snap);
        if (kept > to - from - 4) {
          throw new PcapngError(`packet of ${kept} bytes in a block with ${to - from - 4}`, at);
        }
        packets.push({
          interface: index,
          time,
          bytes: file.subarray(from + 4, from + 4 + kept),
          originalLength: original,
        });
        break;
      }
    }
    at += length;
  }
  return { interfaces, packets };

  /** Index in `interfaces` of a section's interface. */
  function interfaceAt(index: number, block: number): number {
    const count = interfaces.length - first;
    if (index < count) return first + index;
    throw new PcapngError(`packet of interface ${index}, of which there are ${count} in this section`, block);
  }

  /** Nanoseconds of a packet's two timestamp words. */
  function timeOf(iface: PcapngInterface, words: number): bigint {
    const ticks = (BigInt(view.getUint32(words, little)) << 32n) | BigInt(view.getUint32(words + 4, little));
    const exponent = iface.resolution & 127;
    let time: bigint;
    if (iface.resolution & 128) time = (ticks * 1_000_000_000n) >> BigInt(exponent);
    else if (exponent <= NANOSECONDS) time = ticks * 10n ** BigInt(NANOSECONDS - exponent);
    else time = ticks / 10n ** BigInt(exponent - NANOSECONDS);
    return time + iface.offset * 1_000_000_000n;
  }

  /** Takes the packet whose two length words stand at `lengths` and whose bytes begin at `data`. */
  function addPacket(index: number, lengths: number, data: number, to: number, block: number): void {
    const kept = view.getUint32(lengths, little);
    if (kept > to - data) {
      throw new PcapngError(`packet of ${kept} bytes in a block with ${to - data}`, block);
    }
    checkOptions(data + padded(kept), to, block);
    packets.push({
      interface: index,
      time,
      bytes: file.subarray(data, data + kept),
      originalLength: view.getUint32(lengths + 4, little),
    });
  }

  function readInterface(from: number, to: number, block: number): PcapngInterface {
    if (to - from < 8) throw new PcapngError(`interface description of ${to - from + FRAME} bytes`, block);
    const linkType = view.getUint16(from, little), snapLength = view.getUint32(from + 4, little);
    let name = "", resolution = MICROSECONDS, offset = 0n;
    checkOptions(from + 8, to, block, (code, at, length) => {
      if (code === IF_NAME) {
        name = new TextDecoder().decode(file.subarray(at, at + length)).replace(/\0+$/, "");
      } else if (code === IF_TSRESOL && length === 1) resolution = view.getUint8(at);
      else if (code === IF_TSOFFSET && length === 8) offset = view.getBigInt64(at, little);
      else if (code === IF_TSRESOL || code === IF_TSOFFSET) {
        throw new PcapngError(`interface option ${code} of ${length} bytes`, block);
      }
    });
    if (linkType !== LINKTYPE_RAW) {
      const which = name === "" ? `interface ${interfaces.length - first}` : `interface “${name}”`;
      throw new PcapngError(
        `${which} has link type ${linkType}; only ${LINKTYPE_RAW} (raw IP) can be read`,
        block,
      );
    }
    return { name, linkType, snapLength, resolution, offset };
  }

  /** Walks the options between two offsets. */
  function checkOptions(
    from: number,
    to: number,
    block: number,
    take?: (code: number, at: number, length: number) => void,
  ): void {
    for (let at = from; at < to;) {
      if (to - at < 4) throw new PcapngError(`${to - at} bytes where an option should be`, block);
      const code = view.getUint16(at, little), length = view.getUint16(at + 2, little);
      if (code === OPT_END) return;
      if (padded(length) > to - at - 4) {
        throw new PcapngError(`option ${code} of ${length} bytes where ${to - at - 4} are left`, block);
      }
      take?.(code, at + 4, length);
      at += 4 + padded(length);
    }
  }
}

/** What a written interface is called and how long its packets may be. */
export interface WrittenInterface {
  readonly name: string;
  /** 0, when not given: all bytes are kept. */
  readonly snapLength?: number;
}

/** Writes a file of one section. The same calls give the same bytes. */
export class PcapngWriter {
  #bytes = new Uint8Array(65536);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  #interfaces = 0;
  readonly #little: boolean;
  readonly #resolution: number;

  constructor(options: { resolution?: "nanoseconds" | "microseconds"; littleEndian?: boolean } = {}) {
    this.#little = options.littleEndian ?? true;
    this.#resolution = options.resolution === "microseconds" ? MICROSECONDS : NANOSECONDS;
    this.#block(SECTION_HEADER, 16 + optionLength(4) + 4, (at) => {
      this.#u32(at, BYTE_ORDER_MAGIC);
      this.#u16(at + 4, 1);
      // The section's length is not said: it ends with the file.
      this.#u32(at + 8, 0xffffffff);
      this.#u32(at + 12, 0xffffffff);
      this.#option(at + 16, SHB_USERAPPL, new TextEncoder().encode("weir"));
    });
  }

  /** Adds an interface; returns its number, from 0. */
  interface(description: WrittenInterface): number {
    const name = new TextEncoder().encode(description.name);
    this.#block(INTERFACE_DESCRIPTION, 8 + optionLength(name.length) + optionLength(1) + 4, (at) => {
      this.#u16(at, LINKTYPE_RAW);
      this.#u32(at + 4, description.snapLength ?? 0);
      const next = this.#option(at + 8, IF_NAME, name);
      this.#option(next, IF_TSRESOL, Uint8Array.of(this.#resolution));
    });
    return this.#interfaces++;
  }

  /** Adds a packet of an interface, at a time in nanoseconds since 1970. */
  packet(iface: number, time: bigint, bytes: Uint8Array, originalLength: number = bytes.length): void {
    if (!(iface >= 0 && iface < this.#interfaces)) throw new RangeError(`no interface ${iface}`);
    const ticks = this.#resolution === NANOSECONDS ? time : time / 1000n;
    this.#block(ENHANCED_PACKET, 20 + padded(bytes.length), (at) => {
      this.#u32(at, iface);
      this.#u32(at + 4, Number((ticks >> 32n) & 0xffffffffn));
      this.#u32(at + 8, Number(ticks & 0xffffffffn));
      this.#u32(at + 12, bytes.length);
      this.#u32(at + 16, originalLength);
      this.#bytes.set(bytes, at + 20);
    });
  }

  /** The file so far. */
  bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  /** A block whose body has `length` bytes, all 0 until `fill` writes them. */
  #block(type: number, length: number, fill: (at: number) => void): void {
    const total = FRAME + length, at = this.#length;
    if (at + total > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(2 * this.#bytes.length, at + total));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    this.#u32(at, type);
    this.#u32(at + 4, total);
    fill(at + 8);
    this.#u32(at + total - 4, total);
    this.#length = at + total;
  }

  #option(at: number, code: number, value: Uint8Array): number {
    this.#u16(at, code);
    this.#u16(at + 2, value.length);
    this.#bytes.set(value, at + 4);
    return at + optionLength(value.length);
  }

  #u16(at: number, value: number): void {
    this.#view.setUint16(at, value, this.#little);
  }

  #u32(at: number, value: number): void {
    this.#view.setUint32(at, value, this.#little);
  }
}

function optionLength(bytes: number): number {
  return 4 + padded(bytes);
}
