/**
 * Random sets of every type, rules that ask and change them, and packets among which some are in the sets.
 *
 * @module
 */
import type { Chance } from "../fuzz/chance.ts";
import { icmp, ip, tcp, udp } from "../kit/mod.ts";
import { packet, type Scenario, type Step } from "../oracle/scenario.ts";

/** Types whose sets have a family. */
export const HASHES = [
  "hash:ip",
  "hash:net",
  "hash:ip,port",
  "hash:net,port",
  "hash:ip,port,ip",
  "hash:ip,port,net",
  "hash:net,net",
  "hash:net,port,net",
  "hash:net,iface",
  "hash:ip,mark",
] as const;
/** All types. */
export const TYPES: readonly string[] = [...HASHES, "bitmap:ip", "bitmap:port"];

const INTERFACES: Scenario["interfaces"] = {
  lan: { addresses: ["192.0.2.1/24", "2001:db8:1::1/64"] },
  wan: { addresses: ["203.0.113.1/24", "2001:db8:2::1/64"] },
};

/** One side's address: few, so that sets and packets meet. */
function address(c: Chance, family: 4 | 6, side: "lan" | "wan"): string {
  const host = c.between(2, 13);
  if (family === 4) return side === "lan" ? `192.0.2.${host}` : `203.0.113.${host}`;
  return `2001:db8:${side === "lan" ? 1 : 2}::${host.toString(16)}`;
}

function network(c: Chance, family: 4 | 6, zero: boolean): string {
  const base = address(c, family, c.pick(["lan", "wan"]));
  if (c.is(0.3)) return base;
  if (zero && c.is(0.05)) return family === 4 ? "0.0.0.0/0" : "::/0";
  const length = family === 4
    ? c.pick([8, 16, 24, 28, 29, 30, 31, 32])
    : c.pick([16, 48, 64, 120, 124, 126, 127, 128]);
  return `${base}/${length}`;
}

function port(c: Chance, family: 4 | 6): string {
  const n = c.between(1, 4);
  return c.weighted([
    [4, `tcp:${n}`],
    [3, `udp:${n}`],
    [1, `${n}-${n + 1}`],
    [1, family === 4 ? "icmp:echo-request" : "icmpv6:echo-request"],
    [1, family === 4 ? "icmp:3/1" : "icmpv6:1/3"],
    [1, "gre:0"],
  ]);
}

/** A member of a type, as `add` takes it. */
export function member(c: Chance, type: string, family: 4 | 6): string {
  if (type === "bitmap:ip") {
    return c.is(0.8) ? address(c, 4, "lan") : `192.0.2.${c.between(2, 6)}-192.0.2.${c.between(6, 9)}`;
  }
  if (type === "bitmap:port") return c.is(0.8) ? String(c.between(1, 4)) : "2-3";
  const zero = ["hash:net,net", "hash:net,port,net", "hash:net,iface"].includes(type);
  let ips = 0;
  return type.slice(5).split(",").map((part) => {
    switch (part) {
      case "ip":
        if (family === 4 && ips++ === 0 && c.is(0.1)) {
          return `192.0.2.${c.between(2, 5)}-192.0.2.${c.between(5, 9)}`;
        }
        return address(c, family, c.pick(["lan", "wan"]));
      case "net":
        return network(c, family, zero);
      case "port":
        return port(c, family);
      case "mark":
        return c.pick(["0", "1", "0x2"]);
      default:
        return c.weighted([[4, "lan"], [4, "wan"], [1, "physdev:lan"], [1, "la"], [1, "eth0"]]);
    }
  }).join(",");
}

/** Text of a set with members, and what it can have beside them. */
export function setText(c: Chance, name: string, type: string, family: 4 | 6, members: number): string {
  const timeout = c.is(0.4), counters = c.is(0.4), skbinfo = c.is(0.4), comment = c.is(0.2);
  const bitmap = type.startsWith("bitmap:");
  const words = ["create", name, type];
  if (!bitmap) words.push("family", family === 4 ? "inet" : "inet6");
  if (type === "bitmap:ip") words.push("range", "192.0.2.0/28");
  if (type === "bitmap:port") words.push("range", "0-3");
  if (type === "hash:ip" && c.is(0.3)) words.push("netmask", family === 4 ? "30" : "126");
  if (timeout) words.push("timeout", c.pick(["0", "300"]));
  if (counters) words.push("counters");
  if (comment) words.push("comment");
  if (skbinfo) words.push("skbinfo");
  if (!bitmap) words.push("maxelem", String(c.is(0.3) ? members + 40 : 500));
  const lines = [words.join(" ")];
  for (let i = 0; i < members; i++) {
    const entry = [`add ${name} ${member(c, type, family)} -exist`];
    if (type === "bitmap:port" && /\b4\b/.test(entry[0])) continue;
    if (timeout && c.is(0.5)) entry.push(`timeout ${c.pick([0, 100, 900])}`);
    if (counters && c.is(0.5)) entry.push(`packets ${c.below(9)} bytes ${c.below(900)}`);
    if (comment && c.is(0.5)) entry.push(`comment "number ${i}"`);
    if (skbinfo && c.is(0.6)) entry.push(`skbmark 0x${c.between(0, 3)}/0x${c.pick(["3", "1", "ffffffff"])}`);
    if (type.includes("net") && c.is(0.25)) entry.push("nomatch");
    if (type.endsWith("iface") && c.is(0.2)) entry.push("wildcard");
    lines.push(entry.join(" "));
  }
  return lines.join("\n") + "\n";
}

