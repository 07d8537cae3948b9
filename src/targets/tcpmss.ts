/** Lowers the maximum segment size that a TCP SYN announces (iptables -j TCPMSS; xt_TCPMSS). */
import { CONTINUE, FORWARD, OUTPUT, POSTROUTING, Reason, TCP, type Verdict } from "../netfilter.ts";
import { readAddress } from "../packet/address.ts";
import { replaceInTransport } from "../packet/checksum.ts";
import { IPV4_SOURCE, setTotalLength, totalLength } from "../packet/ipv4.ts";
import { IPV6_SOURCE, payloadLength, setPayloadLength } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import {
  mssOption,
  TCP_CHECKSUM,
  TCP_HEADER,
  TCP_OFFSET,
  tcpHeaderOk,
  TCPOLEN_MSS,
  TCPOPT_MSS,
  tcpPayload,
} from "../packet/tcp.ts";
import type { PathMtus } from "../routing/path_mtu.ts";
import { defineTarget, OptionError, type Target, type TargetExtension } from "../tables/extension.ts";
import { flag, uint } from "../tables/kinds.ts";

/** What a host that names no MSS is to be sent at most (RFC 9293, 3.7.1): in IPv4, in IPv6. */
const DEFAULT_4 = 536, DEFAULT_6 = 1220;
/** Take the path's MTU. */
const CLAMP = -1;

const source = new Int32Array(4);

class TcpmssTarget implements Target {
  readonly #pathMtus: PathMtus;
  readonly #mss: number;

  constructor(pathMtus: PathMtus, mss: number) {
    this.#pathMtus = pathMtus;
    this.#mss = mss;
  }

  target(p: Packet): Verdict {
    if (p.fragmentOffset !== 0) return CONTINUE;
    p.drawTogether(p.length);
    if (!tcpHeaderOk(p)) return p.drop(Reason["rule-drop"]);
    let mss = this.#mss;
    if (mss === CLAMP) {
      const headers = (p.family === 4 ? 20 : 40) + TCP_HEADER;
      const mtu = this.#pathMtu(p);
      if (mtu <= headers) return p.drop(Reason["rule-drop"]);
      mss = mtu - headers;
    }
    const at = mssOption(p), end = tcpPayload(p);
    if (at >= 0) this.#lower(p, at, mss);
    // With data behind the header there is no room, and fifteen words is all a header can be.
    else if (p.length === end && end - p.l4 < 60) {
      this.#insert(p, Math.min(mss, p.family === 4 ? DEFAULT_4 : DEFAULT_6));
    }
    return CONTINUE;
  }

  /** The smaller MTU of both ways: of the one the packet takes, and of the one that answers will (tcpmss_reverse_mtu). */
  #pathMtu(p: Packet): number {
    readAddress(p.view, p.family, p.family === 4 ? IPV4_SOURCE : IPV6_SOURCE, source);
    return Math.min(this.#pathMtus.of(p), this.#pathMtus.to(p.family, source, 0));
  }

  #lower(p: Packet, at: number, mss: number): void {
    const view = p.view, old = view.getUint16(at + 2), checksum = p.l4 + TCP_CHECKSUM;
    if (old <= mss) return;
    view.setUint16(at + 2, mss);
    // A word at an odd offset is summed with its bytes exchanged.
    if (((at - p.l4) & 1) === 0) replaceInTransport(p, checksum, old, mss, false);
    else replaceInTransport(p, checksum, swap(old), swap(mss), false);
  }

  #insert(p: Packet, mss: number): void {
    const view = p.view, at = p.l4 + TCP_HEADER, checksum = p.l4 + TCP_CHECKSUM, length = p.length - p.l4;
    p.bytes.copyWithin(at + TCPOLEN_MSS, at, p.length);
    p.length += TCPOLEN_MSS;
    replaceInTransport(p, checksum, length, length + TCPOLEN_MSS, true);
    const option = (TCPOPT_MSS << 24) | (TCPOLEN_MSS << 16) | mss;
    view.setInt32(at, option);
    replaceInTransport(p, checksum, 0, option, false);
    const offset = view.getUint16(p.l4 + TCP_OFFSET);
    view.setUint16(p.l4 + TCP_OFFSET, offset + 0x1000);
    replaceInTransport(p, checksum, offset, offset + 0x1000, false);
    if (p.family === 4) setTotalLength(p, totalLength(p) + TCPOLEN_MSS);
    else setPayloadLength(p, payloadLength(p) + TCPOLEN_MSS);
  }
}

function swap(word: number): number {
  return ((word & 0xff) << 8) | (word >> 8);
}

/** Sets the segment size, or clamps it to what the path carries; never raises it. */
export const TCPMSS: TargetExtension = defineTarget<{ setMss: number; clampMssToPmtu: true }>({
  name: "TCPMSS",
  protocols: [TCP],
  options: {
    setMss: { flag: "set-mss", kind: uint(0, 65495) },
    clampMssToPmtu: { flag: "clamp-mss-to-pmtu", kind: flag },
  },
  exclusive: ["setMss", "clampMssToPmtu"],
  required: ["setMss", "clampMssToPmtu"],
  finish(o, c) {
    const forSyn = c.matches.some(({ extension, options }) => {
      const flags = options.tcpFlags as { value: { set: number }; invert: boolean } | undefined;
      return extension.name === "tcp" && flags !== undefined && !flags.invert &&
        (flags.value.set & 0x02) !== 0;
    });
    if (!forSyn) {
      throw new OptionError("TCPMSS works on the opening of connections only; add syn: true to the rule");
    }
    const outgoing = (1 << FORWARD) | (1 << OUTPUT) | (1 << POSTROUTING);
    if (o.clampMssToPmtu !== undefined && (c.hooks & ~outgoing) !== 0) {
      throw new OptionError(
        "clampMssToPmtu needs to know the way out: use it in FORWARD, OUTPUT or POSTROUTING",
      );
    }
    return o;
  },
  create: (o, c) => new TcpmssTarget(c.services.pathMtus, o.setMss?.value ?? CLAMP),
});
