/**
 * Matches and targets that iptables has and Weir has not, with the reason or what to write instead: who reads it has a
 * rule that has worked for years, and no use for a list of names.
 *
 * @module
 */

const FUNCTION = "a function can judge such packets: match: (p) => …";

/** What to say of a match; "" where there is nothing but that it is missing. */
const MATCHES: Readonly<Record<string, string>> = {
  bpf: FUNCTION,
  cgroup: "Weir does not know which program a packet belongs to",
  cluster: "",
  cpu: "workers: 2 spreads packets by itself",
  dccp: "",
  devgroup: "name the interfaces, or a pattern such as eth+",
  eui64: "TUN devices have no Ethernet addresses",
  ipcomp: "",
  ipvs: "Weir has no virtual servers",
  l2tp: "",
  mh: FUNCTION,
  nfacct: "the rule's own counters count the same: weir rules, weir metrics",
  osf: "",
  rateest: "",
  realm: "routes of Weir have no realms; ask for the destination",
  socket: "Weir does not see the sockets of programs",
  srh: FUNCTION,
  unclean: "",
};

/** The same of a target. */
const TARGETS: Readonly<Record<string, string>> = {
  AUDIT: "LOG writes a line",
  CLUSTERIP: "",
  CONNSECMARK: "Weir has no SELinux",
  FLOWOFFLOAD: "established flows go Weir's fast path anyway; leave the rule out",
  FULLCONENAT: 'MASQUERADE with profile: "rfc" does that',
  HMARK: "",
  IDLETIMER: "",
  LED: "",
  NFQUEUE: "nothing queues to user space; a function can judge packets: match: (p) => …",
  QUEUE: "nothing queues to user space; a function can judge packets: match: (p) => …",
  RATEEST: "",
  SECMARK: "Weir has no SELinux",
  SYNPROXY: "",
  TCPOPTSTRIP: "",
  TEE: "",
  TPROXY: "REDIRECT or DNAT can lead to a proxy",
  TRACE: "weir explain tells the way of a packet",
  ULOG: "LOG writes a line",
};

function say(kind: "match" | "target", name: string, hint: string): string {
  return `iptables has ${kind} ${JSON.stringify(name)}, Weir has not${hint === "" ? "" : `; ${hint}`}`;
}

/** What to say of a match that Weir has not; null when iptables has none of that name either. */
export function unsupportedMatch(name: string): string | null {
  return Object.hasOwn(MATCHES, name) ? say("match", name, MATCHES[name]) : null;
}

/** The same of a target. */
export function unsupportedTarget(name: string): string | null {
  return Object.hasOwn(TARGETS, name) ? say("target", name, TARGETS[name]) : null;
}
