/** Writes a line about the packet and goes on (iptables -j LOG; xt_LOG). */
import { CONTINUE, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import {
  defineTarget,
  type Kind,
  type Options,
  printOptions,
  type Target,
  type TargetExtension,
} from "../tables/extension.ts";
import { flag, refuse, text, wholeNumber } from "../tables/kinds.ts";
import type { Services } from "../tables/services.ts";
import { type LogFlags, logLine } from "./log_line.ts";

const LEVELS: Readonly<Record<string, number>> = {
  emerg: 0,
  panic: 0,
  alert: 1,
  crit: 2,
  error: 3,
  warning: 4,
  notice: 5,
  info: 6,
  debug: 7,
};
const WARNING = 4;

const level: Kind<number> = {
  words: 1,
  expects: `a syslog level from 0 to 7 or one of ${Object.keys(LEVELS).join(", ")}`,
  read(input) {
    if (typeof input === "string" && Object.hasOwn(LEVELS, input)) return LEVELS[input];
    return wholeNumber(input, 0, 7) ?? refuse(input, this.expects);
  },
  print: String,
};

interface LogOptions {
  logPrefix: string;
  logLevel: number;
  logTcpSequence: true;
  logTcpOptions: true;
  logIpOptions: true;
  logUid: true;
  logMacdecode: true;
}

class LogTarget implements Target {
  readonly #services: Services;
  readonly #prefix: string;
  readonly #level: number;
  readonly #flags: LogFlags;

  constructor(services: Services, o: Options<LogOptions>) {
    this.#services = services;
    this.#prefix = o.logPrefix?.value ?? "";
    this.#level = o.logLevel?.value ?? WARNING;
    this.#flags = {
      tcpSequence: o.logTcpSequence !== undefined,
      tcpOptions: o.logTcpOptions !== undefined,
      ipOptions: o.logIpOptions !== undefined,
    };
  }

  target(p: Packet): Verdict {
    const { interfaces } = this.#services;
    const line = logLine(
      p,
      this.#prefix,
      interfaces.name(p.inInterface),
      interfaces.name(p.outInterface),
      this.#flags,
    );
    this.#services.log(line, this.#level);
    return CONTINUE;
  }
}

/** One line in the kernel's format. */
export const LOG: TargetExtension = defineTarget<LogOptions>({
  name: "LOG",
  options: {
    logPrefix: { flag: "log-prefix", kind: text(1, 29) },
    logLevel: { flag: "log-level", kind: level },
    logTcpSequence: { flag: "log-tcp-sequence", kind: flag },
    logTcpOptions: { flag: "log-tcp-options", kind: flag },
    logIpOptions: { flag: "log-ip-options", kind: flag },
    logUid: { flag: "log-uid", kind: flag },
    logMacdecode: { flag: "log-macdecode", kind: flag },
  },
  save(o, c) {
    const { logLevel, ...rest } = o;
    return printOptions(LOG, logLevel?.value === WARNING ? rest : o, c);
  },
  create: (o, c) => new LogTarget(c.services, o),
});
