/**
 * Every type beside a model that looks through all members one after the other: those types, too, that this machine's
 * kernel may not have. Members are written as text, and the model reads the text by itself.
 */
import { assert, assertEquals } from "@std/assert";
import { ACCEPT, FORWARD } from "../../src/netfilter.ts";
import { Chance } from "../fuzz/chance.ts";
import { tcp, udp } from "../kit/mod.ts";
import { LAN, Rig, WAN } from "../tables/rig.ts";
import { HASHES, member } from "./random_sets.ts";

interface Sent {
  readonly src: string;
  readonly dst: string;
  readonly udp: boolean;
  readonly sport: number;
  readonly dport: number;
  readonly mark: number;
}

/** Bits of an address, the first one first. */
function bits(address: string): string {
  if (!address.includes(":")) {
    return address.split(".").map((n) => Number(n).toString(2).padStart(8, "0")).join("");
  }
  const [head, tail = ""] = address.split("::"), parts = (text: string) => text === "" ? [] : text.split(":");
  const gap = address.includes("::") ? 8 - parts(head).length - parts(tail).length : 0;
  return [...parts(head), ...Array(gap).fill("0"), ...parts(tail)]
    .map((group) => parseInt(group, 16).toString(2).padStart(16, "0")).join("");
}

/** The prefix length of a part if it fits, −1 if it does not. */
function fits(part: string, dimension: string, side: "src" | "dst", sent: Sent): number {
  const from = side === "src";
  switch (dimension) {
    case "ip":
    case "net": {
      const address = bits(sent[side]), [first, second] = part.split(/[-/]/);
      if (part.includes("-")) return bits(first) <= address && address <= bits(second) ? 32 : -1;
      const length = second === undefined ? address.length : Number(second);
      return address.slice(0, length) === bits(first).slice(0, length) ? length : -1;
    }
    case "port": {
      const [protocol, ports] = part.includes(":") ? part.split(":") : ["tcp", part];
      const port = from ? sent.sport : sent.dport, [min, max = min] = ports.split("-").map(Number);
      return protocol === (sent.udp ? "udp" : "tcp") && min <= port && port <= max ? 0 : -1;
    }
    case "mark":
      return Number(part) === sent.mark ? 0 : -1;
    default:
      return part === (from ? "lan" : "wan") ? 0 : -1;
  }
}

/** Whether the first of the narrowest members that fit is none of the exceptions. */
function holds(
  type: string,
  entries: readonly string[],
  flags: readonly ("src" | "dst")[],
  sent: Sent,
): boolean {
  const dimensions = type.slice(5).split(",");
  let best: number[] | null = null, answer = false;
  for (const entry of entries) {
    const [text, nomatch] = entry.split(" "), parts = text.split(",");
    const lengths = parts.map((part, i) => fits(part, dimensions[i], flags[i], sent));
    const nets = lengths.filter((_, i) => dimensions[i] === "net");
    if (type === "hash:net,iface") {
      // A network that is there for another interface hides wider ones.
      if (lengths[0] < 0 || best !== null && best[0] > nets[0] || parts[1].startsWith("physdev:")) continue;
      if (best === null || best[0] < nets[0]) answer = false;
      best = nets;
      if (lengths[1] >= 0) answer = nomatch === undefined;
      continue;
    }
    if (lengths.includes(-1)) continue;
    const narrower = best === null ||
      nets.some((length, i) =>
        length > best![i] && nets.slice(0, i).every((before, j) => before === best![j])
      );
    if (!narrower) continue;
    best = nets;
    answer = nomatch === undefined;
  }
  return answer;
}

for (const type of HASHES) {
  Deno.test(`sets: ${type} holds what a search through all members finds`, () => {
    for (let seed = 1; seed <= 20; seed++) {
      const c = new Chance(seed), family = c.pick([4, 6] as const);
      const dimensions = type.slice(5).split(",");
      const key = (entry: string) => entry.split(" ")[0];
      const entries = new Map<string, string>();
      for (let i = 0; i < 40; i++) {
        const text = member(c, type, family);
        entries.set(text, type.includes("net") && c.is(0.2) ? `${text} nomatch` : text);
      }
      // Of two texts that may be one member, one an exception, the later would count.
      const plain = (text: string) =>
        key(text).split(",").map((part, i) => canonical(part, dimensions[i], family)).join();
      const texts = [...entries.values()].filter((entry, _, all) =>
        all.every((other) =>
          plain(other) !== plain(entry) || other.includes("nomatch") === entry.includes("nomatch")
        )
      );
      assert(texts.length > 3);
      const flags = dimensions.map(() => c.pick(["src", "dst"] as const));
      const rule = { matchSet: `s ${flags.join(",")}`, jump: "DROP" };
      const set = {
        type,
        family: family === 4 ? "inet" : "inet6",
        entries: texts.map((text) => text),
      } as const;
      const ipset = `create s ${type} family ${set.family}\n${
        texts.map((text) => `-! add s ${text}\n`).join("")
      }`;
      const rig = new Rig({ [family === 4 ? "ipv4" : "ipv6"]: { filter: { FORWARD: [rule] } } }, { ipset });
      for (let i = 0; i < 200; i++) {
        const host = (side: number) => {
          const n = c.between(2, 13);
          return family === 4
            ? `${side === 1 ? "192.0.2" : "203.0.113"}.${n}`
            : `2001:db8:${side}::${n.toString(16)}`;
        };
        const sent: Sent = {
          src: host(1),
          dst: host(2),
          udp: c.is(0.4),
          sport: c.between(1, 4),
          dport: c.between(1, 4),
          mark: c.between(0, 2),
        };
        const bytes = sent.udp ? udp(sent) : tcp({ ...sent, flags: "S" });
        const verdict = rig.run("filter", bytes, { hook: FORWARD, in: LAN, out: WAN, mark: sent.mark });
        const what = `seed ${seed}: ${flags} ${JSON.stringify(sent)}\n${ipset}`;
        assertEquals(verdict !== ACCEPT, holds(type, texts, flags, sent), what);
      }
    }
  });
}

/** One form for all texts of a part; ranges of addresses and ports, which are several members, by their first. */
function canonical(part: string, dimension: string, family: 4 | 6): string {
  if (dimension === "net") {
    const [address, length = family === 4 ? "32" : "128"] = part.split("/");
    return `${bits(address).slice(0, Number(length))}/${length}`;
  }
  if (dimension === "mark") return String(Number(part));
  // Neighbours of a range can be the same member; so each host and each port counts as all of its kind.
  return dimension === "ip" || dimension === "port" ? "" : part;
}
