/**
 * Rules drawn by chance, in all tables, and packets that run through them.
 *
 * @module
 */
import { icmpEcho, tcp, udp } from "../kit/packets.ts";
import { C, C2, C6, NET6, S, S2, S6, WAN, WAN6 } from "./cases/case.ts";
import type { Dice } from "./random.ts";
import { packet, type Scenario, type Step } from "./scenario.ts";

interface Family {
  v6: boolean;
  client: string;
  client2: string;
  server: string;
  server2: string;
  public: string;
}
const FAMILIES: readonly Family[] = [
  { v6: false, client: C, client2: C2, server: S, server2: S2, public: WAN },
  { v6: true, client: C6, client2: "2001:db8:1::3", server: S6, server2: "2001:db8:2::8", public: WAN6 },
];

const not = (d: Dice) => d.once(5) ? "! " : "";

/** The basic part of a rule and the protocol that it asks for. */
function basic(d: Dice, f: Family, hook: string): { text: string; protocol: string } {
  const parts: string[] = [];
  let protocol = "";
  if (d.once(2)) {
    protocol = d.one("tcp", "udp", f.v6 ? "icmpv6" : "icmp");
    if (d.once(8)) parts.push(`! -p ${protocol}`), protocol = "";
    else parts.push(`-p ${protocol}`);
  }
  const lan = f.v6 ? "2001:db8:1::/64" : "192.0.2.0/24";
  if (d.once(4)) parts.push(`${not(d)}-s ${d.one(f.client, f.server, lan, f.v6 ? "::/0" : "0.0.0.0/0")}`);
  if (d.once(4)) parts.push(`${not(d)}-d ${d.one(f.server, f.server2, lan, f.public)}`);
  const incoming = hook !== "OUTPUT" && hook !== "POSTROUTING",
    outgoing = hook !== "PREROUTING" && hook !== "INPUT";
  if (incoming && d.once(4)) parts.push(`${not(d)}-i ${d.one("lan", "wan", "w+")}`);
  if (outgoing && d.once(4)) parts.push(`${not(d)}-o ${d.one("lan", "wan", "l+")}`);
  return { text: parts.join(" "), protocol };
}

function match(d: Dice, f: Family, protocol: string, raw: boolean): string {
  const port = () => d.one("53", "80", "1000:1001", ":1023", "1001:");
  const transport = protocol === "tcp" || protocol === "udp";
  switch (d.below(14)) {
    case 0:
      return transport ? `-m ${protocol} ${not(d)}--${d.one("sport", "dport")} ${port()}` : "";
    case 1:
      return protocol === "tcp"
        ? d.one(
          "-m tcp --syn",
          "-m tcp ! --syn",
          "-m tcp --tcp-flags SYN,ACK,FIN,RST ACK",
          "-m tcp --tcp-option 2",
        )
        : "";
    case 2:
      return transport ? `-m multiport ${not(d)}--${d.one("sports", "dports", "ports")} 53,80,1000:1001` : "";
    case 3:
      return raw
        ? ""
        : `-m conntrack ${not(d)}--ctstate ${
          d.one("NEW", "ESTABLISHED", "RELATED,ESTABLISHED", "INVALID", "SNAT", "DNAT", "UNTRACKED")
        }`;
    case 4:
      return raw ? "" : `-m conntrack ${
        d.one(
          "--ctdir ORIGINAL",
          "--ctdir REPLY",
          "--ctstatus ASSURED",
          "--ctstatus SEEN_REPLY,CONFIRMED",
          "--ctproto 6",
          "--ctorigdstport 53",
        )
      }`;
    case 5:
      return `-m mark ${not(d)}--mark ${d.one("0x1", "0x2/0x3", "0")}`;
    case 6:
      return raw ? "" : `-m connmark ${not(d)}--mark ${d.one("0x1", "0x2/0x3", "0")}`;
    case 7:
      return `-m length ${not(d)}--length ${d.one("0:60", "40", "60:1500", "100:")}`;
    case 8:
      return f.v6
        ? `-m hl --hl-${d.one("lt", "gt", "eq")} ${d.one(63, 64)}`
        : `-m ttl --ttl-${d.one("lt", "gt", "eq")} ${d.one(63, 64)}`;
    case 9:
      // What is remembered of addresses, without times that the kernel's clock would decide; and without --rttl, since
      // Linux counts one hop more for resets of its own over IPv6, which have no socket.
      return d.one(
        `-m recent ${not(d)}--set --name ${d.one("a", "b")}${d.one("", " --rdest")}`,
        `-m recent ${not(d)}--${d.one("rcheck", "update")} --name ${d.one("a", "b")}${d.one("", " --rdest")}`,
        `-m recent --${d.one("rcheck", "update")} --seconds 3600 --hitcount ${d.one(2, 5)} --name a`,
        `-m recent --remove --name ${d.one("a", "b")}`,
      );
    case 10:
      return `-m hashlimit --hashlimit-${d.one("upto", "above")} 1/hour --hashlimit-burst ${d.one(1, 4)} ` +
        `--hashlimit-mode ${d.one("srcip", "dstip,dstport", "srcip,srcport,dstip,dstport")} ` +
        `--hashlimit-name h${d.below(1000)} --hashlimit-htable-size 16 --hashlimit-htable-max 512`;
    case 11:
      return d.one(
        // Of ports: what else is in a header may be chance.
        `-m string ${not(d)}--hex-string "|00 ${d.one("35", "50")}|" --algo ${d.one("bm", "kmp")} ` +
          (f.v6 ? "--from 40 --to 44" : "--from 20 --to 24"),
        protocol === "tcp" ? `-m tcpmss ${not(d)}--mss ${d.one("1460", "500:1500")}` : "",
        `-m pkttype ${not(d)}--pkt-type ${d.one("unicast", "multicast")}`,
        "-m physdev ! --physdev-is-bridged",
        f.v6 ? `-m rt ${not(d)}--rt-type 0` : "",
        f.v6 ? `-m ipv6header ${not(d)}--header ${d.one("prot", "hop", "frag")}${d.one("", " --soft")}` : "",
      );
    case 12:
      return d.one(
        `-m connbytes ${not(d)}--connbytes ${d.one("2:", "100:500", ":3")} ` +
          `--connbytes-mode ${d.one("packets", "bytes", "avgpkt")} ` +
          `--connbytes-dir ${d.one("original", "reply", "both")}`,
        `-m quota ${not(d)}--quota ${d.one(0, 100, 500, 5000)}`,
        `-m ecn ${not(d)}--ecn-ip-ect ${d.one(0, 1)}`,
        protocol === "tcp" ? `-m ecn ${not(d)}--ecn-tcp-${d.one("ece", "cwr")}` : "",
        // Lengths, hops, and ports behind any header of IPv4.
        `-m u32 ${not(d)}--u32 "${
          f.v6
            ? d.one("4>>16=20:60", "40>>16=1000:1001")
            : d.one("0&0xffff=28:70", "0>>22&0x3c@0>>16=1000:1001")
        }"`,
      );
    default:
      return d.one(
        `-m dscp ${not(d)}--dscp 0x2e`,
        "-m tos --tos 0x10/0x3f",
        `-m comment --comment "two words"`,
        protocol === "icmp"
          ? "-m icmp --icmp-type 8"
          : protocol === "icmpv6"
          ? "-m icmp6 --icmpv6-type 128"
          : "",
      );
  }
}

