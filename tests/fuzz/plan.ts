/**
 * A whole scenario: rules for both families, knobs, and conversations that run at the same time.
 *
 * @module
 */
import { Chance } from "./chance.ts";
import { KINDS, NUMBERS } from "./conversations.ts";
import { mutate } from "./mutate.ts";
import type { InterfaceName } from "./net.ts";
import { makeRules } from "./rules.ts";
import type { Step } from "./steps.ts";

/** What is put to both sides. */
export interface Plan {
  mtu: Partial<Record<InterfaceName, number>>;
  iptables: string;
  ip6tables: string;
  sysctl: Record<string, number>;
  steps: Step[];
  /** Devices offload: they leave checksums unfinished, and hand over several segments as one. */
  offload?: boolean;
  /** IPv4 rules that only Linux gets: a lie, to test those who look for differences. */
  onlyLinux?: string;
}

/** How a plan is to be. */
export interface PlanOptions {
  seed: number;
  packets: number;
  /** Only conversations of this kind. */
  only?: string;
  /** Without mutations. */
  valid?: boolean;
  /** Devices offload; of every fourth plan unless it is said. */
  offload?: boolean;
}

/** Knobs that both sides get: without them the kernel would say no more than so many errors in a second. */
const ALWAYS = { "net.ipv4.icmp_msgs_per_sec": 1000000, "net.ipv4.icmp_msgs_burst": 1000000 };

/** Makes a plan. The same options make the same plan. */
export function makePlan(o: PlanOptions): Plan {
  const c = new Chance(o.seed);
  const rules = c.fork(), knobs = c.fork(), offload = o.offload ?? c.is(0.25);
  const talks = c.fork(offload), order = c.fork(), devices = c.fork();
  const iptables = makeRules(rules.fork(), 4), ip6tables = makeRules(rules.fork(), 6);
  const sysctl: Record<string, number> = { ...ALWAYS };
  const flip = (name: string, value: number, p = 0.1) => {
    if (knobs.is(p)) sysctl[name] = value;
  };
  flip("net.netfilter.nf_conntrack_tcp_loose", 0);
  flip("net.netfilter.nf_conntrack_tcp_be_liberal", 1);
  flip("net.netfilter.nf_conntrack_tcp_ignore_invalid_rst", 1);
  flip("net.netfilter.nf_conntrack_tcp_max_retrans", 1);
  flip("net.netfilter.nf_conntrack_checksum", 0);
  flip("net.netfilter.nf_conntrack_acct", 1, 0.2);
  flip("net.ipv4.icmp_echo_ignore_all", 1, 0.03);
  const mtu: Partial<Record<InterfaceName, number>> = {};
  if (knobs.is(0.2)) mtu.wan = 1280;
  if (knobs.is(0.1)) mtu.dmz = 1400;
  if (knobs.is(0.1)) mtu.lan = 9000;

  const choices = Object.entries(KINDS).filter(([kind]) => o.only === undefined || kind === o.only);
  if (choices.length === 0) {
    throw new RangeError(
      `no kind of conversation called ${o.only}; there are ${Object.keys(KINDS).join(", ")}`,
    );
  }
  const weighted = choices.map(([kind, [weight]]) => [weight, kind] as const);
  const running: Step[][] = [];
  const steps: Step[] = [];
  let number = 0;
  // Several conversations go on at once; each turn says a few packets of one of them.
  while (steps.length < o.packets) {
    while (running.length < 6) {
      const one = talks.fork();
      let talk = KINDS[one.weighted(weighted)][1](one, number, one.is(0.6) ? 4 : 6);
      number += NUMBERS;
      if (!o.valid && one.is(0.4)) talk = mutate(one, talk, one.between(1, 5));
      if (talk.length > 0) running.push(talk);
    }
    const i = order.below(running.length);
    steps.push(...running[i].splice(0, order.between(1, 6)));
    if (running[i].length === 0) running.splice(i, 1);
  }
  if (!offload) return { mtu, iptables, ip6tables, sysctl, steps };
  // A copy each: what is said twice is one step.
  const handed = steps.map((step): Step =>
    devices.is(0.9)
      ? { ...step, burst: devices.weighted([[3, 0], [3, 1448], [2, devices.between(8, 600)]]) }
      : step
  );
  return { mtu, iptables, ip6tables, sysctl, steps: handed, offload: true };
}
