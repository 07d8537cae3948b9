/**
 * Matches and targets that iptables has and Weir has not, with the reason or what to write instead: who reads it has a
 * rule that has worked for years, and no use for a list of names. With their options, so that a rule can be read to
 * its end where it is to be left out (`weir import --leave-out`) and what else is wrong in it is still a mistake.
 *
 * @module
 */
import type { Extension, Kind, Option } from "../tables/extension.ts";

/** A match or target that Weir has not. */
export interface Unsupported extends Extension {
  readonly reason: string;
  /** A target that ends the packet's way, or hands it to somebody who may. */
  readonly stops: boolean;
}

const FUNCTION = "a function can judge such packets: match: (p) => …";
const QUEUES = `nothing queues to user space; ${FUNCTION}`;
const SELINUX = "Weir has no SELinux";

/**
 * What to say, "" where there is nothing but that it is missing; and the options: `=` in front of a value, `?` where it
 * may be absent, `!` where the option can be negated.
 */
type Row = readonly [hint: string, options: string];

/** Matches of iptables. */
const MATCHES: Readonly<Record<string, Row>> = {
  bpf: [FUNCTION, "bytecode= object-pinned="],
  cgroup: ["Weir does not know which program a packet belongs to", "!cgroup= !path="],
  cluster: ["", "cluster-total-nodes= !cluster-local-node= !cluster-local-nodemask= cluster-hash-seed="],
  cpu: ["workers: 2 spreads packets by itself", "!cpu="],
  dccp: [
    "",
    "!source-port= !sport= !destination-port= !dport= !dccp-types= !dccp-option=",
  ],
  devgroup: ["name the interfaces, or a pattern such as eth+", "!src-group= !dst-group="],
  eui64: ["TUN devices have no Ethernet addresses", ""],
  ipcomp: ["", "!ipcompspi= compres"],
  ipvs: ["Weir has no virtual servers", "!ipvs !vproto= !vaddr= !vport= vdir= !vmethod= !vportctl="],
  l2tp: ["", "tid= pid= sid= type="],
  mh: [FUNCTION, "!mh-type="],
  nfacct: ["the rule's own counters count the same: weir rules, weir metrics", "nfacct-name="],
  osf: ["", "!genre= ttl= log="],
  rateest: [
    "",
    "rateest= rateest1= rateest2= rateest-delta rateest-bps? rateest-bps1? rateest-bps2? rateest-pps? " +
    "rateest-pps1? rateest-pps2? !rateest-lt !rateest-gt !rateest-eq",
  ],
  realm: ["routes of Weir have no realms; ask for the destination", "!realm="],
  socket: ["Weir does not see the sockets of programs", "transparent nowildcard restore-skmark"],
  srh: [
    FUNCTION,
    "!srh-next-hdr= !srh-hdr-len-eq= !srh-hdr-len-gt= !srh-hdr-len-lt= !srh-segs-left-eq= " +
    "!srh-segs-left-gt= !srh-segs-left-lt= !srh-last-entry-eq= !srh-last-entry-gt= !srh-last-entry-lt= " +
    "!srh-tag= !srh-psid= !srh-nsid= !srh-lsid=",
  ],
  unclean: ["", ""],
};

/** Targets of iptables. */
const TARGETS: Readonly<Record<string, Row>> = {
  AUDIT: ["LOG writes a line", "type="],
  CLUSTERIP: ["", "new hashmode= clustermac= total-nodes= local-node= hash-init="],
  CONNSECMARK: [SELINUX, "save restore"],
  FLOWOFFLOAD: ["established flows go Weir's fast path anyway; leave the rule out", "hw"],
  FULLCONENAT: ['MASQUERADE with profile: "rfc" does that', "to-source= to-destination= to-ports= random"],
  HMARK: [
    "",
    "hmark-tuple= hmark-src-prefix= hmark-dst-prefix= hmark-sport-mask= hmark-dport-mask= hmark-spi-mask= " +
    "hmark-sport= hmark-dport= hmark-spi= hmark-proto-mask= hmark-rnd= hmark-mod= hmark-offset=",
  ],
  IDLETIMER: ["", "timeout= label= alarm"],
  LED: ["", "led-trigger-id= led-delay= led-always-blink"],
  NFQUEUE: [QUEUES, "queue-num= queue-balance= queue-bypass queue-cpu-fanout"],
  QUEUE: [QUEUES, ""],
  RATEEST: ["", "rateest-name= rateest-interval= rateest-ewmalog="],
  SECMARK: [SELINUX, "selctx="],
  SYNPROXY: ["", "sack-perm timestamp wscale= mss= ecn"],
  TCPOPTSTRIP: ["", "strip-options="],
  TEE: ["", "gateway= oif="],
  TPROXY: ["REDIRECT or DNAT can lead to a proxy", "on-port= on-ip= tproxy-mark="],
  TRACE: ["weir explain tells the way of a packet", ""],
  ULOG: ["LOG writes a line", "ulog-nlgroup= ulog-prefix= ulog-cprange= ulog-qthreshold="],
};

