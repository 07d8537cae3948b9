/** The maximum segment size that a TCP segment announces (iptables -m tcpmss; xt_tcpmss). */
import { TCP } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { mssOption, TCP_HEADER, tcpHeaderLength } from "../packet/tcp.ts";
import { defineMatch, type Match, type MatchExtension } from "../tables/extension.ts";
import { type Range, range } from "../tables/kinds.ts";

/** No such option; a header that is not whole. */
const NONE = -1, CUT = -2;

/** The MSS that a segment announces, else a negative number. Like Linux, it takes a later fragment for a segment. */
export function announcedMss(p: Packet): number {
  const rest = p.length - p.l4, length = rest < TCP_HEADER ? 0 : tcpHeaderLength(p);
  if (length < TCP_HEADER || length > rest) return CUT;
  const at = mssOption(p);
  return at < 0 ? NONE : p.view.getUint16(at + 2);
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
