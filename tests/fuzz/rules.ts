/**
 * Random rules as iptables-restore reads them. What a rule does matters as much as what it counts: every chain of the
 * mangle table counts by ctstate, so that a packet that is judged differently shows in the counters.
 *
 * @module
 */
import type { Chance } from "./chance.ts";
import { type Family, HOSTS, INTERFACES, OWN, SERVICES } from "./net.ts";

const STATES = ["NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED"] as const;
const IN: readonly string[] = ["PREROUTING", "INPUT", "FORWARD"];
const OUT: readonly string[] = ["FORWARD", "OUTPUT", "POSTROUTING"];

const HOOKS: readonly string[] = [...new Set([...IN, ...OUT])];
/** How often a table has a long chain. */
const LONG = 0.3;

/** How a rule may speak of the packet: the protocol that its target needs, or any. */
interface Want {
  protocol?: "tcp" | "udp" | "icmp";
  /** The most conditions beside the protocol. */
  conditions?: number;
}

const not = (c: Chance, p = 0.15) => c.is(p) ? "! " : "";

function port(c: Chance): number {
  return c.weighted([[6, c.pick(SERVICES)], [2, c.between(1024, 65535)], [1, c.between(0, 1023)]]);
}

function portRange(c: Chance): string {
  if (c.is(0.6)) return String(port(c));
  const [a, b] = [port(c), port(c)].sort((x, y) => x - y);
  return c.weighted([[4, `${a}:${b}`], [1, `:${b}`], [2, `${c.pick([1024, 20000, 30000])}:`]]);
}

/** `holes`: also masks that are no prefix, which iptables takes for -s and -d alone. */
function address(c: Chance, family: Family, holes = false): string {
  const where = c.pick(INTERFACES);
  const one = c.pick(c.is(0.75) ? HOSTS[family][where] : OWN[family][where]);
  if (c.is(0.5)) return one;
  return family === 4
    ? `${one}/${c.pick(["8", "16", "24", "25", "30", "31", holes ? "255.255.0.255" : "32", "0"])}`
    : `${one}/${c.pick(["32", "48", "64", "112", "127", holes ? "ffff::ffff" : "128", "0"])}`;
}

const ICMP_TYPES: Readonly<Record<Family, readonly string[]>> = {
  4: [
    "echo-request",
    "echo-reply",
    "destination-unreachable",
    "port-unreachable",
    "time-exceeded",
    "3/4",
    "any",
    "13",
  ],
  6: [
    "echo-request",
    "echo-reply",
    "destination-unreachable",
    "packet-too-big",
    "time-exceeded",
    "1/4",
    "133",
    "2",
  ],
};

function tcpMatch(c: Chance): string {
  const parts = ["-m tcp"];
  if (c.is(0.6)) parts.push(`${not(c)}--dport ${portRange(c)}`);
  if (c.is(0.2)) parts.push(`${not(c)}--sport ${portRange(c)}`);
  if (c.is(0.25)) {
    parts.push(c.weighted([
      [3, `${not(c, 0.3)}--tcp-flags FIN,SYN,RST,ACK SYN`],
      [1, `${not(c)}--tcp-flags ALL ${c.pick(["NONE", "ALL", "SYN,ACK", "ACK", "PSH,ACK"])}`],
      [1, `${not(c)}--tcp-flags SYN,RST,FIN ${c.pick(["RST", "FIN", "SYN,FIN", "NONE"])}`],
    ]));
  } else if (c.is(0.08)) parts.push(`${not(c)}--tcp-option ${c.pick([2, 3, 4, 5, 8, 254])}`);
  return parts.join(" ");
}

