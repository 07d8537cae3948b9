/**
 * Random packets through Linux's connection tracker and through ours: every packet must be to both the same, NEW,
 * ESTABLISHED, RELATED, INVALID or UNTRACKED, and both tables must read the same in the end.
 *
 * In the kernel a rule tells a packet's state by its TTL. `WEIR_SEED=7` asks for other packets than usual.
 */
import { assertEquals } from "@std/assert";
import { below } from "../../src/clock.ts";
import {
  gre,
  icmp,
  icmpEcho,
  icmpError,
  ip,
  sctp,
  SCTP_CHUNK,
  type SctpChunk,
  sctpInit,
  seeded,
  tcp,
  type TcpOption,
  udp,
  udplite,
} from "../kit/mod.ts";
import { askKernel, kernelAvailable } from "../oracle/kernel.ts";
import { packet } from "../oracle/scenario.ts";
import { Rig } from "./rig.ts";

/** One packet from a side, and what led to it. */
interface Sent {
  side: "lan" | "wan";
  bytes: Uint8Array;
  story: string[];
}

const C = "192.0.2.2", S = "198.51.100.7", C6 = "2001:db8:1::2", S6 = "2001:db8:2::7";
const STATES = ["INVALID", "NEW", "ESTABLISHED", "RELATED", "UNTRACKED"];
const rules = (target: string, option: string) =>
  "*mangle\n" +
  STATES.map((s, i) => `-A POSTROUTING -m conntrack --ctstate ${s} -j ${target} --${option}-set ${101 + i}\n`)
    .join("") +
  "COMMIT\n";

/** What tells a listed flow from others: protocol number and original tuple. */
function idOf(line: string): string {
  const second = line.indexOf("src=", line.indexOf("src=") + 1);
  return line.split(/ +/)[1] + " " + line.slice(line.indexOf("src="), second).replace(/\[.*?\] /, "");
}

/** A listed flow without its timeout, and that. */
function split(line: string): [string, number] {
  const words = line.split(/ +/);
  const time = Number(words[2]);
  words[2] = "";
  return [words.join(" "), time];
}

/** Runs packets through both and compares. */
function agree(packets: readonly Sent[], sysctl: Record<string, number> = {}): void {
  const answer = askKernel({
    interfaces: {
      lan: { addresses: ["192.0.2.1/24", "2001:db8:1::1/64"] },
      wan: { addresses: ["203.0.113.1/24", "2001:db8:3::1/64"] },
    },
    routes: [{ destination: "0.0.0.0/0", interface: "wan" }, { destination: "::/0", interface: "wan" }],
    iptables: rules("TTL", "ttl"),
    ip6tables: rules("HL", "hl"),
    sysctl: Object.fromEntries(
      Object.entries(sysctl).map(([k, v]) => [`net.netfilter.nf_conntrack_${k}`, v]),
    ),
    steps: packets.map(({ side, bytes }) => packet(side, bytes)),
  });
  const theirs = new Map<number, string>();
  for (const { step, bytes } of answer.emitted) {
    theirs.set(step, STATES[(bytes[0] >> 4 === 4 ? bytes[8] : bytes[7]) - 101]);
  }
  const rig = new Rig({ capacity: 8192, sysctl: { max: 8000, ...sysctl } });
  packets.forEach(({ bytes, story }, i) => {
    assertEquals(rig.send(bytes), theirs.get(i), `packet ${i}:\n${story.join("\n")}`);
  });
  const ours = new Map(rig.flows().map((line) => [idOf(line), line]));
  const listed = answer.dumps[0].conntrack;
  assertEquals([...ours.keys()].sort(), listed.map(idOf).sort());
  for (const line of listed) {
    const [text, time] = split(line), [ourText, ourTime] = split(ours.get(idOf(line))!);
    assertEquals(ourText, text);
    if (Math.abs(time - ourTime) > 3) throw new Error(`${line}\n${ours.get(idOf(line))}`);
  }
}

const seed = Number(Deno.env.get("WEIR_SEED") ?? 1);
let random = seeded(seed);
const n = (most: number) => below(random, most);
const pick = <T>(...from: T[]): T => from[n(from.length)];