function flags(c: Chance, dimensions: number): string {
  return Array.from(
    { length: c.between(Math.max(1, dimensions - (c.is(0.1) ? 1 : 0)), dimensions) },
    () => c.pick(["src", "dst"]),
  ).join(",");
}

/** Rules that ask the sets, then rules that change them, then rules that ask again. */
function rules(c: Chance, sets: readonly { name: string; dimensions: number }[]): string {
  const asking = () => {
    const { name, dimensions } = c.pick(sets);
    const words = [`-m set${c.is(0.2) ? " !" : ""} --match-set ${name} ${flags(c, dimensions)}`];
    if (c.is(0.2)) words.push("--return-nomatch");
    if (c.is(0.2)) words.push("! --update-counters");
    if (c.is(0.2)) words.push("! --update-subcounters");
    if (c.is(0.2)) {
      words.push(c.pick(["--packets-gt 3", "--packets-lt 5", "--packets-eq 2", "! --packets-eq 4"]));
    }
    if (c.is(0.1)) words.push(c.pick(["--bytes-gt 300", "--bytes-lt 500"]));
    return words.join(" ");
  };
  const changing = () => {
    const { name, dimensions } = c.pick(sets);
    const which = flags(c, dimensions);
    return c.weighted([
      [
        3,
        `-j SET --add-set ${name} ${which}${c.is(0.5) ? " --exist" : ""}${c.is(0.4) ? " --timeout 200" : ""}`,
      ],
      [2, `-j SET --del-set ${name} ${which}`],
    ]);
  };
  const many = (n: number, make: () => string) => Array.from({ length: n }, () => `-A FORWARD ${make()}`);
  const condition = () => c.pick(["-p udp ", "-p icmp ", "--source 192.0.2.2/31 ", ""]);
  return [
    "*mangle",
    ...many(2, () => `-j SET --map-set ${flagged(c, sets)} --map-mark`),
    ...many(4, () => `-m mark --mark ${c.between(0, 3)}`),
    "COMMIT",
    "*filter",
    ...many(8, asking),
    ...many(3, () => `${condition()}${changing()}`),
    ...many(3, asking),
    ...many(1, () => `${asking()} -j DROP`),
    "COMMIT",
    "",
  ].join("\n");
}

function flagged(c: Chance, sets: readonly { name: string; dimensions: number }[]): string {
  const { name, dimensions } = c.pick(sets);
  return `${name} ${flags(c, dimensions)}`;
}

/** A packet from the LAN, sometimes of a protocol without ports, a fragment, or cut short. */
function traffic(c: Chance, family: 4 | 6): Step {
  const src = address(c, family, "lan"), dst = address(c, family, "wan");
  const sport = c.between(1, 4), dport = c.between(1, 4);
  return packet(
    "lan",
    c.weighted([
      [5, () => tcp({ src, dst, sport, dport, flags: "S" })],
      [4, () => udp({ src, dst, sport, dport, payload: c.below(40) })],
      [2, () => icmp({ src, dst, type: family === 4 ? 8 : 128, payload: 8 })],
      [1, () => icmp({ src, dst, type: family === 4 ? 3 : 1, code: family === 4 ? 1 : 3, payload: 40 })],
      [1, () => ip({ src, dst, protocol: 47, payload: 8 })],
      [1, () => ip({ src, dst, protocol: 17, payload: 24, offset: 8, ...family === 4 ? {} : { id: 7 } })],
      [1, () => ip({ src, dst, protocol: c.pick([6, 17, 132]), payload: 5 })],
    ])(),
  );
}

/** A scenario of one family about sets of a type; a list of them, too, at times. */
export function scenario(c: Chance, type: string, family: 4 | 6): Scenario {
  const parts = type.slice(type.indexOf(":") + 1).split(",").length;
  const sets = ["a", "b"].map((name) => ({ name, dimensions: parts }));
  let ipset = sets.map(({ name }) => setText(c, name, type, family, c.between(1, 12))).join("");
  if (c.is(0.5)) {
    ipset += `create ls list:set${c.is(0.5) ? " counters" : ""}${c.is(0.5) ? " skbinfo" : ""}\n`;
    ipset += `add ls a${
      ipset.includes("ls list:set skbinfo") ? " skbmark 0x1/0x1" : ""
    }\nadd ls b before a\n`;
    sets.push({ name: "ls", dimensions: parts });
  }
  const text = rules(c, sets);
  return {
    interfaces: INTERFACES,
    ipset,
    ...family === 4 ? { iptables: text } : {
      ip6tables: text.replaceAll("-p icmp ", "-p ipv6-icmp ").replaceAll("192.0.2.2/31", "2001:db8:1::2/127"),
    },
    steps: Array.from({ length: 60 }, () => traffic(c, family)),
  };
}
