/**
 * Tells a logging daemon of the packet (iptables -j NFLOG; xt_NFLOG). Weir has no netlink for daemons: it writes the line
 * that LOG would write.
 */
import { CONTINUE, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { defineTarget, type Target, type TargetExtension } from "../tables/extension.ts";
import { text, uint } from "../tables/kinds.ts";
import type { Services } from "../tables/services.ts";
import { type LogFlags, logLine } from "./log_line.ts";

interface NflogOptions {
  nflogPrefix: string;
  nflogGroup: number;
  nflogSize: number;
  nflogThreshold: number;
}

const FLAGS: LogFlags = { tcpSequence: false, tcpOptions: false, ipOptions: false };
const INFO = 6;

class NflogTarget implements Target {
  readonly #services: Services;
  readonly #prefix: string;

  constructor(services: Services, prefix: string) {
    this.#services = services;
    this.#prefix = prefix;
  }

  target(p: Packet): Verdict {
    const { interfaces } = this.#services;
    const into = interfaces.name(p.inInterface), out = interfaces.name(p.outInterface);
    this.#services.log(logLine(p, this.#prefix, into, out, FLAGS), INFO);
    return CONTINUE;
  }
}

/** A line with the prefix. Group, size and threshold are for daemons, and kept for the sake of the text. */
export const NFLOG: TargetExtension = defineTarget<NflogOptions>({
  name: "NFLOG",
  options: {
    nflogPrefix: { flag: "nflog-prefix", kind: text(1, 63) },
    nflogGroup: { flag: "nflog-group", kind: uint(0, 0xffff) },
    nflogSize: { flag: "nflog-size", kind: uint(0, 0xffffffff) },
    nflogThreshold: { flag: "nflog-threshold", kind: uint(0, 0xffff) },
  },
  finish(o) {
    const { nflogGroup, ...rest } = o;
    return nflogGroup === undefined || nflogGroup.value === 0 ? rest : o;
  },
  create: (o, c) => new NflogTarget(c.services, o.nflogPrefix?.value ?? ""),
});
