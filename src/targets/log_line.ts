/**
 * A packet as the kernel's LOG target writes it (nf_log_syslog), byte for byte, its closing blank included.
 *
 * TUN devices have no link header, so `MAC=` is empty. The owner of a local socket is not known here: `--log-uid`
 * adds nothing.
 */
import { AH, ESP, type Family, ICMP, ICMPV6, TCP, UDP, UDPLITE } from "../netfilter.ts";
import { formatIpv4, formatIpv6Full, readAddress } from "../packet/address.ts";
import { extensionLength, isExtensionHeader, NO_NEXT } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";

/** What more to write. */
export interface LogFlags {
  readonly tcpSequence: boolean;
  readonly tcpOptions: boolean;
  readonly ipOptions: boolean;
}

const FRAGMENT = 44, ROUTING = 43, HOP_BY_HOP = 0, DESTINATION_OPTIONS = 60;

/** Bytes of ICMP that each type must have to be read on; the kernel's required_len. */
const ICMP_REQUIRED: Readonly<Record<number, number>> = {
  0: 4,
  3: 28,
  4: 28,
  5: 28,
  8: 4,
  11: 28,
  12: 28,
  13: 20,
  14: 20,
  17: 12,
  18: 12,
};

const words = new Int32Array(4);

function address(view: DataView, family: Family, at: number): string {
  readAddress(view, family, at, words);
  return family === 4 ? formatIpv4(words[0]) : formatIpv6Full(words);
}

function hexBytes(view: DataView, from: number, to: number): string {
  let text = "";
  for (let i = from; i < to; i++) text += view.getUint8(i).toString(16).toUpperCase().padStart(2, "0");
  return text;
}

function hexByte(value: number): string {
  return "0x" + value.toString(16).toUpperCase().padStart(2, "0");
}

/** Writes the lines of one router. */
class Writer {
  text = "";
  readonly #view: DataView;
  readonly #end: number;
  readonly #flags: LogFlags;

  constructor(p: Packet, flags: LogFlags) {
    this.#view = p.view;
    this.#end = p.length;
    this.#flags = flags;
  }

  /** False when the header is cut, which ends the line. */
  #tcp(l4: number, fragment: boolean): boolean {
    const view = this.#view;
    this.text += "PROTO=TCP ";
    if (fragment) return true;
    if (this.#end - l4 < 20) return this.#incomplete(l4);
    this.text += `SPT=${view.getUint16(l4)} DPT=${view.getUint16(l4 + 2)} `;
    if (this.#flags.tcpSequence) this.text += `SEQ=${view.getUint32(l4 + 4)} ACK=${view.getUint32(l4 + 8)} `;
    const reserved = view.getUint8(l4 + 12) & 0x0e, flags = view.getUint8(l4 + 13);
    this.text += `WINDOW=${view.getUint16(l4 + 14)} RES=0x${(reserved << 2).toString(16).padStart(2, "0")} `;
    if ((view.getUint8(l4 + 12) & 1) !== 0) this.text += "AE ";
    if ((flags & 0x80) !== 0) this.text += "CWR ";
    if ((flags & 0x40) !== 0) this.text += "ECE ";
    if ((flags & 0x20) !== 0) this.text += "URG ";
    if ((flags & 0x10) !== 0) this.text += "ACK ";
    if ((flags & 0x08) !== 0) this.text += "PSH ";
    if ((flags & 0x04) !== 0) this.text += "RST ";
    if ((flags & 0x02) !== 0) this.text += "SYN ";
    if ((flags & 0x01) !== 0) this.text += "FIN ";
    this.text += `URGP=${view.getUint16(l4 + 18)} `;
    const length = (view.getUint8(l4 + 12) >> 4) * 4;
    if (this.#flags.tcpOptions && length > 20) {
      if (l4 + length > this.#end) {
        this.text += "OPT (TRUNCATED)";
        return false;
      }
      this.text += `OPT (${hexBytes(view, l4 + 20, l4 + length)}) `;
    }
    return true;
  }

  #udp(l4: number, fragment: boolean, protocol: number): boolean {
    const view = this.#view;
    this.text += protocol === UDP ? "PROTO=UDP " : "PROTO=UDPLITE ";
    if (fragment) return true;
    if (this.#end - l4 < 8) return this.#incomplete(l4);
    this.text += `SPT=${view.getUint16(l4)} DPT=${view.getUint16(l4 + 2)} LEN=${view.getUint16(l4 + 4)} `;
    return true;
  }

  #incomplete(l4: number): false {
    this.text += `INCOMPLETE [${this.#end - l4} bytes] `;
    return false;
  }

