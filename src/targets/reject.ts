/** Refuses a packet and tells its sender (iptables -j REJECT; ipt_REJECT, ip6t_REJECT). */
import { type Family, FORWARD, INPUT, OUTPUT, Reason, TCP, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import {
  defineTarget,
  type Kind,
  OptionError,
  type Target,
  type TargetExtension,
} from "../tables/extension.ts";
import { show } from "../tables/kinds.ts";
import { REJECT_TCP_RESET, type Services } from "../tables/services.ts";

type Answer = readonly [name: string, alias: string, how: number];

/** In the order in which iptables looks through them: the first that begins as asked is meant. */
const ANSWERS: Readonly<Record<Family, readonly Answer[]>> = {
  4: [
    ["icmp-net-unreachable", "net-unreach", 0],
    ["icmp-host-unreachable", "host-unreach", 1],
    ["icmp-proto-unreachable", "proto-unreach", 2],
    ["icmp-port-unreachable", "port-unreach", 3],
    ["icmp-net-prohibited", "net-prohib", 9],
    ["icmp-host-prohibited", "host-prohib", 10],
    ["tcp-reset", "tcp-rst", REJECT_TCP_RESET],
    ["icmp-admin-prohibited", "admin-prohib", 13],
  ],
  6: [
    ["icmp6-no-route", "no-route", 0],
    ["icmp6-adm-prohibited", "adm-prohibited", 1],
    ["icmp6-addr-unreachable", "addr-unreach", 3],
    ["icmp6-port-unreachable", "port-unreach", 4],
    ["tcp-reset", "tcp-reset", REJECT_TCP_RESET],
    ["icmp6-policy-fail", "policy-fail", 5],
    ["icmp6-reject-route", "reject-route", 6],
  ],
};

/** Port unreachable. */
const DEFAULT: Readonly<Record<Family, number>> = { 4: 3, 6: 4 };

function find(family: Family, input: unknown): Answer | undefined {
  const wanted = String(input).toLowerCase();
  return wanted === "" || typeof input !== "string"
    ? undefined
    : ANSWERS[family].find(([name, alias]) => name.startsWith(wanted) || alias.startsWith(wanted));
}

const rejectWith: Kind<number> = {
  words: 1,
  expects: 'an answer such as "icmp-port-unreachable", "icmp6-port-unreachable" or "tcp-reset"',
  read(input, c) {
    const found = find(c.family, input);
    if (found === undefined) {
      const names = ANSWERS[c.family].map((a) => a[0]).join(", ");
      throw new OptionError(`${show(input)} is not an answer that IPv${c.family} has; write one of ${names}`);
    }
    return found[2];
  },
  print: (how, c) => ANSWERS[c.family].find((a) => a[2] === how)![0],
  family(input) {
    const v4 = find(4, input), v6 = find(6, input);
    return v4 !== undefined && v6 === undefined ? 4 : v6 !== undefined && v4 === undefined ? 6 : 0;
  },
};

class RejectTarget implements Target {
  readonly #services: Services;
  readonly #how: number;

  constructor(services: Services, how: number) {
    this.#services = services;
    this.#how = how;
  }

  target(p: Packet): Verdict {
    this.#services.reject(p, this.#how);
    return p.drop(Reason["rule-reject"]);
  }
}

/** Drops the packet after an ICMP error or TCP reset to its sender. */
export const REJECT: TargetExtension = defineTarget<{ rejectWith: number }>({
  name: "REJECT",
  tables: ["filter"],
  hooks: (1 << INPUT) | (1 << FORWARD) | (1 << OUTPUT),
  options: { rejectWith: { flag: "reject-with", kind: rejectWith } },
  finish(o, c) {
    const how = o.rejectWith?.value ?? DEFAULT[c.family];
    if (how === REJECT_TCP_RESET && c.protocol !== TCP) {
      throw new OptionError('tcp-reset answers TCP only; add protocol: "tcp" to the rule');
    }
    return { rejectWith: { value: how, invert: false } };
  },
  create: (o, c) => new RejectTarget(c.services, o.rejectWith!.value),
});