function target(d: Dice, f: Family, table: string, hook: string, protocol: string, chains: string[]): string {
  const terminal = ["-j ACCEPT", "-j DROP", "-j RETURN"];
  const jump = chains.map((c) => d.one(`-j ${c}`, `-j ${c}`, `-g ${c}`));
  const common = [...d.once(2) ? terminal : [], ...jump, "", ""];
  if (table === "raw") {
    common.push("-j NOTRACK", "-j CT --zone 1", "-j MARK --set-mark 1", "-j MARK --set-xmark 0x2/0x3");
  }
  if (table === "mangle") {
    common.push(
      "-j MARK --or-mark 1",
      "-j MARK --and-mark 0xfe",
      "-j MARK --xor-mark 3",
      "-j CONNMARK --set-mark 2",
      "-j CONNMARK --save-mark",
      "-j CONNMARK --restore-mark",
    );
    // An IPv6 header that is changed after conntrack summed the packet, and before a socket sums it again, makes Linux
    // take the checksum for wrong: it drops what is for itself.
    if (!f.v6 || hook === "FORWARD" || hook === "POSTROUTING" || hook === "OUTPUT") {
      common.push(
        f.v6 ? "-j HL --hl-set 33" : "-j TTL --ttl-set 33",
        f.v6 ? "-j HL --hl-inc 1" : "-j TTL --ttl-inc 1",
        "-j DSCP --set-dscp 46",
        "-j TOS --set-tos 0x10",
        f.v6 ? "" : "-j ECN --ecn-ip-ect 1",
      );
    }
    if (protocol === "tcp" && (hook === "FORWARD" || hook === "POSTROUTING")) {
      common.push("--syn -j TCPMSS --set-mss 1200");
    }
  }
  // In OUTPUT it would answer the router's own packets, to itself.
  if (table === "filter" && hook !== "" && hook !== "OUTPUT") {
    common.push(
      "-j REJECT",
      `-j REJECT --reject-with ${f.v6 ? "icmp6-addr-unreachable" : "icmp-host-prohibited"}`,
    );
    if (protocol === "tcp") common.push("-j REJECT --reject-with tcp-reset");
  }
  return d.one(...common);
}

const HOOKS: Readonly<Record<string, string[]>> = {
  raw: ["PREROUTING", "OUTPUT"],
  mangle: ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
  filter: ["INPUT", "FORWARD", "OUTPUT"],
};

