/**
 * A question that both Linux and Weir can answer: interfaces, rules, and packets that come in one after the other.
 *
 * A scenario is data, but for packets that depend on what came out before (an answer to a port that was chosen at
 * random): those are functions of the packets seen so far.
 *
 * @module
 */
import type { SetConfig } from "../../src/config/types.ts";

/** An interface of the router. The other end is the scenario itself. */
export interface Interface {
  /** With prefix length; IPv4 and IPv6. */
  addresses: readonly string[];
  mtu?: number;
}

/** What came out of the router. */
export interface Emitted {
  iface: string;
  bytes: Uint8Array;
  /** What stood in front of it, where devices offload: struct virtio_net_hdr. */
  vnet?: Uint8Array;
  /** Index of the step that caused it. */
  step: number;
}

/** One thing that happens. */
export type Step =
  /** A packet arrives. */
  | {
    do: "packet";
    iface: string;
    bytes: Uint8Array | ((seen: readonly Emitted[]) => Uint8Array);
    /** What stands in front of it, where devices offload; zeros when left out. */
    vnet?: Uint8Array;
  }
  /** Time passes: really for the kernel, virtually for Weir. */
  | { do: "wait"; milliseconds: number }
  /** Rules are replaced, as by iptables-restore. */
  | { do: "rules"; iptables?: string; ip6tables?: string }
  /** `conntrack -D …` with these arguments. */
  | { do: "delete"; arguments: readonly string[] }
  | { do: "sysctl"; values: Readonly<Record<string, number>> }
  /** The tables are written down under a name, as they stand now. */
  | { do: "dump"; name: string };

/** A question. */
export interface Scenario {
  interfaces: Readonly<Record<string, Interface>>;
  routes?: readonly { destination: string; interface: string; via?: string }[];
  /** iptables-restore text. */
  iptables?: string;
  /** ip6tables-restore text. */
  ip6tables?: string;
  sysctl?: Readonly<Record<string, number>>;
  /** Sets of addresses; for Linux of one family each. */
  sets?: Readonly<Record<string, SetConfig>>;
  /** Sets as `ipset restore` reads them; dumps then have them as well. */
  ipset?: string;
  /** Arguments of each `conntrack -E` that listens from before the first rule to the end. */
  listeners?: readonly (readonly string[])[];
  /** Devices have a virtio-net header in front of each packet, and take whatever can be offloaded. */
  offload?: boolean;
  steps: readonly Step[];
}

/** The tables at one moment. */
export interface Dump {
  name: string;
  /** Lines of `conntrack -L`. */
  conntrack: string[];
  /** Lines of `conntrack -L expect`. */
  expect: string[];
  /** Text of `iptables-save -c` without comments. */
  iptables: string;
  /** Text of `ip6tables-save -c` without comments. */
  ip6tables: string;
  /** Text of `ipset save`, when the scenario has such a text. */
  ipset?: string;
}

/** What one side says. The last dump is called "end". */
export interface Answer {
  emitted: Emitted[];
  dumps: Dump[];
  /** Lines of each listener. */
  events?: string[][];
}

/** The dump of a name, "end" when none is given. */
export function dumpOf(answer: Answer, name = "end"): Dump {
  const dump = answer.dumps.find((d) => d.name === name);
  if (dump === undefined) throw new Error(`no dump called ${name}`);
  return dump;
}

/** A packet step. */
export function packet(iface: string, bytes: Uint8Array | ((seen: readonly Emitted[]) => Uint8Array)): Step {
  return { do: "packet", iface, bytes };
}

/** A step in which time passes. */
export function wait(milliseconds: number): Step {
  return { do: "wait", milliseconds };
}

/** A step that writes the tables down. */
export function dump(name: string): Step {
  return { do: "dump", name };
}

/** The default sysctls of both sides: no reverse path filter, no redirects, no limit on ICMP errors. */
export const SCENARIO_SYSCTLS: Readonly<Record<string, number>> = {
  "net.ipv4.icmp_ratelimit": 0,
  "net.ipv4.icmp_ratemask": 0,
  "net.ipv4.icmp_msgs_per_sec": 1000000,
  "net.ipv4.icmp_msgs_burst": 1000000,
  "net.ipv6.icmp.ratelimit": 0,
  "net.ipv4.conf.all.send_redirects": 0,
};

/** Lines of a dump or rules text without comments and empty ones. */
export function lines(text: string): string[] {
  return text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
}