/** Matches of patch-o-matic and xtables-addons. */
const ADDED_MATCHES: Readonly<Record<string, Row>> = {
  condition: ["", "!condition="],
  geoip: [
    "the networks of a country can be a set: matchSet",
    "!src-cc= !source-country= !dst-cc= !destination-country=",
  ],
  ipp2p: [
    FUNCTION,
    "ipp2p edk dc gnu kazaa bit apple soul winmx ares mute waste xdcc debug",
  ],
  layer7: [FUNCTION, "!l7proto= l7dir="],
  psd: ["", "psd-weight-threshold= psd-delay-threshold= psd-lo-ports-weight= psd-hi-ports-weight="],
  quota2: ["quota has what Linux has", "!quota= name= grow packets no-change"],
};

/** Targets of patch-o-matic and xtables-addons. */
const ADDED_TARGETS: Readonly<Record<string, Row>> = {
  ACCOUNT: ["the rule's own counters count packets: weir rules, weir metrics", "addr= tname="],
  CHAOS: ["", "delude tarpit"],
  DELUDE: ["", ""],
  IMQ: ["Weir shapes no traffic", "todev="],
  TARPIT: ["", "tarpit honeypot reset"],
};

/** Targets behind which the packet goes on only if somebody else says so, or never. */
const STOPS = ["CHAOS", "DELUDE", "NFQUEUE", "QUEUE", "SYNPROXY", "TARPIT"];

const anything: Kind<string> = { words: 1, expects: "anything", read: String, print: String };
const nothing: Kind<string> = { ...anything, words: 0 };
/** A value that may be absent: nothing but the next word tells. */
export const PERHAPS: Kind<string> = { ...nothing };

function rows(
  kind: "match" | "target",
  who: string,
  table: Readonly<Record<string, Row>>,
): (readonly [string, Unsupported])[] {
  return Object.entries(table).map(([name, [hint, options]]) => [name, {
    name,
    reason: `${who} has ${kind} ${JSON.stringify(name)}, Weir has not${hint === "" ? "" : `; ${hint}`}`,
    stops: kind === "target" && STOPS.includes(name),
    options: Object.fromEntries(options.split(" ").filter((text) => text !== "").map(readOption)),
  }]);
}

function readOption(text: string): readonly [string, Option<unknown>] {
  const [, not, flag, value] = /^(!?)([a-z0-9-]+)([=?]?)$/.exec(text)!;
  const kind = value === "=" ? anything : value === "?" ? PERHAPS : nothing;
  return [flag, { flag, kind, negatable: not === "!" }];
}

const ADDED = "an add-on of iptables";
const UNSUPPORTED_MATCHES = new Map([
  ...rows("match", "iptables", MATCHES),
  ...rows("match", ADDED, ADDED_MATCHES),
]);
const UNSUPPORTED_TARGETS = new Map([
  ...rows("target", "iptables", TARGETS),
  ...rows("target", ADDED, ADDED_TARGETS),
]);

/** All of them. */
export const UNSUPPORTED: readonly Unsupported[] = [
  ...UNSUPPORTED_MATCHES.values(),
  ...UNSUPPORTED_TARGETS.values(),
];

/** A match that Weir has not; null when iptables has none of that name either. */
export function unsupportedMatch(name: string): Unsupported | null {
  return UNSUPPORTED_MATCHES.get(name) ?? null;
}

/** The same of a target. */
export function unsupportedTarget(name: string): Unsupported | null {
  return UNSUPPORTED_TARGETS.get(name) ?? null;
}
