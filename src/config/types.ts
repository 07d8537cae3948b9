/**
 * What a user writes: the argument of `defineRouter`.
 *
 * Names, units and meanings are those of Linux: interfaces and routes as `ip` has them, rule options by iptables'
 * long names in camelCase, knobs by their sysctl names. Every mistake is reported at load, all at once, each with its
 * place (`tables.filter.FORWARD.rules[3].dport`) and what to write instead; see `ConfigError`.
 *
 * @module
 */
import type { ConntrackHelper } from "../conntrack/helper.ts";
import type { Profile } from "./profile.ts";
import type { RuleMap } from "./rule_map.ts";
import type { RuleConfig, TimeoutConfig } from "./rule_types.ts";

export type { Profile } from "./profile.ts";
export type { Negatable, PortConfig, RuleConfig, TimeoutConfig } from "./rule_types.ts";

/** A router. */
export interface RouterConfig {
  /**
   * The interfaces, by the names that routes and rules use. At least one. A name is what Linux would accept for a
   * device: 1 to 15 characters, no blank, no slash.
   */
  interfaces: Readonly<Record<string, InterfaceConfig>>;
  /**
   * A device in the router's own namespace that carries Weir's addresses, so that ordinary programs can listen on
   * them and send from them (INPUT and OUTPUT). Without it Weir answers for its addresses as an empty Linux would.
   */
  host?: HostConfig;
  /** Routes beside the connected ones, which follow from the interfaces' addresses. The longest prefix wins. */
  routes?: readonly RouteConfig[];
  /** Rules as TypeScript objects. */
  tables?: TablesConfig;
  /**
   * IPv4 rules as iptables-restore reads them. A table may come from here or from `tables`, not from both. `-i` and
   * `-o` name interfaces by their keys in `interfaces`.
   */
  iptables?: string;
  /** IPv6 rules as ip6tables-restore reads them. */
  ip6tables?: string;
  /**
   * Sets by name, as ipset has them, for `matchSet: "blocked src"` and `-m set --match-set blocked src`. Any number of
   * members costs a packet one lookup, networks one for each prefix length.
   */
  sets?: Readonly<Record<string, SetConfig>>;
  /**
   * Sets as `ipset restore` reads them: what `ipset save` printed, `create …` and `add …`. A set may come from here or
   * from `sets`, not from both. Timeouts begin when the router does.
   */
  ipset?: string;
  /** Conntrack helpers, made by their factories: `[ftp(), tftp({ ports: [69] })]`. */
  helpers?: readonly ConntrackHelper[];
  /**
   * Timeout policies by the names that rules call them (`--timeout NAME`, `timeout: "NAME"`), as `nfct add timeout` makes
   * them: `{ web: { protocol: "tcp", established: 3600 } }`.
   */
  timeouts?: Readonly<Record<string, TimeoutPolicyConfig>>;
  /**
   * Where the knobs stand that `sysctl` does not name: `"linux"` (default) as in Linux, `"rfc"` as RFC 4787, 5382 and
   * 5508 want them: endpoint-independent mappings, longer timeouts.
   */
  profile?: Profile;
  /**
   * Threads that route, 1 by default; up to 64. Each has a queue of every device, all share one state. More than one is
   * for machines where one core is not enough. Functions of yours (matches, helpers) run in all of them, each with its
   * own copy of your module's variables.
   */
  workers?: number;
  /** Linux's knobs by their names and in their units: `{ "net.netfilter.nf_conntrack_tcp_loose": 0 }`. */
  sysctl?: Readonly<Record<string, number>>;
}

/** One interface: a TUN device. */
export interface InterfaceConfig {
  /** Device name, when it is not the key. 1 to 15 characters. */
  device?: string;
  /** Weir's own addresses there, each with its prefix length: `"192.0.2.1/24"`, `"2001:db8:1::1/64"`. */
  addresses?: readonly string[];
  /** Largest packet in bytes, 68 to 65535; 1280 at least when the interface has an IPv6 address. 1500 by default. */
  mtu?: number;
  /** False: do not offer offloads to the device (checksums, segmentation); true by default. */
  offload?: boolean;
  /** The other side of the device, when Weir is to set it up: a network namespace and what it gets. */
  peer?: PeerConfig;
}

/** The namespace's side of an interface. */
export interface PeerConfig {
  /** Name of a network namespace, as in `ip netns`. It has to be there at the start, and may go and come later. */
  netns: string;
  /** Addresses of the device there, with prefix lengths. */
  addresses?: readonly string[];
  /** Routes through the device there: destinations with prefix lengths, or `"default"` for all. */
  routes?: readonly string[];
}

/** The device that carries Weir's own addresses. */
export interface HostConfig {
  /** Device name. 1 to 15 characters. */
  device: string;
  /** Network namespace that it lives in; the one Weir runs in by default. */
  netns?: string;
}

