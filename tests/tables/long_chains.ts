/**
 * Rule sets with chains of thousands of rules, and packets that meet some of them.
 *
 * @module
 */
import type { Chance } from "../fuzz/chance.ts";
import { makeRules } from "../fuzz/rules.ts";
import { icmpEcho, ip, sctp, tcp, udp, udplite } from "../kit/mod.ts";

type Family = 4 | 6;
type Bytes = Uint8Array<ArrayBuffer>;

/** Verdicts that would end most walks before they are long. */
const ENDING = / -j (ACCEPT|DROP|RETURN|REJECT.*|CT --notrack|NOTRACK)$/;

/** Many sets of the fuzzer's rules as one: their chains put together, most rules that decide only counting. */
export function mergedRules(c: Chance, family: Family, sets: number): string {
  const tables = new Map<string, { heads: Map<string, string>; rules: string[] }>();
  for (let i = 0; i < sets; i++) {
    let table = { heads: new Map<string, string>(), rules: [] as string[] };
    for (const line of makeRules(c.fork(), family).split("\n")) {
      if (line[0] === "*") {
        if (!tables.has(line)) tables.set(line, table = { heads: new Map(), rules: [] });
        table = tables.get(line)!;
      } else if (line[0] === ":") {
        const chain = line.slice(1).split(" ")[0];
        if (!table.heads.has(chain)) table.heads.set(chain, line);
      } else if (line.startsWith("-A")) {
        table.rules.push(c.is(0.97) ? line.replace(ENDING, "") : line);
      }
    }
  }
  return [...tables].map(([name, { heads, rules }]) => {
    return [name, ...heads.values(), ...rules, "COMMIT", ""].join("\n");
  }).join("");
}

const PORTS = [1, 22, 53, 80, 443, 1023, 1024, 8080, 32767, 32768, 65535];

function addressOf(c: Chance, family: Family): string {
  const [a, b] = [c.below(3), c.below(8)];
  return family === 4 ? `10.${a}.${b}.${c.below(16)}` : `2001:db8:${a}::${b}:${c.below(16)}`;
}

function networkOf(c: Chance, family: Family): string {
  const address = addressOf(c, family);
  if (c.is(0.4)) return address;
  const whole = family === 4 ? 32 : 128;
  return c.is(0.9)
    ? `${address}/${c.between(0, whole)}`
    : `${address}/${family === 4 ? "255.0.255.15" : "ffff:0:ffff::ff"}`;
}