  /** False when the line ends here, without the mark. */
  ipv4(at: number): boolean {
    const view = this.#view;
    if (this.#end - at < 20) {
      this.text += "TRUNCATED";
      return false;
    }
    this.text += `SRC=${address(view, 4, at + 12)} DST=${address(view, 4, at + 16)} `;
    const tos = view.getUint8(at + 1), fragmentWord = view.getUint16(at + 6), offset = fragmentWord & 0x1fff;
    this.text += `LEN=${view.getUint16(at + 2)} TOS=${hexByte(tos & 0x1e)} PREC=${hexByte(tos & 0xe0)} `;
    this.text += `TTL=${view.getUint8(at + 8)} ID=${view.getUint16(at + 4)} `;
    if ((fragmentWord & 0x8000) !== 0) this.text += "CE ";
    if ((fragmentWord & 0x4000) !== 0) this.text += "DF ";
    if ((fragmentWord & 0x2000) !== 0) this.text += "MF ";
    if (offset !== 0) this.text += `FRAG:${offset} `;
    const l4 = at + (view.getUint8(at) & 0x0f) * 4, protocol = view.getUint8(at + 9), fragment = offset !== 0;
    if (this.#flags.ipOptions && l4 > at + 20) {
      if (l4 > this.#end) {
        this.text += "TRUNCATED";
        return false;
      }
      this.text += `OPT (${hexBytes(view, at + 20, l4)}) `;
    }
    switch (protocol) {
      case TCP:
        return this.#tcp(l4, fragment);
      case UDP:
      case UDPLITE:
        return this.#udp(l4, fragment, protocol);
      case ICMP:
        this.text += "PROTO=ICMP ";
        if (!fragment) this.#icmp(l4, at === 0);
        return true;
      case AH:
        if (fragment) return true;
        this.text += "PROTO=AH ";
        if (this.#end - l4 < 12) this.#incomplete(l4);
        else this.text += `SPI=0x${view.getUint32(l4 + 4).toString(16)} `;
        return true;
      case ESP:
        this.text += "PROTO=ESP ";
        if (fragment) return true;
        if (this.#end - l4 < 8) this.#incomplete(l4);
        else this.text += `SPI=0x${view.getUint32(l4).toString(16)} `;
        return true;
      default:
        this.text += `PROTO=${protocol} `;
        return true;
    }
  }

  #icmp(l4: number, outermost: boolean): void {
    const view = this.#view;
    if (this.#end - l4 < 8) return void this.#incomplete(l4);
    const type = view.getUint8(l4), code = view.getUint8(l4 + 1);
    this.text += `TYPE=${type} CODE=${code} `;
    if (this.#end - l4 < (ICMP_REQUIRED[type] ?? 0)) return void this.#incomplete(l4);
    if (type === 0 || type === 8) this.text += `ID=${view.getUint16(l4 + 4)} SEQ=${view.getUint16(l4 + 6)} `;
    else if (type === 12) this.text += `PARAMETER=${view.getUint8(l4 + 4)} `;
    else if (type === 5 || type === 3 || type === 4 || type === 11) {
      if (type === 5) this.text += `GATEWAY=${address(view, 4, l4 + 4)} `;
      // The quoted packet, but not one that it quotes in turn.
      if (outermost) {
        this.text += "[";
        this.ipv4(l4 + 8);
        this.text += "] ";
      }
      if (type === 3 && code === 4) this.text += `MTU=${view.getUint16(l4 + 6)} `;
    }
  }

  /** False when the line ends here, without the mark. */
  ipv6(at: number, outermost: boolean): boolean {
    const view = this.#view;
    if (this.#end - at < 40) {
      this.text += "TRUNCATED";
      return false;
    }
    const first = view.getUint32(at);
    this.text += `SRC=${address(view, 6, at + 8)} DST=${address(view, 6, at + 24)} `;
    this.text += `LEN=${view.getUint16(at + 4) + 40} TC=${(first >>> 20) & 0xff} HOPLIMIT=${
      view.getUint8(at + 7)
    } `;
    this.text += `FLOWLBL=${first & 0xfffff} `;
    let header = view.getUint8(at + 6), l4 = at + 40, fragment = false;
    const options = this.#flags.ipOptions;
    while (header !== NO_NEXT && isExtensionHeader(header)) {
      if (this.#end - l4 < 8) {
        this.text += "TRUNCATED";
        return false;
      }
      if (options) this.text += "OPT ( ";
      if (header === FRAGMENT) {
        const word = view.getUint16(l4 + 2);
        this.text += `FRAG:${word & 0xfff8} `;
        if ((word & 1) !== 0) this.text += "INCOMPLETE ";
        this.text += `ID:${view.getUint32(l4 + 4).toString(16).padStart(8, "0")} `;
        if ((word & 0xfff8) !== 0) fragment = true;
      } else if (header === HOP_BY_HOP || header === ROUTING || header === DESTINATION_OPTIONS) {
        if (fragment) {
          if (options) this.text += ")";
          return false;
        }
      } else if (options) {
        this.text += "AH ";
        if (fragment) {
          this.text += ")";
          return false;
        }
        if (this.#end - l4 < 12) {
          this.text += `INCOMPLETE [${this.#end - l4} bytes] )`;
          return false;
        }
        this.text += `SPI=0x${view.getUint32(l4 + 4).toString(16)} `;
      }
      if (options) this.text += ") ";
      const next = view.getUint8(l4);
      l4 += extensionLength(view, l4, header);
      header = next;
    }
    switch (header) {
      case TCP:
        return this.#tcp(l4, fragment);
      case UDP:
      case UDPLITE:
        return this.#udp(l4, fragment, header);
      case ICMPV6:
        this.text += "PROTO=ICMPv6 ";
        return fragment || this.#icmpv6(l4, outermost);
      default:
        this.text += `PROTO=${header} `;
        return true;
    }
  }

  #icmpv6(l4: number, outermost: boolean): boolean {
    const view = this.#view;
    if (this.#end - l4 < 8) return this.#incomplete(l4);
    const type = view.getUint8(l4);
    this.text += `TYPE=${type} CODE=${view.getUint8(l4 + 1)} `;
    if (type === 128 || type === 129) {
      this.text += `ID=${view.getUint16(l4 + 4)} SEQ=${view.getUint16(l4 + 6)} `;
    } else if (type >= 1 && type <= 4) {
      if (type === 4) this.text += `POINTER=${view.getUint32(l4 + 4).toString(16).padStart(8, "0")} `;
      if (outermost) {
        this.text += "[";
        this.ipv6(l4 + 8, false);
        this.text += "] ";
      }
      if (type === 2) this.text += `MTU=${view.getUint32(l4 + 4)} `;
    }
    return true;
  }
}

/** The line for a packet that came in by one interface and leaves by another; names may be empty. */
export function logLine(p: Packet, prefix: string, inName: string, outName: string, flags: LogFlags): string {
  const writer = new Writer(p, flags);
  writer.text = `${prefix}IN=${inName} OUT=${outName} `;
  if (inName !== "") writer.text += "MAC= ";
  const whole = p.family === 4 ? writer.ipv4(0) : writer.ipv6(0, true);
  if (whole && p.mark !== 0) writer.text += `MARK=0x${(p.mark >>> 0).toString(16)} `;
  return writer.text;
}
