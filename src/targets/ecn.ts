/** Takes explicit congestion notification out of a connection's opening, or sets its bits (iptables -j ECN; ipt_ECN). */
import { CONTINUE, Reason, TCP, type Verdict } from "../netfilter.ts";
import { replaceInTransport } from "../packet/checksum.ts";
import { setTos, tos } from "../packet/ipv4.ts";
import type { Packet } from "../packet/packet.ts";
import { CWR, ECE, TCP_CHECKSUM, TCP_HEADER, TCP_OFFSET } from "../packet/tcp.ts";
import {
  defineTarget,
  OptionError,
  type Options,
  type Target,
  type TargetExtension,
} from "../tables/extension.ts";
import { flag, uint } from "../tables/kinds.ts";

interface EcnOptions {
  ecnTcpRemove: true;
  setTcpEce: number;
  setTcpCwr: number;
  setIpEct: number;
}

class EcnTarget implements Target {
  /** TCP's bits that are changed, and what they become. */
  readonly #mask: number;
  readonly #bits: number;
  /** -1: the IP header stays. */
  readonly #ect: number;

  constructor({ ecnTcpRemove: remove, setTcpEce: ece, setTcpCwr: cwr, setIpEct: ect }: Options<EcnOptions>) {
    this.#mask = remove ? ECE | CWR : (ece ? ECE : 0) | (cwr ? CWR : 0);
    this.#bits = (ece?.value ? ECE : 0) | (cwr?.value ? CWR : 0);
    this.#ect = ect?.value ?? -1;
  }

  target(p: Packet): Verdict {
    if (this.#ect >= 0) {
      const old = tos(p), changed = (old & ~3) | this.#ect;
      if (changed !== old) setTos(p, changed);
    }
    return this.#mask === 0 || p.protocol !== TCP ? CONTINUE : this.#changeTcp(p);
  }

  #changeTcp(p: Packet): Verdict {
    const { view, l4 } = p;
    if (l4 + TCP_HEADER > p.length) return p.drop(Reason["rule-drop"]);
    const old = view.getUint16(l4 + TCP_OFFSET), changed = (old & ~this.#mask) | this.#bits;
    if (changed === old) return CONTINUE;
    p.drawTogether(l4 + TCP_HEADER);
    view.setUint16(l4 + TCP_OFFSET, changed);
    replaceInTransport(p, l4 + TCP_CHECKSUM, old, changed, false);
    return CONTINUE;
  }
}

/** For servers and paths that cannot bear it. */
export const ECN: TargetExtension = defineTarget<EcnOptions>({
  name: "ECN",
  families: [4],
  tables: ["mangle"],
  options: {
    ecnTcpRemove: { flag: "ecn-tcp-remove", kind: flag },
    setTcpEce: { flag: "ecn-tcp-ece", kind: uint(0, 1) },
    setTcpCwr: { flag: "ecn-tcp-cwr", kind: uint(0, 1) },
    setIpEct: { flag: "ecn-ip-ect", kind: uint(0, 3) },
  },
  required: ["ecnTcpRemove", "setTcpEce", "setTcpCwr", "setIpEct"],
  finish(o, c) {
    const { setIpEct, ecnTcpRemove, ...bits } = o;
    if (ecnTcpRemove !== undefined && Object.keys(o).length > 1) {
      throw new OptionError("ecnTcpRemove is all that such a rule does; write another rule for the rest");
    }
    if ((ecnTcpRemove !== undefined || Object.keys(bits).length > 0) && c.protocol !== TCP) {
      throw new OptionError("ECN needs the protocol tcp for bits of TCP's header");
    }
    // What both are without is what iptables-save calls it.
    return bits.setTcpEce?.value === 0 && bits.setTcpCwr?.value === 0 && setIpEct === undefined
      ? { ecnTcpRemove: { value: true, invert: false } }
      : o;
  },
  create: (o) => new EcnTarget(o),
});
