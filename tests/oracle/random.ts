/**
 * Scenarios drawn by chance: what nobody thought of writing down as a case. The same seed gives the same scenario.
 *
 * Ports are chosen so that NAT never has to draw one: answers stay equal byte for byte.
 *
 * @module
 */
import { type Random, Xoshiro } from "../../src/clock.ts";
import {
  concat,
  type Extension,
  fragment,
  icmp,
  icmpEcho,
  icmpError,
  ip,
  type TcpOption,
} from "../kit/packets.ts";
import { sctp, SCTP_CHUNK, type SctpChunk, sctpInit, tcp, udp } from "../kit/packets.ts";
import {
  C,
  C2,
  C6,
  COUNT,
  LAN,
  LAN6,
  M,
  nat,
  NET,
  NET6,
  R,
  raw,
  S,
  S2,
  S6,
  WAN,
  WAN6,
} from "./cases/case.ts";
import { helpersScenario } from "./random_helpers.ts";
import { rulesScenario } from "./random_rules.ts";
import { dump, packet, type Scenario, type Step } from "./scenario.ts";

/** Draws. */
export class Dice {
  readonly #random: Random;
  constructor(seed: number) {
    this.#random = new Xoshiro(seed);
  }
  /** 0 … n−1. */
  below(n: number): number {
    return Math.floor((this.#random.next() >>> 0) / 4294967296 * n);
  }
  one<T>(...list: T[]): T {
    return list[this.below(list.length)];
  }
  /** True once in n. */
  once(n: number): boolean {
    return this.below(n) === 0;
  }
  word(): number {
    return this.#random.next() >>> 0;
  }
  bytes(n: number): Uint8Array {
    return Uint8Array.from({ length: n }, () => this.below(256));
  }
  shuffle<T>(list: T[]): T[] {
    for (let i = list.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [list[i], list[j]] = [list[j], list[i]];
    }
    return list;
  }
}

/** The tables are written down after every so many packets. */
function withDumps(steps: Step[], every: number): Step[] {
  return steps.flatMap((step, i) => (i + 1) % every === 0 ? [step, dump(`after ${i + 1}`)] : [step]);
}

const u32 = (n: number) => n >>> 0;

function tcpOptions(d: Dice, syn: boolean, ack: number): TcpOption[] {
  const options: TcpOption[] = [];
  if (syn && !d.once(3)) options.push({ mss: d.one(536, 1460, 65535) });
  if (syn && d.once(2)) options.push({ nop: true }, { wscale: d.one(0, 2, 7, 14, 15, 200) });
  if (syn && d.once(2)) options.push({ sackPermitted: true });
  if (d.once(4)) options.push({ nop: true }, { nop: true }, { timestamp: [d.word(), d.word()] });
  if (!syn && d.once(6)) {
    const left = u32(ack + d.one(0, 100, 1000, -1000));
    options.push({ nop: true }, { nop: true }, { sack: [[left, u32(left + d.one(1, 100, 70000))]] });
  }
  if (d.once(30)) options.push({ raw: [...d.bytes(1 + d.below(6))] });
  return options;
}

/** Segments of a few connections, most of them nearly right. */
function tcpScenario(d: Dice): Scenario {
  const flows = Array.from({ length: 3 }, (_, i) => ({
    port: 1000 + i,
    next: [d.once(4) ? 0xffffff00 : d.word(), d.once(4) ? 0xffffff00 : d.word()],
    stage: 0,
  }));
  const wrong = () =>
    d.once(5) ? d.one(-1, 1, -1000, 1000, -66000, 66000, 70000, -70000, 0x7fffffff, 0x80000000) : 0;
  const steps: Step[] = [];
  for (let i = 0; i < 80; i++) {
    const flow = flows[d.below(d.one(1, 3))];
    let side = d.below(2),
      flags = d.one("A", "A", "A", "PA", "PA", "FA", "R", "RA", "S", "SA", "", "F", "SF", "SEC", "AU", "FR");
    // Most of the time a connection opens as it should.
    if (flow.stage < 3 && !d.once(5)) {
      side = flow.stage === 1 ? 1 : 0;
      flags = ["S", "SA", "A"][flow.stage++];
    } else if (flow.stage >= 3 && d.once(2)) flags = d.one("A", "PA");
    const size = flags.includes("S") ? 0 : d.one(0, 0, 1, 100, 1460);
    const seq = u32(flow.next[side] + wrong()), ack = u32(flow.next[1 - side] + wrong());
    const o = {
      flags,
      seq,
      ack: flags.includes("A") || d.once(3) ? ack : 0,
      win: d.one(0, 1, 512, 8192, 65535, 65535),
      payload: size,
      options: tcpOptions(d, flags.includes("S"), ack),
      badChecksum: d.once(40),
    };
    steps.push(
      side === 0
        ? packet("lan", tcp({ src: C, sport: flow.port, dst: S, dport: 80, ...o }))
        : packet("wan", tcp({ src: S, sport: 80, dst: WAN, dport: flow.port, ...o })),
    );
    if (!d.once(10)) flow.next[side] = u32(seq + size + (/[SF]/.test(flags) ? 1 : 0));
    if (flags.includes("R") && d.once(2)) flow.stage = 0;
  }
  const sysctl: Record<string, number> = {};
  if (d.once(4)) sysctl["net.netfilter.nf_conntrack_tcp_loose"] = 0;
  if (d.once(6)) sysctl["net.netfilter.nf_conntrack_tcp_be_liberal"] = 1;
  if (d.once(6)) sysctl["net.netfilter.nf_conntrack_tcp_ignore_invalid_rst"] = 1;
  return { ...NET, iptables: M, sysctl, steps: withDumps(steps, 10) };
}

/** Chunks of an association and of others. */
function sctpScenario(d: Dice): Scenario {
  const tags = [0x11111111, 0x22222222, 0x33333333], types = Object.values(SCTP_CHUNK);
  const chunk = (): SctpChunk => {
    const type = d.one(...types, 200);
    if (type === 1 || type === 2) return sctpInit(d.one(...tags), 1, type === 2);
    return {
      type,
      flags: d.below(2),
      body: [...d.bytes(d.one(0, 4, 4, 12))],
      length: d.once(20) ? d.below(9) : undefined,
    };
  };
  const opening: [number, number, SctpChunk][] = [
    [0, 0, sctpInit(tags[0], 1)],
    [1, tags[0], sctpInit(tags[1], 1, true)],
    [0, tags[1], { type: SCTP_CHUNK.COOKIE_ECHO, body: [1, 2, 3, 4] }],
    [1, tags[0], { type: SCTP_CHUNK.COOKIE_ACK }],
  ];
  const steps: Step[] = [];
  for (let i = 0, stage = 0; i < 40; i++) {
    let [side, vtag, chunks] = [d.below(2), d.one(0, ...tags), [chunk()]];
    if (stage < 4 && !d.once(4)) {
      const [s, v, c] = opening[stage++];
      [side, vtag, chunks] = [s, v, [c]];
    } else {
      if (!d.once(4)) vtag = tags[1 - side];
      while (d.once(4)) chunks.push(chunk());
    }
    const o = { vtag, chunks, badChecksum: d.once(30) };
    steps.push(
      side === 0
        ? packet("lan", sctp({ src: C, sport: 1000, dst: S, dport: 36412, ...o }))
        : packet("wan", sctp({ src: S, sport: 36412, dst: WAN, dport: 1000, ...o })),
    );
  }
  return { ...NET, iptables: M, steps: withDumps(steps, 5) };
}

/** Datagrams, pings, and errors about them with quotes that are cut and changed. */
function datagramScenario(d: Dice): Scenario {
  const v6 = d.once(3);
  const [client, server, router, lan, other] = v6
    ? [C6, S6, WAN6, LAN6, "2001:db8:2::9"]
    : [C, S, WAN, LAN, S2];
  const steps: Step[] = [], sent: { iface: string; bytes: Uint8Array }[] = [];
  for (let i = 0; i < 60; i++) {
    const port = 20000 + d.below(4), ttl = d.one(64, 64, 64, 1, 2);
    const bad = { badChecksum: d.once(15), tos: d.one(0, 0, 0x10, 0xb8, 3), ttl };
    const side = d.below(2);
    const ends = side === 0
      ? { src: client, dst: d.one(server, server, other, lan, router) }
      : { src: d.one(server, server, other), dst: d.one(router, router, client) };
    const ports = side === 0 ? { sport: port, dport: 53 } : { sport: 53, dport: port };
    let bytes: Uint8Array;
    switch (d.below(6)) {
      case 0:
      case 1:
        bytes = udp({
          ...ends,
          ...ports,
          ...bad,
          payload: d.below(60),
          ...d.once(8) ? { udpLength: d.below(80) } : {},
          ...d.once(8) ? { checksum: 0 } : {},
        });
        break;
      case 2:
        bytes = icmpEcho({ ...ends, ...bad, echoId: port, reply: side === 1, payload: d.below(60) });
        break;
      case 3: {
        const type = v6
          ? d.one(128, 129, 133, 139, 140, 150, 1)
          : d.one(0, 8, ...(side === 0 && ends.dst === server ? [13] : []), 14, 15, 16, 17, 18, 30, 10);
        bytes = icmp({
          ...ends,
          ...bad,
          type,
          code: d.one(0, 0, 3),
          rest: (port << 16) | 1,
          payload: d.below(60),
        });
        break;
      }
      default: {
        if (sent.length === 0) continue;
        const about = d.one(...sent);
        // Seen from outside: the client's packet has the router's address.
        const quoted = d.once(2) ? about.bytes.slice() : translated(about.bytes, v6);
        if (d.once(4)) quoted[d.below(quoted.length)] ^= 1 << d.below(8);
        // A timestamp request to the router itself would be answered with the time of day.
        const type = v6 ? d.one(1, 2, 3, 4, 100) : d.one(3, 3, 4, 5, 11, 12);
        bytes = icmpError({
          ...ends,
          ...bad,
          src: d.one(ends.src, v6 ? "2001:db8:2::fe" : R),
          type,
          code: d.below(5),
          rest: d.one(0, 1280, 8 << 24),
          quoted,
          quote: d.one(undefined, 8, 8, 20, d.below(12)),
        });
      }
    }
    const iface = side === 0 ? "lan" : "wan";
    steps.push(packet(iface, bytes));
    sent.push({ iface, bytes });
  }
  const rules = M +
    (d.once(3)
      ? nat(
        `-A PREROUTING -i wan -p udp --dport 20003 -j DNAT --to-destination ${
          v6 ? `[${client}]` : client
        }:7000`,
        "-A POSTROUTING -o wan -j MASQUERADE",
      )
      : "");
  const text = rules.split("*nat").length > 2 ? COUNT + "*nat" + rules.split("*nat")[2] : rules;
  return { ...(v6 ? NET6 : NET), [v6 ? "ip6tables" : "iptables"]: text, steps: withDumps(steps, 15) };
}

/** A client's packet as it looks beyond the router, checksums left as they were. */
function translated(bytes: Uint8Array, v6: boolean): Uint8Array {
  const out = bytes.slice();
  if (v6) out.set([0x20, 1, 0xd, 0xb8, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 8);
  else out.set([203, 0, 113, 1], 12);
  return out;
}

/** Fragments in any order, some twice, some missing, some over others; and links of several sizes. */
function fragmentScenario(d: Dice): Scenario {
  const v6 = d.once(2), steps: Step[] = [];
  for (let n = 0; n < 8; n++) {
    const size = d.one(40, 200, 1400, 3000, 6000), id = v6 ? 0x10000 + n : 900 + n;
    const ends = v6 ? { src: C6, dst: S6 } : { src: C, dst: S };
    const df = d.once(3);
    const whole = d.once(4) ? icmpEcho({ ...ends, echoId: 100 + n, payload: size, df }) : udp({
      ...ends,
      sport: 1000 + n,
      dport: 53,
      payload: size,
      df,
      ...d.once(6) && !v6 ? { ipOptions: [7, 7, 4, 0, 0, 0, 0, 0] } : {},
    });
    const header = v6 ? 40 : (whole[0] & 15) * 4, payload = whole.slice(header);
    const list: Uint8Array[] = [];
    const unit = d.one(8, 64, 576, 1200, 1376);
    for (let at = 0; at < payload.length; at += unit) {
      if (list.length > 60) break;
      const more = at + unit < payload.length;
      list.push(fragment(whole.slice(0, header), payload.slice(at, at + unit), at, more, id));
    }
    if (d.once(4)) list.push(d.one(...list));
    if (d.once(6)) list.splice(d.below(list.length), 1);
    if (d.once(6)) {
      const at = d.below(payload.length) & ~7;
      list.push(
        fragment(whole.slice(0, header), payload.slice(at, at + d.one(8, 16, 64)), at, !d.once(3), id),
      );
    }
    if (d.once(12)) {
      list.push(fragment(whole.slice(0, header), d.bytes(d.one(0, 7, 8)), d.one(0, 65528), d.once(2), id));
    }
    if (d.once(2)) d.shuffle(list);
    steps.push(...list.map((bytes) => packet("lan", bytes)));
  }
  const net = v6 ? NET6 : NET, mtu = d.one(1500, 1500, 1280);
  return {
    interfaces: { lan: net.interfaces.lan, wan: { ...net.interfaces.wan, mtu } },
    routes: net.routes,
    [v6 ? "ip6tables" : "iptables"]: M,
    steps,
  };
}

/** IP headers that a careful router must look at twice, and IPv6 extension headers. */
function headerScenario(d: Dice): Scenario {
  const steps: Step[] = [];
  for (let i = 0; i < 60; i++) {
    const port = 1000 + i;
    if (d.once(2)) {
      const extensions: Extension[] = Array.from({ length: d.below(4) }, () => ({
        header: d.one("hop", "destination", "routing", "destination"),
        body: d.once(3)
          ? [...d.bytes(d.one(6, 14))]
          : d.one([1, 4, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0], [5, 2, 0, 0, 1, 0]),
      }));
      const bytes = udp({
        src: d.one(C6, C6, C6, "::1", "ff02::1", "fe80::1", "::"),
        dst: d.one(S6, S6, S6, "::1", "ff02::1", "fe80::2", LAN6, "2001:db8:1::", "2001:db8:1::99"),
        sport: port,
        dport: 53,
        ttl: d.one(64, 64, 64, 0, 1, 2),
        payload: d.below(40),
        extensions,
        flowLabel: d.one(0, 5),
        tos: d.one(0, 0xb8),
        trailer: d.one(0, 0, 9),
        ...d.once(10) ? { totalLength: d.below(100) } : {},
        ...d.once(20) ? { version: d.below(16) } : {},
      });
      steps.push(packet("lan", d.once(12) ? bytes.slice(0, d.below(bytes.length)) : bytes));
    } else {
      const ipOptions = d.once(2) ? [] : d.one<number[]>(
        [7, 7, 4, 0, 0, 0, 0],
        [7, 11, 8, 0, 0, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0],
        [148, 4, 0, 0],
        [131, 7, 4, 192, 0, 2, 9],
        [137, 3, 4],
        [136, 4, 0, 1],
        [...d.bytes(d.one(4, 8, 12))],
      );
      const bytes = udp({
        src: d.one(
          C,
          C,
          C,
          C2,
          LAN,
          "127.0.0.1",
          "0.0.0.0",
          "0.1.2.3",
          "255.255.255.255",
          "224.0.0.1",
          "169.254.1.1",
        ),
        dst: d.one(
          S,
          S,
          S,
          S2,
          LAN,
          WAN,
          "127.0.0.1",
          "0.0.0.0",
          "192.0.2.255",
          "192.0.2.0",
          "224.0.0.5",
          "203.0.113.255",
        ),
        sport: port,
        dport: 53,
        ttl: d.one(64, 64, 64, 0, 1, 2),
        payload: d.below(40),
        tos: d.one(0, 0xb8),
        evil: d.once(8),
        df: d.once(2),
        ipOptions,
        trailer: d.one(0, 0, 9),
        badIpChecksum: d.once(12),
        ...d.once(12) ? { totalLength: d.below(100) } : {},
        ...d.once(12) ? { ihl: d.below(16) } : {},
        ...d.once(20) ? { version: d.below(16) } : {},
      });
      steps.push(packet("lan", d.once(12) ? bytes.slice(0, d.below(bytes.length)) : bytes));
    }
  }
  const text = d.once(3) ? undefined : M;
  return { ...NET6, iptables: text, ip6tables: text, steps };
}

/** Lines of FTP control connections, most of them nearly right, cut and sent again as it comes. */
function ftpScenario(d: Dice): Scenario {
  const steps: Step[] = [], behind = d.once(2);
  const helper = raw("-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp");
  const target = d.one("203.0.113.50", "9.9.9.9", "203.0.1.1");
  for (let n = 0; n < 4; n++) {
    // Sequence numbers as each side sees its own; what the router adds to them is followed by guesses, some wrong.
    const next = [1000, 5000], port = 1000 + n;
    const grown = [0, 0];
    const send = (side: number, flags: string, text: string, lost = false, shift = 0) => {
      const o = {
        flags,
        seq: u32(next[side] + shift),
        ack: flags === "S" ? 0 : u32(next[1 - side] + grown[1 - side]),
        payload: text,
      };
      steps.push(
        side === 0
          ? packet("lan", tcp({ src: C, sport: port, dst: S, dport: 21, ...o }))
          : packet("wan", tcp({ src: S, sport: 21, dst: target, dport: port, ...o })),
      );
      if (!lost) next[side] = u32(next[side] + text.length + (flags.includes("S") ? 1 : 0));
    };
    send(0, "S", "");
    send(1, "SA", "");
    send(0, "A", "");
    send(1, "PA", "220 hi\r\n");
    send(0, "PA", "USER a\r\n");
    for (let i = 0; i < 8; i++) {
      const side = d.below(2), p = 40000 + 100 * n + i * 3;
      let text = side === 0
        ? d.one(
          `PORT 192,0,2,2,${p >> 8},${p & 255}\r\n`,
          `port 192,0,2,2,${p >> 8},${p & 255}\r\n`,
          `EPRT |1|192.0.2.2|${p}|\r\n`,
          `PORT 192,0,2,3,${p >> 8},${p & 255}\r\n`,
          "NOOP\r\n",
          "EPSV\r\n",
          "LIST",
        )
        : d.one(
          `227 Entering Passive Mode (198,51,100,7,${p >> 8},${p & 255}).\r\n`,
          `229 Entering Extended Passive Mode (|||${p}|)\r\n`,
          "200 ok\r\n",
          "150-first\r\n150 second\r\n",
          `227 =198,51,100,7,${p >> 8},${p & 255}\r\n`,
        );
      if (d.once(3)) {
        const at = d.below(text.length);
        text = d.one(
          text.slice(0, at),
          text.slice(0, at) + text.slice(at + 1),
          text.slice(0, at) + " " + text.slice(at),
        );
      }
      send(side, "PA", text, d.once(4), d.once(10) ? d.one(-4, 4, 100) : 0);
      if (side === 0 && /^port 192,0,2,2,\d+,\d+\r\n$/i.test(text) && !d.once(5)) {
        grown[0] += target.length - 9;
      }
      if (d.once(3)) {
        steps.push(
          packet("wan", tcp({ src: d.one(S, S2), sport: 20, dst: target, dport: p, flags: "S", seq: 1 })),
        );
        steps.push(packet("lan", tcp({ src: C, sport: 2000 + i, dst: S, dport: p, flags: "S", seq: 1 })));
      }
    }
  }
  const rules = behind
    ? COUNT + helper + nat(`-A POSTROUTING -o wan -j SNAT --to-source ${target}`)
    : COUNT + helper + nat(`-A POSTROUTING -o wan -p tcp --dport 21 -j SNAT --to-source ${target}`);
  return { ...NET, iptables: rules, steps: withDumps(steps, 12) };
}

/** Protocols that are tracked by addresses alone, and bytes that are no protocol. */
function otherScenario(d: Dice): Scenario {
  const steps = Array.from({ length: 40 }, () => {
    const protocol = d.one(1, 2, 4, 6, 17, 33, 41, 47, 50, 51, 58, 89, 103, 132, 136, 253, 255, d.below(256));
    const out = d.once(2), ends = out ? { src: C, dst: d.one(S, LAN) } : { src: S, dst: d.one(WAN, C) };
    const body = d.once(3) ? d.bytes(d.below(40)) : concat([3, 232, 0, 53], d.bytes(d.below(30)));
    return packet(out ? "lan" : "wan", ip({ ...ends, protocol, payload: body }));
  });
  return { ...NET, iptables: M, steps: withDumps(steps, 10) };
}

/** Kinds of scenarios by name. */
export const RANDOM_KINDS: Readonly<Record<string, (d: Dice) => Scenario>> = {
  tcp: tcpScenario,
  sctp: sctpScenario,
  datagrams: datagramScenario,
  fragments: fragmentScenario,
  headers: headerScenario,
  ftp: ftpScenario,
  others: otherScenario,
  helpers: helpersScenario,
  rules: rulesScenario,
};

/** The scenario of a kind and seed. */
export function randomScenario(kind: string, seed: number): Scenario {
  return RANDOM_KINDS[kind](new Dice(seed));
}
