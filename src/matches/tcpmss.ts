/** The maximum segment size that a TCP segment announces (iptables -m tcpmss; xt_tcpmss). */
import { TCP } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { TCP_HEADER, tcpHeaderLength, TCPOPT_MSS } from "../packet/tcp.ts";
import { defineMatch, type Match, type MatchExtension } from "../tables/extension.ts";
import { type Range, range } from "../tables/kinds.ts";

const MSS_LENGTH = 4;

/** No such option; a header that is not whole. */
const NONE = -1, CUT = -2;

/** The MSS that a segment announces, else a negative number. */
export function announcedMss(p: Packet): number {
  const { view, l4 } = p;
  const length = l4 + TCP_HEADER <= p.length ? tcpHeaderLength(p) : 0, end = l4 + length;
  if (length < TCP_HEADER || end > p.length) return CUT;
  for (let at = l4 + TCP_HEADER; at < end;) {
    const kind = view.getUint8(at);
    if (kind === TCPOPT_MSS && at + MSS_LENGTH <= end && view.getUint8(at + 1) === MSS_LENGTH) {
      return view.getUint16(at + 2);
    }
    at += kind < 2 || at + 1 >= end ? 1 : view.getUint8(at + 1) || 1;
  }
  return NONE;
}

class TcpmssMatch implements Match {
  readonly #min: number;
  readonly #max: number;
  readonly #invert: boolean;

  constructor({ min, max }: Range, invert: boolean) {
    this.#min = min;
    this.#max = max;
    this.#invert = invert;
  }

  match(p: Packet): boolean {
    const mss = announcedMss(p);
    if (mss === CUT) {
      p.hotdrop = true;
      return false;
    }
    return (mss !== NONE && mss >= this.#min && mss <= this.#max) !== this.#invert;
  }
}

/** An MSS or a range of them; a segment that announces none fits the negation. */
export const tcpmss: MatchExtension = defineMatch<{ mss: Range }>({
  name: "tcpmss",
  protocols: [TCP],
  options: { mss: { flag: "mss", kind: range(0xffff), negatable: true } },
  required: ["mss"],
  create: (o) => new TcpmssMatch(o.mss!.value, o.mss!.invert),
});