/** Packets in order, each with the story of its flow. */
class Script {
  readonly packets: Sent[] = [];
  #story: string[] = [];
  begin(): void {
    this.#story = [];
  }
  push(dir: number, bytes: Uint8Array, what: string): void {
    this.#story.push(`${dir === 0 ? ">" : "<"} ${what}`);
    this.packets.push({ side: dir === 0 ? "lan" : "wan", bytes, story: [...this.#story] });
  }
}

/** TCP flows that mostly behave, and now and then do not. */
function tcpFlows(flows: number, each: number): Sent[] {
  const script = new Script();
  for (let f = 0; f < flows; f++) {
    script.begin();
    const isn = [n(2 ** 32), n(2 ** 32)], next = [...isn];
    const scale = [n(9), n(8)], scaled = [n(2), n(2)], sack = [n(2), n(2)];
    for (let k = 0; k < each; k++) {
      const opening = k < 2 && n(10) < 8;
      const flags = opening
        ? ["S", "SA"][k]
        : pick("A", "A", "A", "PA", "PA", "FA", "FA", "R", "RA", "S", "SA", "AU", "FAU", "F", "", "SF");
      const dir = opening ? k : n(2), peer = 1 - dir, proper = opening || n(10) < 6;
      const payload = /[PA]/.test(flags) && !/[SR]/.test(flags) ? pick(0, 0, 1, 100, 1000) : 0;
      let seq = next[dir], ack = next[peer];
      if (flags.includes("S")) {
        seq = pick(isn[dir], isn[dir], isn[dir], next[dir], n(2 ** 32), isn[dir] + 100_000);
        ack = pick(next[peer], next[peer], isn[peer] + 1, isn[peer] + 5);
      } else if (!proper) {
        seq += pick(0, -1, 1, -100, 100, 70_000, -70_000, 1_000_000, -seq);
        ack += pick(0, 0, 0, -1, 1, -1000, 1000, -70_000, 90_000, -ack);
      }
      const options: TcpOption[] = [];
      if (flags.includes("S")) {
        if (scaled[dir]) options.push({ wscale: pick(scale[dir], scale[dir], 15) });
        if (sack[dir]) options.push({ sackPermitted: true });
      } else if (flags.includes("A") && n(5) === 0) {
        const edge = (ack + pick(100, 1000, -5, 100_000)) >>> 0;
        options.push({ nop: true }, { nop: true }, { sack: [[(edge - 50) >>> 0, edge]] });
      } else if (n(8) === 0) {
        options.push({ nop: true }, { nop: true }, { timestamp: [1, 2] });
      }
      seq >>>= 0;
      ack = flags === "R" && n(2) === 0 ? 0 : ack >>> 0;
      const win = pick(65535, 65535, 1000, 512, 0, 29200);
      const o = dir === 0
        ? { src: C, sport: 1000 + f, dst: S, dport: 80 }
        : { src: S, sport: 80, dst: C, dport: 1000 + f };
      script.push(
        dir,
        tcp({ ...o, flags, seq, ack, win, payload, options }),
        `${flags} seq ${(seq - isn[dir]) | 0} ack ${(ack - isn[peer]) | 0} length ${payload} win ${win} ` +
          JSON.stringify(options),
      );
      if (flags.includes("S") && seq === isn[dir]) next[dir] = (seq + 1) >>> 0;
      else if (proper && !/[SR]/.test(flags)) {
        next[dir] = (next[dir] + payload + (flags.includes("F") ? 1 : 0)) >>> 0;
      }
    }
  }
  return script.packets;
}

/** Everything else that is not an ICMP error. */
function otherFlows(flows: number): Sent[] {
  const script = new Script();
  for (let f = 0; f < flows; f++) {
    script.begin();
    const v4 = f % 2 === 0, ends = v4 ? [C, S] : [C6, S6];
    const kind = pick(
      "udp",
      "udp",
      "udplite",
      "icmp",
      "icmp",
      "gre",
      "esp",
      "unknown",
      "cut sctp",
      "other icmp",
      "end",
    );
    for (let k = 0; k < 5; k++) {
      const dir = k === 0 ? pick(0, 0, 0, 1) : n(2), o = { src: ends[dir], dst: ends[1 - dir] };
      const ports = dir === 0 ? { sport: 10_000 + f, dport: 53 } : { sport: 53, dport: 10_000 + f };
      let x: Record<string, unknown> = {}, bytes: Uint8Array;
      switch (kind) {
        case "udp":
          x = pick<Record<string, unknown>>(
            {},
            {},
            {},
            { checksum: 0 },
            { badChecksum: true },
            { udpLength: 4 },
            { udpLength: 200 },
            { udpLength: 8 },
            { cut: 3 },
            { cut: 7 },
          );
          bytes = udp({ ...o, ...ports, payload: 20, ...x });
          break;
        case "udplite":
          x = pick<Record<string, unknown>>({}, { coverage: 8 }, { coverage: 4 }, { coverage: 100 }, {
            checksum: 0,
          });
          bytes = udplite({ ...o, ...ports, payload: 20, ...x });
          break;
        case "icmp": {
          const type = v4
            ? pick(8, 0, 8, 0, 13, 14, 15, 16, 17, 18, 9, 10, 19, 42, 1)
            : pick(128, 129, 128, 129, 139, 140, 130, 133, 135, 137, 143, 151, 152, 100, 200, 255);
          x = { type, ...pick({}, {}, {}, { badChecksum: true }, { cut: 4 }, { cut: 7 }, { cut: 8 }) };
          bytes = icmp({ ...o, type, rest: (f << 16) | k, payload: 16, ttl: pick(64, 255), ...x });
          break;
        }
        case "gre":
          x = pick<Record<string, unknown>>({}, { key: 5 }, { pptp: { callId: f } }, {
            protocolType: 0x880b,
          });
          bytes = gre({ ...o, payload: 10, ...x });
          break;
        case "other icmp": {
          const type = v4 ? pick(128, 129) : pick(8, 0);
          bytes = ip({ ...o, protocol: v4 ? 58 : 1, payload: [type, 0, 0, 0, f >> 8, f & 255, 0, 1] });
          break;
        }
        case "cut sctp":
          bytes = ip({ ...o, protocol: 132, payload: pick(2, 4, 11, 12, 14) });
          break;
        default:
          bytes = ip({
            ...o,
            protocol: { esp: 50, unknown: 253, end: 59 }[kind as "esp"],
            payload: pick(0, 3, 30),
          });
      }
      script.push(dir, bytes, `${kind} ${JSON.stringify(x)}`);
    }
  }
  return script.packets;
}

/** SCTP associations, in order and out of it. */
function sctpFlows(flows: number): Sent[] {
  const script = new Script(), kinds = Object.keys(SCTP_CHUNK) as (keyof typeof SCTP_CHUNK)[];
  const ORDER = ["INIT", "INIT_ACK", "COOKIE_ECHO", "COOKIE_ACK", "DATA", "SACK"] as const;
  for (let f = 0; f < flows; f++) {
    script.begin();
    const tags = [n(2 ** 32), n(2 ** 32)];
    for (let k = 0; k < 12; k++) {
      const proper = n(10) < 6 && k < ORDER.length, kind = proper ? ORDER[k] : pick(...kinds);
      const dir = proper ? k % 2 : n(2);
      let vtag = kind === "INIT" ? 0 : tags[1 - dir];
      if (n(6) === 0) vtag = pick(0, tags[dir], 12345);
      const make = (kind: keyof typeof SCTP_CHUNK): SctpChunk =>
        kind === "INIT"
          ? sctpInit(pick(tags[dir], tags[dir], n(2 ** 32)), 1)
          : kind === "INIT_ACK"
          ? sctpInit(pick(tags[dir], tags[dir], n(2 ** 32)), 1, true)
          : {
            type: SCTP_CHUNK[kind],
            flags: pick(0, 0, 0, 1),
            body: kind === "DATA" ? new Uint8Array(13) : [1, 2, 3, 4],
          };
      const chunks = [make(kind)], names = [kind as string];
      if (n(8) === 0) {
        const more = pick(...kinds);
        chunks.push(make(more));
        names.push(more);
      }
      if (n(30) === 0) chunks[0].length = pick(0, 3, 100);
      const o = dir === 0
        ? { src: C, sport: 2000 + f, dst: S, dport: 5000 }
        : { src: S, sport: 5000, dst: C, dport: 2000 + f };
      script.push(dir, sctp({ ...o, vtag, chunks, badChecksum: n(40) === 0 }), `${names} tag ${vtag}`);
    }
  }
  return script.packets;
}

/** ICMP errors about flows and about none. */
function icmpErrors(flows: number): Sent[] {
  const script = new Script();
  for (let f = 0; f < flows; f++) {
    script.begin();
    const v4 = f % 2 === 0, ends = v4 ? [C, S] : [C6, S6];
    const routers = v4 ? ["192.0.2.9", "203.0.113.9"] : ["2001:db8:1::9", "2001:db8:3::9"];
    const strangers = v4 ? ["192.0.2.77", "198.51.100.77"] : ["2001:db8:1::77", "2001:db8:2::77"];
    const kind = pick("tcp", "udp", "icmp", "gre", "sctp", "unknown");
    const make = (dir: number, port: number): Uint8Array => {
      const o = { src: ends[dir], dst: ends[1 - dir] };
      const ports = dir === 0 ? { sport: port, dport: 80 } : { sport: 80, dport: port };
      switch (kind) {
        case "tcp":
          return tcp({ ...o, ...ports, flags: dir ? "SA" : "S", seq: 100, ack: dir ? 101 : 0 });
        case "udp":
          return udp({ ...o, ...ports, payload: 30 });
        case "icmp":
          return icmpEcho({ ...o, echoId: port, reply: dir === 1 });
        case "gre":
          return gre({ ...o, pptp: { callId: port }, payload: 20 });
        case "sctp":
          return sctp({ ...o, ...ports, vtag: dir ? 5 : 0, chunks: [sctpInit(dir + 5, 1, dir === 1)] });
        default:
          return ip({ ...o, protocol: 253, payload: 20 });
      }
    };
    script.push(0, make(0, 3000 + f), kind);
    if (n(2)) script.push(1, make(1, 3000 + f), `${kind} answer`);
    for (let k = 0; k < 6; k++) {
      const about = n(2), dir = 1 - about;
      let quoted = make(about, n(6) === 0 ? 30_000 + f : 3000 + f),
        what = `error about ${about === 0 ? ">" : "<"}`;
      if (v4 && n(8) === 0) {
        quoted = Uint8Array.from(quoted);
        quoted[6] = 0;
        quoted[7] = 5;
        what += " fragment";
      }
      if (n(10) === 0) {
        quoted = icmpError({ src: ends[about], dst: ends[1 - about], type: v4 ? 3 : 1, quoted });
        what += " error";
      }
      const stray = n(6) === 0, quote = pick(undefined, undefined, 8, 8, 4, 3, 0, 7);
      script.push(
        dir,
        icmpError({
          src: pick(ends[dir], routers[dir]),
          dst: stray ? strangers[about] : ends[about],
          type: v4 ? pick(3, 3, 4, 5, 11, 12) : pick(1, 2, 3, 4, 100, 127, 0),
          quoted,
          badChecksum: n(5) === 0,
          ...(quote === undefined ? {} : { quote }),
        }),
        `${what} quote ${quote}${stray ? " astray" : ""}`,
      );
    }
  }
  return script.packets;
}

const CASES: [string, () => Sent[], Record<string, number>?][] = [
  ["TCP", () => tcpFlows(400, 14)],
  ["long TCP flows", () => tcpFlows(80, 70)],
  ["TCP, nothing picked up in its middle", () => tcpFlows(150, 14), { tcp_loose: 0 }],
  ["TCP, be_liberal", () => tcpFlows(150, 14), { tcp_be_liberal: 1 }],
  ["TCP, ignore_invalid_rst", () => tcpFlows(150, 14), { tcp_ignore_invalid_rst: 1 }],
  ["UDP, UDP-Lite, ICMP queries, GRE and unknown protocols", () => otherFlows(500)],
  ["UDP and others, with counters and without checksums", () => otherFlows(300), { acct: 1, checksum: 0 }],
  ["SCTP", () => sctpFlows(250)],
  ["ICMP errors", () => icmpErrors(250)],
];
for (const [says, packets, sysctl] of CASES) {
  Deno.test({
    name: `Linux and Weir agree about ${says}`,
    // Needs root, /dev/net/tun, iptables and conntrack.
    ignore: !kernelAvailable(),
    fn() {
      random = seeded(seed);
      agree(packets(), sysctl);
    },
  });
}