/** Conditions of a rule in this chain. */
function matches(c: Chance, family: Family, chain: string, want: Want = {}): string {
  const parts: string[] = [];
  let left = c.below((want.conditions ?? 3) + 1);
  if (left > 0 && c.is(0.35)) parts.push(`${not(c)}-s ${address(c, family, true)}`), left--;
  if (left > 0 && c.is(0.35)) parts.push(`${not(c)}-d ${address(c, family, true)}`), left--;
  // Not `! -i +`, which never matches: iptables-save does not print it.
  const iface = () => c.is(0.1) ? "%s +" : `${not(c)}%s ${c.is(0.9) ? c.pick(INTERFACES) : "w+"}`;
  if (left > 0 && IN.includes(chain) && c.is(0.4)) parts.push(iface().replace("%s", "-i")), left--;
  if (left > 0 && OUT.includes(chain) && c.is(0.4)) parts.push(iface().replace("%s", "-o")), left--;
  const icmp = family === 4 ? "icmp" : "ipv6-icmp";
  const protocol = want.protocol === "icmp" ? icmp : want.protocol ?? c.weighted([
    [8, ""],
    [6, "tcp"],
    [4, "udp"],
    [3, icmp],
    [1, "132"],
    [1, "47"],
    [0.5, "136"],
    [0.5, "! tcp"],
    [0.3, "50"],
  ]);
  if (protocol !== "") parts.push(protocol.startsWith("!") ? `! -p ${protocol.slice(2)}` : `-p ${protocol}`);
  if ((protocol === "tcp" || protocol === "udp") && c.is(0.15)) {
    const ports = Array.from({ length: c.between(1, 6) }, () => c.is(0.7) ? `${port(c)}` : "30000:40000");
    parts.push(
      `-m multiport ${not(c)}--${c.pick(["dports", "sports", "ports"])} ${[...new Set(ports)].join(",")}`,
    );
  } else if (protocol === "tcp" && c.is(0.7)) parts.push(tcpMatch(c));
  else if (protocol === "udp" && c.is(0.7)) {
    parts.push(`-m udp ${not(c)}--${c.pick(["dport", "dport", "sport"])} ${portRange(c)}`);
  } else if (protocol === "icmp" && c.is(0.7)) {
    parts.push(`-m icmp ${not(c)}--icmp-type ${c.pick(ICMP_TYPES[4])}`);
  } else if (protocol === "ipv6-icmp" && c.is(0.7)) {
    parts.push(`-m icmp6 ${not(c)}--icmpv6-type ${c.pick(ICMP_TYPES[6])}`);
  }
  while (left-- > 0) parts.push(extension(c, family));
  return parts.filter((p) => p !== "").join(" ");
}

/** One condition by a match extension. */
function extension(c: Chance, family: Family): string {
  const states = () => c.some(STATES, c.between(1, 3)).join(",");
  const range = (a: number, b: number) => c.is(0.3) ? `${a}` : `${a}:${b}`;
  return c.weighted<() => string>([
    [5, () => `-m conntrack ${not(c)}--ctstate ${states()}`],
    [1, () => `-m conntrack ${not(c)}--ctstate ${c.pick(["SNAT", "DNAT", "SNAT,DNAT", "NEW,DNAT"])}`],
    [1, () => `-m state ${not(c)}--state ${states()}`],
    [
      1,
      () =>
        `-m conntrack ${not(c)}--ctstatus ${
          c.pick(["NONE", "EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED", "SEEN_REPLY,ASSURED"])
        }`,
    ],
    [1, () => `-m conntrack --ctdir ${c.pick(["ORIGINAL", "REPLY"])}`],
    [
      1,
      () =>
        `-m conntrack ${not(c)}--${c.pick(["ctorigsrc", "ctorigdst", "ctreplsrc", "ctrepldst"])} ${
          address(c, family)
        }`,
    ],
    [
      0.7,
      () =>
        `-m conntrack ${not(c)}--${c.pick(["ctorigdstport", "ctreplsrcport", "ctorigsrcport"])} ${
          portRange(c).replace(/^:|:$/, "")
        }`,
    ],
    [0.4, () => `-m conntrack ${not(c)}--ctproto ${c.pick([1, 6, 17, 47, 58, 132])}`],
    [2, () => `-m mark ${not(c)}--mark ${c.pick(["0x1", "0x0", "0x2/0x3", "0x10/0xf0"])}`],
    [1, () => `-m connmark ${not(c)}--mark ${c.pick(["0x1", "0x0", "0x2/0x3"])}`],
    [1, () => `-m limit --limit ${c.pick(["1/hour", "2/hour", "7/hour"])} --limit-burst ${c.between(1, 20)}`],
    [1, () => `-m length ${not(c)}--length ${range(c.between(20, 60), c.between(60, 1500))}`],
    [1, () => {
      const [name, option] = family === 4 ? ["ttl", "--ttl"] : ["hl", "--hl"];
      return `-m ${name} ${c.pick([`${not(c)}${option}-eq`, `${option}-lt`, `${option}-gt`])} ${
        c.pick([1, 2, 63, 64, 128])
      }`;
    }],
    [0.5, () => `-m tos ${not(c)}--tos ${c.pick(["0x10/0x3f", "0x00/0xff", "0x08"])}`],
    [0.5, () => `-m dscp ${not(c)}--dscp ${c.pick(["0x00", "0x0a", "0x2e"])}`],
    [
      0.7,
      () =>
        `-m addrtype ${not(c)}--${c.pick(["src", "dst"])}-type ${c.pick(["LOCAL", "UNICAST", "MULTICAST"])}`,
    ],
    [1, () => `-m helper ${not(c)}--helper ${c.pick(["ftp", "ftp", "ftp", "irc", "tftp", "amanda", '""'])}`],
    [0.3, () => `-m comment --comment ${c.pick(["word", '"two words"'])}`],
  ])();
}

