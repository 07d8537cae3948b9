/**
 * Conversations of a client behind MASQUERADE, 192.0.2.2, with a server, as packets made in advance into which the
 * client's port is written; so the router must not verify checksums.
 */
import { fragments, tcp, udp } from "../kit/mod.ts";

export const CLIENT = "192.0.2.2", SERVER = "198.51.100.7", OWN = "198.51.100.1";

/** A packet of a conversation, and where the client's port stands in it; 0 where it stays. */
export type Step = readonly [iface: 1 | 2, bytes: Uint8Array, port: number];

const LAN = { src: CLIENT, sport: 0, dst: SERVER }, WAN = { src: SERVER, dst: OWN, dport: 0 };
const up = (bytes: Uint8Array): Step => [1, bytes, 20], down = (bytes: Uint8Array): Step => [2, bytes, 22];

/** An open connection says `words` in a row, and ends. */
function tcpTalk(dport: number, words: readonly string[], end: "FIN" | "RST"): Step[] {
  const steps: Step[] = [
    up(tcp({ ...LAN, dport, flags: "S", seq: 0 })),
    down(tcp({ ...WAN, sport: dport, flags: "SA", seq: 0, ack: 1 })),
    up(tcp({ ...LAN, dport, flags: "A", seq: 1, ack: 1 })),
  ];
  let seq = 1;
  for (const payload of words) {
    steps.push(up(tcp({ ...LAN, dport, flags: "PA", seq, ack: 1, payload })));
    seq += payload.length;
  }
  if (end === "RST") return [...steps, up(tcp({ ...LAN, dport, flags: "RA", seq, ack: 1 }))];
  return [
    ...steps,
    up(tcp({ ...LAN, dport, flags: "FA", seq, ack: 1 })),
    down(tcp({ ...WAN, sport: dport, flags: "FA", seq: 1, ack: seq + 1 })),
    up(tcp({ ...LAN, dport, flags: "A", seq: seq + 1, ack: 2 })),
  ];
}

const pieces = fragments(
  udp({ ...LAN, sport: 7, dport: 4000, payload: 900, df: false, checksum: 0 }),
  456,
  9,
);

/** What takes turns; of 1,000 conversations, each of `often`. */
export const TALKS: readonly (readonly [often: number, steps: readonly Step[]])[] = [
  [600, [
    up(udp({ ...LAN, dport: 53, payload: 30, checksum: 0 })),
    down(udp({ ...WAN, sport: 53, payload: 90, checksum: 0 })),
  ]],
  [190, [up(udp({ ...LAN, dport: 9, payload: 30, checksum: 0 }))]],
  [150, tcpTalk(443, ["hello"], "FIN")],
  [50, tcpTalk(80, ["hello"], "RST")],
  // Two announcements: an expectation that nobody answers, corrections of sequence numbers.
  [6, tcpTalk(21, ["PORT 192,0,2,2,4,1\r\n", "PORT 192,0,2,2,16,1\r\n"], "RST")],
  [2, pieces.map((bytes): Step => [1, bytes, 0])],
  // Never whole.
  [2, [[1, fragments(udp({ ...LAN, sport: 7, dport: 4000, payload: 900, df: false }), 456, 10)[0], 0]]],
];
