/**
 * What a case is, and the set-up that most share: a client on `lan`, a server beyond `wan`, MASQUERADE between them.
 *
 * @module
 */
import {
  fragments,
  icmpEcho,
  type Payload,
  tcp,
  type TcpOptions,
  udp,
  type UdpOptions,
} from "../../kit/packets.ts";
import { parse } from "../../kit/show.ts";
import { packet, type Scenario, type Step } from "../scenario.ts";
import type { View } from "../view.ts";

/** One case: a scenario and what must be true of anybody's answer to it. */
export interface Case {
  /** Group letter and number, with a letter behind it where one idea needs several scenarios. */
  id: string;
  /** What is shown, as a sentence. */
  says: string;
  scenario: Scenario;
  /** Fails when an answer is not as it should be. */
  expect: (v: View) => void;
  /** Takes real seconds: the kernel is asked only when it is to be recorded. */
  slow?: boolean;
}

/** The client and another host beside it. */
export const C = "192.0.2.2", C2 = "192.0.2.3";
/** The router's own addresses. */
export const LAN = "192.0.2.1", WAN = "203.0.113.1";
/** The server, another one, and a router on the way to them. */
export const S = "198.51.100.7", S2 = "198.51.100.8", R = "203.0.113.254";
/** The same for IPv6. */
export const C6 = "2001:db8:1::2", LAN6 = "2001:db8:1::1", WAN6 = "2001:db8:3::1", S6 = "2001:db8:2::7";

/** The interfaces of IPv4 cases. */
export const NET = {
  interfaces: { lan: { addresses: [`${LAN}/24`] }, wan: { addresses: [`${WAN}/24`] } },
  routes: [{ destination: "0.0.0.0/0", interface: "wan" }],
} as const;

/** The interfaces of cases with IPv6, or with both. */
export const NET6 = {
  interfaces: {
    lan: { addresses: [`${LAN}/24`, `${LAN6}/64`] },
    wan: { addresses: [`${WAN}/24`, `${WAN6}/64`] },
  },
  routes: [{ destination: "0.0.0.0/0", interface: "wan" }, { destination: "::/0", interface: "wan" }],
} as const;

/** Rules that count what mangle FORWARD sees, by ctstate. */
export const COUNT = `*mangle
-A FORWARD -m conntrack --ctstate NEW
-A FORWARD -m conntrack --ctstate ESTABLISHED
-A FORWARD -m conntrack --ctstate RELATED
-A FORWARD -m conntrack --ctstate INVALID
-A FORWARD -m conntrack --ctstate UNTRACKED
COMMIT
`;

/** A nat table with these rules. */
export const nat = (...rules: string[]) => `*nat\n${rules.join("\n")}\nCOMMIT\n`;
/** A raw table with these rules. */
export const raw = (...rules: string[]) => `*raw\n${rules.join("\n")}\nCOMMIT\n`;
/** A filter table with these rules. */
export const filter = (...rules: string[]) => `*filter\n${rules.join("\n")}\nCOMMIT\n`;
/** A mangle table with these rules. */
export const mangle = (...rules: string[]) => `*mangle\n${rules.join("\n")}\nCOMMIT\n`;

/** MASQUERADE out of wan, and counting. */
export const M = COUNT + nat("-A POSTROUTING -o wan -j MASQUERADE");
/**
 * What a careful router adds: INVALID is dropped. Also on INPUT: an answer that conntrack refuses is not translated back,
 * so it is for the router itself, which would send a RST.
 */
export const DROP_INVALID = filter(
  "-A INPUT -m conntrack --ctstate INVALID -j DROP",
  "-A FORWARD -m conntrack --ctstate INVALID -j DROP",
);

/** A segment of the client's, from port 1000 to the server's port 80 unless said otherwise. */
export function c(flags: string, o: Partial<TcpOptions> = {}): Step {
  return packet("lan", tcp({ src: C, sport: 1000, dst: S, dport: 80, ...o, flags }));
}

/** A segment of the server's, to the router's public address. */
export function s(flags: string, o: Partial<TcpOptions> = {}): Step {
  return packet("wan", tcp({ src: S, sport: 80, dst: WAN, dport: 1000, ...o, flags }));
}

/** A datagram of the client's, from port 1000 to the server's port 53 unless said otherwise. */
export function cu(o: Partial<UdpOptions> = {}): Step {
  return packet("lan", udp({ src: C, sport: 1000, dst: S, dport: 53, payload: "query", ...o }));
}

/** A datagram of the server's, to the router's public address. */
export function su(o: Partial<UdpOptions> = {}): Step {
  return packet("wan", udp({ src: S, sport: 53, dst: WAN, dport: 1000, payload: "answer", ...o }));
}

/** Initial sequence numbers of `handshake`. */
export const ISN_C = 1000, ISN_S = 5000;

/** A connection is opened: three segments, with ISN_C and ISN_S. */
export function handshake(client: Partial<TcpOptions> = {}, server: Partial<TcpOptions> = {}): Step[] {
  return [
    c("S", { seq: ISN_C, ...client }),
    s("SA", { seq: ISN_S, ack: ISN_C + 1, ...server }),
    c("A", { seq: ISN_C + 1, ack: ISN_S + 1, ...client, options: [] }),
  ];
}

/** One line of text on a control connection. */
export function line(
  side: "c" | "s",
  seq: number,
  ack: number,
  text: Payload,
  o: Partial<TcpOptions> = {},
): Step {
  return (side === "c" ? c : s)("PA", { seq, ack, payload: text, ...o });
}

/** Answers the last packet that left by `iface`: addresses and ports change places. */
export function answer(iface: string, o: Partial<TcpOptions & UdpOptions> = {}): Step {
  return packet(iface, (seen) => {
    const last = seen.filter((e) => e.iface === iface).at(-1);
    if (last === undefined) throw new Error(`nothing left by ${iface} that could be answered`);
    const p = parse(last.bytes);
    const back = { src: p.dst, dst: p.src, sport: p.dport!, dport: p.sport!, ...o };
    if (p.type !== undefined) {
      return icmpEcho({ ...back, reply: true, echoId: p.echoId, echoSeq: p.rest! & 0xffff });
    }
    return p.protocol === 6
      ? tcp({ flags: "SA", seq: ISN_S, ack: p.seq! + 1, ...back })
      : udp({ payload: "answer", ...back });
  });
}

/** A packet arrives in fragments of this size or these sizes, with this IP id. */
export function fragmented(
  iface: string,
  bytes: Uint8Array,
  sizes: number | readonly number[],
  id: number,
): Step[] {
  return fragments(bytes, sizes, id).map((f) => packet(iface, f));
}
