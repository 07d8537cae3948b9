/**
 * What `src/nat/RFC.md` says of the default is what Linux does: the kernel is asked the questions in which the two
 * profiles, or Linux and the RFCs, part ways.
 */
import { concat, fragments, icmp, icmpEcho, icmpError, tcp, udp } from "../kit/packets.ts";
import { assertAlike } from "../oracle/ask.ts";
import { kernelAvailable } from "../oracle/kernel.ts";
import { packet, type Scenario, type Step } from "../oracle/scenario.ts";
import { A, B, MASQUERADE, OUTSIDE, S, T } from "./gateway.ts";

const query = (src: string, sport: number, dst: string) => packet("lan", udp({ src, sport, dst, dport: 53 }));
const ping = (src: string, dst: string) => packet("lan", icmpEcho({ src, dst, echoId: 7 }));
/** An error about the first packet that left, changed by `change`. */
const error = (change: (quoted: Uint8Array) => Uint8Array = (b) => b, o = {}) =>
  packet(
    "wan",
    (seen) => icmpError({ src: T, dst: OUTSIDE, type: 11, quoted: change(seen[0].bytes.slice()), ...o }),
  );
const flip = (at: number) => (bytes: Uint8Array) => {
  bytes[at] ^= 0x55;
  return bytes;
};
const pieces = (o: { src: string; sport: number; payload: number }, sizes: number, id: number) =>
  fragments(udp({ ...o, dst: OUTSIDE, dport: 5000, df: false }), sizes, id);

const CASES: Record<string, Step[]> = {
  "ports are shared while targets differ, and change with the target when they do not": [
    query(A, 5000, S),
    query(B, 5000, T),
    query(B, 5000, S),
  ],
  "so are identifiers": [ping(A, S), ping(B, T), ping(B, S)],
  "strangers are not let in by a mapping": [
    query(A, 5000, S),
    packet("wan", udp({ src: T, sport: 9, dst: OUTSIDE, dport: 5000 })),
    packet("wan", udp({ src: S, sport: 9, dst: OUTSIDE, dport: 5000 })),
  ],
  "nothing hairpins without rules": [
    query(B, 7000, S),
    packet("lan", udp({ src: A, sport: 5000, dst: OUTSIDE, dport: 7000 })),
    packet("lan", tcp({ src: A, sport: 5000, dst: OUTSIDE, dport: 7000, flags: "S" })),
  ],
  "an unsolicited SYN is reset": [
    packet("wan", tcp({ src: S, sport: 80, dst: OUTSIDE, dport: 5000, flags: "S", seq: 9 })),
    packet("lan", tcp({ src: A, sport: 5000, dst: S, dport: 80, flags: "S", seq: 9 })),
  ],
  "an error with a wrong checksum is dropped": [query(A, 5000, S), error(undefined, { badChecksum: true })],
  "the quoted packet's own checksums are not looked at": [
    query(A, 5000, S),
    error(flip(10)),
    error(flip(26)),
  ],
  "extensions of an error pass": [
    query(A, 5000, S),
    error(
      (b) => concat(b, new Uint8Array(128 - b.length), [0x20, 0, 0xdf, 0xff, 0, 8, 1, 1, 0, 0x10, 1, 0x40]),
      { rest: 32 << 16 },
    ),
  ],
  "an error from inside about nothing known leaves untranslated": [
    packet(
      "lan",
      icmpError({ src: A, dst: S, type: 3, code: 3, quoted: udp({ src: S, sport: 1, dst: A, dport: 2 }) }),
    ),
  ],
  "other messages are INVALID": [
    ...[13, 15, 17].map((type) => packet("lan", icmp({ src: A, dst: S, type, rest: 9 << 16, payload: 12 }))),
    ...[9, 10, 19, 42].map((type) => packet("lan", icmp({ src: A, dst: S, type, payload: 8 }))),
    ...[15, 17, 10].map((type) => packet("wan", icmp({ src: S, dst: OUTSIDE, type, payload: 8 }))),
  ],
  "a flood of fragments keeps other fragments out, and no whole packets": [
    query(A, 5000, S),
    ...Array.from(
      { length: 6000 },
      (_, i) => packet("wan", pieces({ src: `192.0.2.${i % 250}`, sport: 1, payload: 1400 }, 1000, i + 1)[0]),
    ),
    ...pieces({ src: S, sport: 53, payload: 2000 }, 1200, 7).map((bytes) => packet("wan", bytes)),
    packet("wan", udp({ src: S, sport: 53, dst: OUTSIDE, dport: 5000 })),
  ],
};

for (const [says, steps] of Object.entries(CASES)) {
  const live = kernelAvailable();
  Deno.test({
    name: `by default as Linux: ${says}${live ? "" : " (left out: no kernel to ask)"}`,
    ignore: !live,
    fn() {
      const scenario: Scenario = {
        interfaces: { lan: { addresses: ["10.0.0.1/24"] }, wan: { addresses: [`${OUTSIDE}/24`] } },
        routes: [{ destination: "0.0.0.0/0", interface: "wan" }],
        iptables: MASQUERADE,
        steps,
      };
      assertAlike(scenario);
    },
  });
}
