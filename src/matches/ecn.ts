/** Explicit congestion notification, in the IP header and in TCP's (iptables -m ecn; xt_ecn). */
import { TCP } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { CWR, ECE, TCP_FLAGS, TCP_HEADER } from "../packet/tcp.ts";
import { dsField } from "../tables/dsfield.ts";
import {
  defineMatch,
  type Match,
  type MatchExtension,
  OptionError,
  type Options,
} from "../tables/extension.ts";
import { flag, uint } from "../tables/kinds.ts";

interface EcnOptions {
  ecnTcpEce: true;
  ecnTcpCwr: true;
  ecnIpEct: number;
}

class EcnMatch implements Match {
  readonly pure = true;
  readonly judges = "packet";
  /** TCP's bits that are asked for, and those of them that must be set. */
  readonly #asked: number;
  readonly #set: number;
  /** -1: the IP header does not matter. */
  readonly #ect: number;
  readonly #ectInvert: boolean;

  constructor({ ecnTcpEce: ece, ecnTcpCwr: cwr, ecnIpEct: ect }: Options<EcnOptions>) {
    this.#asked = (ece === undefined ? 0 : ECE) | (cwr === undefined ? 0 : CWR);
    this.#set = (ece?.invert === false ? ECE : 0) | (cwr?.invert === false ? CWR : 0);
    this.#ect = ect?.value ?? -1;
    this.#ectInvert = ect?.invert ?? false;
  }

  match(p: Packet): boolean {
    if (this.#ect >= 0 && ((dsField(p) & 3) === this.#ect) === this.#ectInvert) return false;
    if (this.#asked === 0) return true;
    // Of later fragments Linux takes for TCP's header what stands there, in IPv6 at the packet's beginning.
    const at = p.family === 6 && p.fragmentOffset !== 0 ? 0 : p.l4;
    return at + TCP_HEADER <= p.length && (p.view.getUint8(at + TCP_FLAGS) & this.#asked) === this.#set;
  }
}

/** Congestion that was told of (ECE), that was heard of (CWR), and the code point of the IP header. */
export const ecn: MatchExtension = defineMatch<EcnOptions>({
  name: "ecn",
  options: {
    ecnTcpEce: { flag: "ecn-tcp-ece", kind: flag, negatable: true },
    ecnTcpCwr: { flag: "ecn-tcp-cwr", kind: flag, negatable: true },
    ecnIpEct: { flag: "ecn-ip-ect", kind: uint(0, 3), negatable: true },
  },
  required: ["ecnTcpEce", "ecnTcpCwr", "ecnIpEct"],
  finish(o, c) {
    if ((o.ecnTcpEce ?? o.ecnTcpCwr) !== undefined && c.protocol !== TCP) {
      throw new OptionError("ecn needs the protocol tcp for bits of TCP's header");
    }
    return o;
  },
  create: (o) => new EcnMatch(o),
});