/** Rules of all kinds that can be looked up, and some that cannot; none of them decides but a few. */
export function longRules(c: Chance, family: Family, rules: number): string {
  const lines = ["*mangle", ":PREROUTING ACCEPT [0:0]", "*filter", ":FORWARD DROP [0:0]", ":one - [0:0]"];
  lines.splice(2, 0, "COMMIT");
  const not = (p = 0.1) => c.is(p) ? "! " : "";
  const range = () => {
    const [a, b] = [c.is(0.7) ? c.pick(PORTS) : c.below(65536), c.is(0.7) ? c.pick(PORTS) : c.below(65536)];
    return c.is(0.5) ? `${a}` : a < b ? `${a}:${b}` : `${b}:${a}`;
  };
  const list = () => [...new Set(Array.from({ length: c.between(1, 7) }, () => c.pick(PORTS)))].join(",");
  const option = () =>
    c.weighted<() => string>([
      [6, () => ""],
      [2, () =>
        `-m conntrack ${not()}--ctstate ${
          c.pick(["NEW", "ESTABLISHED,RELATED", "INVALID", "NEW,UNTRACKED"])
        }`],
      [1, () =>
        `-m state --state ${c.pick(["NEW", "ESTABLISHED", "INVALID"])}`],
      [2, () =>
        `-m mark ${not()}--mark ${c.pick(["0x1", "0x2/0x3", "0x10/0xf0", "0"])}`],
      [1, () => {
        const ends = [addressOf(c, family), addressOf(c, family)];
        return `-m iprange ${not()}--${c.pick(["src", "dst"])}-range ${ends.join("-")}`;
      }],
      [1, () => `-m comment --comment "number ${c.below(99)}"`],
      [1, () => `-m limit --limit 1/hour --limit-burst ${c.between(1, 20)}`],
      [1, () => `-m statistic --mode nth --every ${c.between(2, 9)} --packet 0`],
      [0.5, () => `-m statistic --mode random --probability 0.5`],
      [1, () => `-m connlabel ${not()}--label ${c.below(4)}${c.is(0.3) ? " --set" : ""}`],
      [1, () => `-m length --length ${c.pick(["0:60", "61:", "40"])}`],
    ])();
  const rule = (chain: string) => {
    const parts = [`-A ${chain}`];
    const some = c.below(8);
    if ((some & 1) !== 0) parts.push(`${not()}-s ${networkOf(c, family)}`);
    if ((some & 2) !== 0) parts.push(`${not()}-d ${networkOf(c, family)}`);
    if (c.is(0.15)) parts.push(`${not()}-i ${c.pick(["lan", "wan", "w+", "+", "eth9"])}`);
    if (c.is(0.05) && family === 4) parts.push(`${not(0.5)}-f`);
    const before = c.is(0.3) ? option() : "";
    const protocol = c.weighted([[3, ""], [4, "tcp"], [3, "udp"], [1, "sctp"], [1, "udplite"], [1, "icmp"], [
      1,
      "!",
    ]]);
    const icmp = family === 4 ? "icmp" : "icmp6";
    if (protocol === "!") parts.push(`! -p ${c.pick(["tcp", "udp"])}`, before);
    else if (protocol === "") parts.push(before);
    else if (protocol === "icmp") {
      parts.push(`-p ${family === 4 ? "icmp" : "ipv6-icmp"}`, before);
      if (c.is(0.6)) {
        parts.push(`-m ${icmp} --${family === 4 ? "icmp" : "icmpv6"}-type ${c.pick([0, 8, 128, 129])}`);
      }
    } else {
      parts.push(`-p ${protocol}`, before);
      const match = protocol === "udplite"
        ? "multiport"
        : c.weighted([[5, protocol], [2, "multiport"], [1, ""]]);
      if (match === "multiport") {
        parts.push(`-m multiport ${not()}--${c.pick(["sports", "dports", "ports"])} ${list()}`);
      } else if (match !== "") {
        parts.push(`-m ${match}`);
        if (c.is(0.8)) parts.push(`${not()}--dport ${range()}`);
        if (c.is(0.2)) parts.push(`${not()}--sport ${range()}`);
        if (match === "tcp" && c.is(0.2)) parts.push(c.pick(["--syn", "! --syn", "--tcp-option 2"]));
      }
    }
    parts.push(option());
    if (c.is(0.01)) parts.push(c.pick(["-j ACCEPT", "-j DROP", "-j RETURN"]));
    else if (chain === "PREROUTING" && c.is(0.3)) {
      parts.push(`-j MARK --xor-mark ${c.pick(["1", "2", "0x10"])}`);
    } else if (chain === "PREROUTING" && c.is(0.1)) parts.push("-j CONNMARK --save-mark");
    else if (chain === "FORWARD" && c.is(0.02)) parts.push(c.pick(["-j one", "-g one"]));
    else if (c.is(0.012)) parts.push('-j LOG --log-prefix "seen "');
    return parts.filter((part) => part !== "").join(" ");
  };
  const mangle = Array.from({ length: rules >> 1 }, () => rule("PREROUTING"));
  const filter = Array.from({ length: rules - mangle.length }, () => rule(c.is(0.8) ? "FORWARD" : "one"));
  return [...lines.slice(0, 2), ...mangle, ...lines.slice(2), ...filter, "COMMIT", ""].join("\n");
}

/** A packet that those rules speak of, some of them cut or a later fragment. */
export function packetFor(c: Chance, family: Family): Bytes {
  const ends = { src: addressOf(c, family), dst: addressOf(c, family) };
  const ports = {
    sport: c.is(0.7) ? c.pick(PORTS) : c.below(65536),
    dport: c.is(0.7) ? c.pick(PORTS) : c.below(65536),
  };
  const flags = c.pick(["S", "S", "A", "PA", "R", "SA"]);
  const offset = c.is(0.05) ? 8 * c.between(1, 3) : undefined;
  const more = { ...ends, offset };
  const packet = c.weighted<() => Bytes>([
    [5, () => tcp({ ...more, ...ports, flags, payload: c.below(40) })],
    [4, () => udp({ ...more, ...ports, payload: c.below(40) })],
    [1, () => udplite({ ...more, ...ports, payload: 8 })],
    [1, () => sctp({ ...more, ...ports, vtag: 1, chunks: [] })],
    [2, () => icmpEcho({ ...ends, echoId: 7, reply: c.is(0.3) })],
    [1, () => ip({ ...more, protocol: c.pick([47, 6, 17, 132, 136, 1, 58, 50]), payload: c.below(24) })],
    [
      family === 6 ? 1 : 0,
      () =>
        ip({ ...ends, protocol: 6, payload: 4, extensions: [{ header: "destination", body: [1, 4, 0, 0] }] }),
    ],
  ])();
  // Extension headers that run past the end of the packet.
  if (family === 6 && c.is(0.05)) packet[6] = 60, packet[41 % packet.length] = 200;
  return packet;
}