/** The chains of a table while it is being made. */
class Maker {
  readonly #chains = new Map<string, { policy: string; rules: string[] }>();

  constructor(readonly table: string) {}

  chain(name: string, policy = "ACCEPT"): void {
    if (!this.#chains.has(name)) this.#chains.set(name, { policy, rules: [] });
  }

  add(chain: string, ...parts: string[]): void {
    this.chain(chain);
    this.#chains.get(chain)!.rules.push(parts.filter((p) => p !== "").join(" "));
  }

  /** Makes one of the chains long, so that Weir looks its rules up: more of them, between the others, that count. */
  lengthen(c: Chance, family: Family): void {
    const [name, { rules }] = c.pick([...this.#chains]);
    const place = this.table === "filter" && !HOOKS.includes(name) ? "" : name;
    for (let n = c.between(15, 120); n > 0; n--) {
      rules.splice(c.below(rules.length + 1), 0, matches(c, family, place, { conditions: 4 }));
    }
  }

  text(): string {
    const lines = [`*${this.table}`];
    for (const [name, { policy }] of this.#chains) lines.push(`:${name} ${policy} [0:0]`);
    for (const [name, { rules }] of this.#chains) {
      for (const rule of rules) lines.push(`-A ${name} ${rule}`.trim());
    }
    return [...lines, "COMMIT", ""].join("\n");
  }
}

/** Ports that are not the helpers' own. */
const FURTHER = [["irc", "tcp", 6668], ["tftp", "udp", 6969], ["amanda", "udp", 10081]] as const;

function rawTable(c: Chance, family: Family): string {
  const m = new Maker("raw");
  m.chain("PREROUTING");
  m.chain("OUTPUT");
  for (const chain of ["PREROUTING", "OUTPUT"]) {
    for (let n = c.below(3); n > 0; n--) m.add(chain, matches(c, family, chain, { conditions: 2 }));
    if (c.is(0.3)) m.add(chain, matches(c, family, chain), "-j", c.is(0.7) ? "CT --notrack" : "NOTRACK");
  }
  if (c.is(0.25)) {
    // A zone of one direction only stands for all that comes in by an interface, so that answers can find their flow.
    if (c.is(0.2)) m.add("PREROUTING", `-i ${c.pick(INTERFACES)} -j CT --zone-orig 4`);
    else {m.add(
        "PREROUTING",
        matches(c, family, "PREROUTING"),
        "-j CT",
        c.is(0.75) ? `--zone ${c.between(1, 3)}` : "--zone mark",
      );}
  }
  if (c.is(0.8)) {
    const where = c.weighted([[4, ""], [1, "-i lan"], [1, "-i wan"]]);
    m.add("PREROUTING", where, "-p tcp -m tcp --dport 21 -j CT --helper ftp");
    if (c.is(0.3)) m.add("PREROUTING", "-p tcp -m tcp --dport 2121 -j CT --helper ftp");
  }
  if (c.is(0.7)) m.add("PREROUTING", "-p udp -m udp --dport 69 -j CT --helper tftp");
  if (c.is(0.7)) m.add("PREROUTING", "-p udp -m udp --dport 10080 -j CT --helper amanda");
  if (family === 4 && c.is(0.7)) m.add("PREROUTING", "-p tcp -m tcp --dport 6667 -j CT --helper irc");
  for (const [helper, protocol, port] of FURTHER) {
    if ((family === 4 || helper !== "irc") && c.is(0.2)) {
      m.add("PREROUTING", `-p ${protocol} -m ${protocol} --dport ${port} -j CT --helper ${helper}`);
    }
  }
  if (c.is(0.6)) behindTemplates(m, c.fork(), family);
  if (c.is(LONG)) m.lengthen(c.fork(), family);
  return m.text();
}

/** What asks about the flow, and marks it, where Linux takes the template of a CT rule for one. */
function behindTemplates(m: Maker, c: Chance, family: Family): void {
  for (const chain of ["PREROUTING", "OUTPUT"]) {
    if (c.is(0.2)) m.add(chain, matches(c, family, chain, { conditions: 1 }), "-j CT --ctevents new");
    for (let n = c.between(1, 8); n > 0; n--) {
      m.add(
        chain,
        matches(c, family, chain, { conditions: 4 }),
        c.weighted<string>([
          [8, ""],
          [1, `-j CONNMARK --${c.pick(["set-xmark 0x1/0xffffffff", "set-mark 0x2/0x3", "save-mark"])}`],
          [1, "-j CONNMARK --restore-mark"],
          [1, "-j MARK --set-xmark 0x2/0x3"],
          [0.3, "-j CT --notrack"],
          [0.3, "-j ACCEPT"],
        ]),
      );
    }
  }
}

function mangleTable(c: Chance, family: Family): string {
  const m = new Maker("mangle");
  for (const chain of ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]) {
    for (const state of STATES) m.add(chain, `-m conntrack --ctstate ${state}`);
    for (let n = c.below(4); n > 0; n--) m.add(chain, matches(c, family, chain));
    for (let n = c.below(3); n > 0; n--) {
      m.add(
        chain,
        matches(c, family, chain),
        c.weighted<string>([
          [4, `-j MARK --set-xmark ${c.pick(["0x1/0xffffffff", "0x2/0x3", "0x10/0xf0", "0x0/0xff"])}`],
          [1, `-j MARK --${c.pick(["and", "or", "xor"])}-mark ${c.pick(["0x1", "0x3"])}`],
          [
            2,
            `-j CONNMARK ${
              c.pick(["--save-mark", "--restore-mark", "--set-xmark 0x1/0xffffffff", "--set-mark 0x2/0x3"])
            }`,
          ],
          // Linux loses long IPv6 datagrams to itself when a rule on their way in has changed the header.
          [
            family === 6 && (chain === "PREROUTING" || chain === "INPUT") ? 0 : 1,
            family === 4
              ? `-j TTL ${
                c.pick(["--ttl-set 64", "--ttl-inc 1", "--ttl-dec 1", "--ttl-dec 5", "--ttl-set 2"])
              }`
              : `-j HL ${c.pick(["--hl-set 64", "--hl-inc 1", "--hl-dec 1", "--hl-dec 5", "--hl-set 2"])}`,
          ],
          [
            family === 6 && (chain === "PREROUTING" || chain === "INPUT") ? 0 : 1,
            `-j ${
              c.pick([
                "DSCP --set-dscp 0x0a",
                "DSCP --set-dscp-class EF",
                "TOS --set-tos 0x10/0x3f",
                "TOS --set-tos 0x00/0xff",
              ])
            }`,
          ],
          [1, "-j ACCEPT"],
          [1, "-j RETURN"],
          [0.3, "-j DROP"],
          [0.5, "-j LOG --log-prefix seen"],
        ]),
      );
    }
  }
  if (c.is(0.3)) {
    m.add(
      "FORWARD",
      "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS",
      c.pick(["--clamp-mss-to-pmtu", "--set-mss 1200"]),
    );
  }
  if (c.is(LONG)) m.lengthen(c.fork(), family);
  return m.text();
}

/** The middle of addresses behind an interface that SNAT may choose from. */
const POOL: Readonly<Record<Family, readonly string[]>> = {
  4: ["203.0.113.1", "203.0.113.9", "203.0.113.16-203.0.113.19", "203.0.113.200", "192.0.2.77", "1.2.3.4"],
  6: ["2001:db8:3::1", "2001:db8:3::9", "2001:db8:3::16-2001:db8:3::19", "2001:db8:3::f00", "2001:db8:1::77"],
};

function withPorts(family: Family, addresses: string, ports: string): string {
  return ports === ""
    ? addresses
    : family === 4 || addresses === ""
    ? `${addresses}:${ports}`
    : `[${addresses}]:${ports}`;
}

/** SNAT, MASQUERADE or NETMAP in POSTROUTING (or INPUT). */
function sourceNat(c: Chance, family: Family, chain: string): string[] {
  // A port that is drawn in INPUT shows in nothing but what TFTP expects then.
  const protocol = chain === "INPUT"
    ? c.pick(["tcp", "icmp"] as const)
    : c.weighted<Want["protocol"] | "">([[5, ""], [2, "tcp"], [2, "udp"], [1, "icmp"]]) || undefined;
  const where = chain === "POSTROUTING"
    ? c.weighted([[6, "-o wan"], [2, ""], [1, "-o dmz"], [1, "-o lan"]])
    : "";
  const what = matches(c, family, "", { protocol: protocol ?? undefined, conditions: c.is(0.6) ? 0 : 2 });
  const exact = /(^| )-p (tcp|udp|icmp|ipv6-icmp)\b/.test(what) && !what.includes("! -p") &&
    (family === 4 || !what.includes("ipv6-icmp"));
  const ports = exact && chain !== "INPUT" && c.is(0.5)
    ? c.pick(["40000-49999", "50000-50999", "7000", "1024-65535"])
    : "";
  // What is drawn for a flow to the router itself shows nowhere but in rules, so it would look like a difference there.
  const flags = chain === "INPUT"
    ? ""
    : c.weighted([[6, ""], [1, "--random"], [1, "--random-fully"], [1, "--persistent"]]);
  if (chain === "POSTROUTING" && c.is(0.45)) {
    const flag = flags === "--persistent" ? "" : flags;
    return [where || "-o wan", what, "-j MASQUERADE", ports === "" ? "" : `--to-ports ${ports}`, flag];
  }
  if (chain === "POSTROUTING" && c.is(0.1)) {
    return [
      where,
      what,
      "-j NETMAP --to",
      family === 4
        ? c.pick(["203.0.113.64/26", "10.1.0.0/16"])
        : c.pick(["2001:db8:3:1::/64", "2001:db8:aaaa::/48"]),
    ];
  }
  // In INPUT not an address of the router's own: it would answer itself, by the loopback interface and out again.
  const to = chain === "INPUT" ? (family === 4 ? "203.0.113.200" : "2001:db8:3::f00") : c.pick(POOL[family]);
  return [where, what, "-j SNAT --to-source", withPorts(family, to, ports), flags];
}

/** DNAT, REDIRECT or NETMAP in PREROUTING. */
function destinationNat(c: Chance, family: Family): string[] {
  const protocol = c.weighted<"tcp" | "udp" | undefined>([[5, "tcp"], [3, "udp"], [2, undefined]]);
  const to = c.is(0.8) ? `-d ${c.pick(OWN[family].wan)}` : c.is(0.5) ? "-i wan" : "";
  const target = c.pick([...HOSTS[family].lan, ...HOSTS[family].dmz]);
  if (protocol === undefined) {
    if (c.is(0.3)) {
      return [to || "-i wan", "-j NETMAP --to", family === 4 ? "192.0.2.0/24" : "2001:db8:1::/64"];
    }
    return [
      to,
      matches(c, family, "PREROUTING", { conditions: to === "" ? 1 : 0 }),
      `-j DNAT --to-destination ${target}`,
    ];
  }
  const dport = c.weighted([[4, `--dport ${c.pick(SERVICES)}`], [1, "--dport 8000:8100"], [
    1,
    "--dport 1:1023",
  ]]);
  const what = `-p ${protocol} -m ${protocol} ${dport}`;
  const random = c.is(0.1) ? "--random" : "";
  if (c.is(0.15)) {
    return [
      to,
      what,
      "-j REDIRECT",
      c.is(0.6) ? `--to-ports ${c.pick(["80", "3128", "1000-1999"])}` : "",
      random,
    ];
  }
  const ports = c.weighted([[3, ""], [4, String(c.pick(SERVICES))], [1, "8000-8010"], [1, "2000-2100/8000"]]);
  const range = c.is(0.15) ? (family === 4 ? "192.0.2.2-192.0.2.4" : "2001:db8:1::2-2001:db8:1::4") : target;
  return [
    to,
    what,
    "-j DNAT --to-destination",
    withPorts(family, range, ports),
    random,
    c.is(0.1) ? "--persistent" : "",
  ];
}

function natTable(c: Chance, family: Family): string {
  const m = new Maker("nat");
  for (const chain of ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"]) {
    m.chain(chain);
    for (let n = c.below(3); n > 0; n--) m.add(chain, matches(c, family, chain, { conditions: 2 }));
    if (c.is(0.1)) m.add(chain, matches(c, family, chain), "-j", c.pick(["ACCEPT", "RETURN"]));
  }
  for (let n = c.below(5); n > 0; n--) m.add("PREROUTING", ...destinationNat(c, family));
  if (c.is(0.5)) m.add("POSTROUTING -o wan -j MASQUERADE".split(" ")[0], "-o wan -j MASQUERADE");
  for (let n = c.below(4); n > 0; n--) m.add("POSTROUTING", ...sourceNat(c, family, "POSTROUTING"));
  if (c.is(0.1)) m.add("INPUT", ...sourceNat(c, family, "INPUT"));
  if (c.is(LONG)) m.lengthen(c.fork(), family);
  return m.text();
}

function filterTable(c: Chance, family: Family): string {
  const m = new Maker("filter");
  const users = ["one", "two", "a-long_name.3"].slice(0, c.below(4));
  for (const chain of ["INPUT", "FORWARD", "OUTPUT"]) {
    m.chain(chain, c.is(chain === "FORWARD" ? 0.25 : 0.1) ? "DROP" : "ACCEPT");
  }
  for (const user of users) m.chain(user, "-");
  const reject = () => {
    const kinds = family === 4
      ? [
        "icmp-net-unreachable",
        "icmp-host-unreachable",
        "icmp-proto-unreachable",
        "icmp-port-unreachable",
        "icmp-net-prohibited",
        "icmp-host-prohibited",
        "icmp-admin-prohibited",
      ]
      : [
        "icmp6-no-route",
        "icmp6-adm-prohibited",
        "icmp6-addr-unreachable",
        "icmp6-port-unreachable",
        "icmp6-policy-fail",
        "icmp6-reject-route",
      ];
    return c.is(0.5) ? "-j REJECT" : `-j REJECT --reject-with ${c.pick(kinds)}`;
  };
  if (c.is(0.3)) m.add("INPUT", "-m conntrack --ctstate INVALID -j DROP");
  if (c.is(0.3)) m.add("FORWARD", "-m conntrack --ctstate INVALID", c.is(0.7) ? "-j DROP" : reject());
  if (c.is(0.6)) m.add("FORWARD", "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT");
  if (c.is(0.5)) m.add("FORWARD", "-i lan -j ACCEPT");
  for (const [i, chain] of ["INPUT", "FORWARD", "OUTPUT", ...users].entries()) {
    const deeper = chain === "OUTPUT" ? [] : users.slice(Math.max(0, i - 2));
    for (let n = c.below(6); n > 0; n--) {
      const user = i >= 3;
      const action = c.weighted<string>([
        [4, ""],
        [3, "-j ACCEPT"],
        [1, "-j DROP"],
        [
          2,
          deeper.length && deeper[0] !== chain
            ? `${c.is(0.8) ? "-j" : "-g"} ${c.pick(deeper.filter((d) => d !== chain))}`
            : "",
        ],
        [user ? 2 : 0.3, "-j RETURN"],
        // Not in OUTPUT, nor in what it calls: Weir does not answer its own answers.
        [chain === "OUTPUT" ? 0 : 1.5, "reject"],
        [chain === "OUTPUT" ? 0 : 0.5, "reset"],
        [0.5, '-j LOG --log-prefix "a packet: "'],
      ]);
      if (action === "reset") {
        m.add(
          chain,
          matches(c, family, user ? "" : chain, { protocol: "tcp" }),
          "-j REJECT --reject-with tcp-reset",
        );
      } else {m.add(
          chain,
          matches(c, family, user ? "" : chain, { conditions: 4 }),
          action === "reject" ? reject() : action,
        );}
    }
  }
  if (c.is(LONG)) m.lengthen(c.fork(), family);
  return m.text();
}

/** Tables of one family. */
export function makeRules(c: Chance, family: Family): string {
  let text = c.is(0.9) ? rawTable(c.fork(), family) : "";
  text += mangleTable(c.fork(), family);
  if (c.is(0.85)) text += natTable(c.fork(), family);
  return text + filterTable(c.fork(), family);
}

/** Rules of a text, as places in its lines. */
export function ruleLines(text: string): number[] {
  return text.split("\n").flatMap((line, i) => line.startsWith("-A ") ? [i] : []);
}