function table(d: Dice, f: Family, name: string): string {
  const lines: string[] = [`*${name}`];
  const users = ["first", "second", "third"].slice(0, d.below(4));
  for (const hook of HOOKS[name]) lines.push(`:${hook} ${d.once(6) ? "DROP" : "ACCEPT"} [0:0]`);
  for (const user of users) lines.push(`:${user} - [0:0]`);
  const rule = (chain: string, hook: string, chains: string[]) => {
    const { text, protocol } = basic(d, f, hook);
    const words = [
      `-A ${chain}`,
      text,
      match(d, f, protocol, name === "raw"),
      match(d, f, protocol, name === "raw"),
    ];
    // The same match module twice in a rule would be two matches; one is enough.
    if (words[2].split(" ")[1] === words[3].split(" ")[1]) words.pop();
    const ending = target(d, f, name, hook, protocol, chains);
    // TCPMSS asks for SYN segments by itself, which two conditions on flags cannot.
    if (ending.startsWith("--syn")) {
      words.splice(
        2,
        2,
        ...words.slice(2).filter((w) => !w.startsWith("-m tcp ")),
      );
    }
    lines.push([...words, ending].filter((w) => w !== "").join(" "));
  };
  for (const hook of HOOKS[name]) for (let i = d.below(5); i > 0; i--) rule(hook, hook, users);
  // A user chain may call only later ones, so there are no loops; it knows no hook, so it asks for no interface.
  users.forEach((user, n) => {
    for (let i = d.below(4); i > 0; i--) {
      const { text, protocol } = basic(d, f, "");
      const plain = text.replace(/(! )?-[io] \S+/g, "").trim();
      const words = [
        `-A ${user}`,
        plain,
        match(d, f, protocol, name === "raw"),
        target(d, f, name, "", protocol, users.slice(n + 1)),
      ];
      lines.push(words.filter((w) => w !== "").join(" "));
    }
  });
  return [...lines, "COMMIT", ""].join("\n");
}

function natTable(d: Dice, f: Family): string {
  const bracket = (address: string) => f.v6 ? `[${address}]` : address;
  return [
    "*nat",
    d.one(
      "",
      `-A PREROUTING -i wan -p tcp -m tcp --dport 80 -j DNAT --to-destination ${bracket(f.client)}:8080`,
    ),
    d.one("", `-A PREROUTING -i wan -p udp -j DNAT --to-destination ${f.client}`),
    d.one(
      "",
      `-A PREROUTING -d ${
        d.one(f.server, f.public)
      } -i lan -p udp -m udp --dport 53 -j REDIRECT --to-ports 5353`,
    ),
    d.one(
      "-A POSTROUTING -o wan -j MASQUERADE",
      `-A POSTROUTING -o wan -j SNAT --to-source ${f.public}`,
      `-A POSTROUTING -s ${f.client} -o wan -j MASQUERADE`,
      "",
    ),
    "COMMIT",
    "",
  ].filter((line, i, all) => line !== "" || i === all.length - 1).join("\n");
}

/** Rules of one family, and flows that begin, are answered, and fail. */
export function rulesScenario(d: Dice): Scenario {
  const f = d.one(...FAMILIES);
  const text = [
    d.once(2) ? table(d, f, "raw") : "",
    table(d, f, "mangle"),
    d.once(3) ? "" : natTable(d, f),
    d.once(4) ? "" : table(d, f, "filter"),
  ].join("");
  const steps: Step[] = [];
  for (let i = 0; i < 50; i++) {
    const out = !d.once(3),
      port = 1000 + d.below(3),
      tos = d.one(0, 0, 0x10, 0xb8),
      ttl = d.one(64, 64, 63, 2, 1);
    const ends = out
      ? { src: d.one(f.client, f.client2), dst: d.one(f.server, f.server, f.server2, f.public) }
      : { src: d.one(f.server, f.server2), dst: d.one(f.client, f.public, f.public) };
    const o = { ...ends, tos, ttl, payload: d.below(80) };
    // Two hosts behind one address never use the same port, so none has to be drawn.
    const sport = ends.src === f.client2 ? port + 10000 : port;
    const ports = out
      ? { sport, dport: d.one(53, 80) }
      : { sport: d.one(53, 80), dport: d.one(port, port + 10000, 80) };
    const bytes = d.one(
      () => udp({ ...o, ...ports }),
      () =>
        tcp({
          ...o,
          ...ports,
          flags: d.one("S", "S", "SA", "A", "PA", "R"),
          seq: 1,
          ack: 1,
          payload: 0,
          options: d.once(2) ? [{ mss: 1460 }] : [],
        }),
      () => icmpEcho({ ...o, echoId: sport, reply: !out }),
    )();
    steps.push(packet(out ? "lan" : "wan", bytes));
  }
  return { ...NET6, [f.v6 ? "ip6tables" : "iptables"]: text, steps };
}