/** A route. */
export interface RouteConfig {
  /** Destination with prefix length, one address, or `"default"` (of the family of `via`, else of both). */
  destination: string;
  /** Key of the interface it leaves by. Unicast routes need it, or a `via` in a connected network. */
  interface?: string;
  /** Next hop, of the destination's family. On TUN devices it is only a name for the neighbour; MASQUERADE asks it. */
  via?: string;
  /** Of several routes of one prefix the lowest wins; 0 for IPv4 and 1024 for IPv6 by default. */
  metric?: number;
  /** What happens to packets: `"unicast"` by default; the others refuse them, silently or with an ICMP error. */
  type?: "unicast" | "blackhole" | "unreachable" | "prohibit";
  /** Source of Weir's own packets by this route; one of its own addresses. */
  source?: string;
}

/** Seconds by state for the flows of rules that name the policy; what is not given keeps its sysctl's value. */
export interface TimeoutPolicyConfig extends TimeoutConfig {
  /** The protocol that has these states; `"generic"` for those that have none of their own. */
  protocol: "tcp" | "udp" | "udplite" | "icmp" | "icmpv6" | "sctp" | "gre" | "generic";
  /** Only rules of this family may name it, as in Linux, where each policy is for one; both by default. */
  family?: 4 | 6;
}

/** A set; options are ipset's (see ipset(8)), and so are their meanings. */
export interface SetConfig {
  /**
   * What its members are: addresses (`ip`), networks (`net`), a protocol with its port, interfaces, packet marks; a
   * range's addresses or ports; other sets.
   */
  type:
    | "hash:ip"
    | "hash:net"
    | "hash:ip,port"
    | "hash:net,port"
    | "hash:ip,port,ip"
    | "hash:ip,port,net"
    | "hash:net,net"
    | "hash:net,port,net"
    | "hash:net,iface"
    | "hash:ip,mark"
    | "bitmap:ip"
    | "bitmap:port"
    | "list:set";
  /**
   * Members, each as behind `ipset add NAME`: `"192.0.2.7"`, `"198.51.100.0/24 nomatch"`, `"192.0.2.7,tcp:443 timeout 60"`,
   * `"2001:db8::/32,lan"`. Those of a list are names of sets.
   */
  entries: readonly string[];
  /**
   * Family of its addresses. Without it a set of `sets` takes both, and a rule looks at those of its packet's family; with
   * a mask it is `"inet"`.
   */
  family?: "inet" | "inet6";
  /** Seconds that a member stays when it says nothing else, 0 for ever; up to 2147483. Without it members have no end. */
  timeout?: number;
  /** Members count packets and bytes. */
  counters?: boolean;
  /** Members can have comments. */
  comment?: boolean;
  /** Members can have a mark, a priority and a queue, for `mapSet`. Priority and queue mean nothing to Weir. */
  skbinfo?: boolean;
  /** Most members; 65536 by default, or as many as there are entries. */
  maxelem?: number;
  /** A new member of a full set takes the place of another. */
  forceadd?: boolean;
  /** Addresses are looked at as networks of this prefix length: hash:ip, hash:ip,port, hash:net,net, bitmap:ip. */
  netmask?: number | string;
  /** The same with any mask, written as an address; not for bitmap:ip. */
  bitmask?: string;
  /** hash:ip,mark: bits of the mark that are looked at. */
  markmask?: number | string;
  /** bitmap:ip, bitmap:port: the members that there can be, `"192.0.2.0/24"`, `"0-1024"`; 65536 at most. */
  range?: string;
  /** list:set: printed, and means nothing. */
  size?: number;
  /** Size of the kernel's table, its buckets and its seed: printed, and mean nothing to Weir. */
  hashsize?: number;
  bucketsize?: number;
  initval?: number | string;
}

/** A chain with a policy, or a user chain in its long form. */
export interface ChainConfig {
  /** What happens to packets that reach the end: built-in chains only. `"ACCEPT"` by default. */
  policy?: "ACCEPT" | "DROP";
  /** Rules, asked in order. */
  rules?: readonly (RuleConfig | RuleMap)[];
}

/** A table: chains by name. An array is short for `{ rules: [...] }`. Names that are not built in are user chains. */
export type TableConfig = Readonly<Record<string, ChainConfig | readonly (RuleConfig | RuleMap)[]>>;

/** The four tables. */
export interface TableSetConfig {
  /** Before connection tracking: PREROUTING, OUTPUT. NOTRACK and CT belong here. */
  raw?: TableConfig;
  /** Changes to packets: all five chains. */
  mangle?: TableConfig;
  /** Address translation, asked for the first packet of a flow only: PREROUTING, INPUT, OUTPUT, POSTROUTING. */
  nat?: TableConfig;
  /** Accept or refuse: INPUT, FORWARD, OUTPUT. */
  filter?: TableConfig;
}

/**
 * Rules by table. Those at the top hold for IPv4 and IPv6 alike; one that names an address or another thing of one
 * family (`protocol: "icmp"`, `rejectWith: "icmp6-no-route"`, `ttlSet`) is a rule of that family only. Rules under
 * `ipv4` and `ipv6` come after those at the top in the same chain, and their policy counts where both give one.
 */
export interface TablesConfig extends TableSetConfig {
  /** Rules for IPv4 only. */
  ipv4?: TableSetConfig;
  /** Rules for IPv6 only. */
  ipv6?: TableSetConfig;
}
