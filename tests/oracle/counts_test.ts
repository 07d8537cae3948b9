/**
 * Matches that count, asked of Linux and of Weir: connections of an address, what a flow has carried, what a rule may
 * still let pass. Each rule counts the packets that it fits; time passes between the steps, since Linux looks at its lists
 * of connections once in a tick.
 */
import { assertEquals } from "@std/assert";
import { icmpError, tcp, udp } from "../kit/packets.ts";
import { assertAlike } from "./ask.ts";
import { C, C2, C6, filter, NET6, raw, S, S2, S6 } from "./cases/case.ts";
import { kernelAvailable } from "./kernel.ts";
import { packet, type Scenario, type Step, wait } from "./scenario.ts";
import { askWeir } from "./weir.ts";

const server = (src: string) => src.includes(":") ? S6 : S;
/** A segment of a client's, or of the server's. */
const up = (flags: string, port: number, o: { src?: string; seq?: number; ack?: number } = {}) =>
  packet(
    "lan",
    tcp({
      src: C,
      dst: server(o.src ?? C),
      sport: port,
      dport: 80,
      seq: 1000,
      ack: flags.includes("A") ? 5001 : 0,
      ...o,
      flags,
    }),
  );
const down = (flags: string, port: number, o: { dst?: string; seq?: number; ack?: number } = {}) =>
  packet(
    "wan",
    tcp({ src: server(o.dst ?? C), dst: C, sport: 80, dport: port, seq: 5000, ack: 1001, ...o, flags }),
  );
const open = (port: number, host = C) => [
  up("S", port, { src: host }),
  down("SA", port, { dst: host }),
  up("A", port, { src: host, seq: 1001 }),
];
const datagram = (sport: number, dport: number, src = C, dst = server(src)) =>
  packet("lan", udp({ src, dst, sport, dport, payload: 1 }));

const above = (limits: readonly number[], chain: string, more = "") =>
  limits.map((limit) => `-A ${chain} -m connlimit --connlimit-above ${limit}${more}`);

/** Steps with more than a tick between them. */
function apart(...steps: (Step | Step[])[]): Step[] {
  return steps.flatMap((step) => [step, wait(9)].flat());
}

const carried = ["packets", "bytes", "avgpkt"].flatMap((mode) =>
  ["original", "reply", "both"].flatMap((dir) =>
    ["0:", "1:", "2", ":3", "29:300", "! 29:58", "! 41:", "60:18446744073709551615", "! 2:2"].map((range) => {
      const [not, value] = range.startsWith("!") ? ["! ", range.slice(2)] : ["", range];
      return `-A FORWARD -m connbytes ${not}--connbytes ${value} --connbytes-mode ${mode} --connbytes-dir ${dir}`;
    })
  )
).concat(
  "-A FORWARD -p udp -m udp --dport 99 -m connbytes --connbytes 1: --connbytes-mode packets --connbytes-dir both -j DROP",
);

const closing = [
  up("FA", 1, { seq: 1001 }),
  down("FA", 1, { seq: 5001, ack: 1002 }),
  up("A", 1, { seq: 1002, ack: 5002 }),
];

const scenarios: Readonly<Record<string, Pick<Scenario, "iptables" | "ip6tables" | "steps">>> = {
  "connbytes: what a flow has carried, either way": {
    iptables: raw("-A PREROUTING -m connbytes --connbytes 0: --connbytes-mode packets --connbytes-dir both") +
      filter(...carried),
    ip6tables: filter(...carried),
    steps: [
      ...open(1),
      up("A", 1, { seq: 1001 }),
      ...open(1, C6),
      down("A", 1, { seq: 5001, ack: 1001 }),
      ...[1, 1, 2, 1, 1].map((port) => datagram(port, 53)),
      packet("wan", udp({ src: S, dst: C, sport: 53, dport: 1, payload: 300 })),
      datagram(1, 53),
      datagram(1, 99),
      packet("lan", tcp({ src: C, dst: S, sport: 5, dport: 5, flags: "R" })),
    ],
  },
  "quota: bytes, to the last": (() => {
    const rules = [
      "--quota 0",
      "! --quota 0",
      "--quota 28",
      "--quota 29",
      "! --quota 58",
      "--quota 100",
      "--quota 150",
      "--quota 4294967296",
      "--quota 18446744073709551615",
    ].map((o) => `-A FORWARD -m quota ${o}`);
    return {
      iptables: filter(...rules),
      ip6tables: filter(...rules),
      steps: [
        datagram(1, 1),
        datagram(1, 1, C6),
        packet("lan", udp({ src: C, dst: S, sport: 1, dport: 1, payload: 50 })),
        ...[1, 2, 3, 4].flatMap((port) => [datagram(port, 1), datagram(port, 1, C6)]),
        packet("lan", udp({ src: C, dst: S, sport: 1, dport: 1, payload: 0 })),
      ],
    };
  })(),
  "connlimit: connections that begin, go on, and end": {
    iptables: filter(
      ...above([0, 1, 2, 3, 4], "FORWARD -i lan"),
      ...above([0, 1, 2, 3], "FORWARD -i wan"),
      "-A FORWARD -i lan -m connlimit ! --connlimit-above 2",
      "-A FORWARD -p udp -m udp --dport 99 -j DROP",
    ),
    steps: apart(
      ...open(1),
      ...open(2),
      up("S", 3),
      up("S", 3),
      down("RA", 1, { seq: 5001 }),
      up("S", 3),
      up("S", 4, { src: C2 }),
      datagram(9, 99),
      datagram(9, 99),
      datagram(9, 98),
      [datagram(10, 99), datagram(10, 99), datagram(10, 99)],
      up("R", 77),
      up("A", 78),
      [up("S", 5), up("R", 2, { seq: 1001 })],
      up("R", 2, { seq: 1001 }),
      up("S", 5),
    ),
  },
  "connlimit: what comes behind the end of the only connection is dropped": {
    iptables: filter(...above([0, 1], "FORWARD -i lan"), "-A FORWARD -i lan"),
    steps: apart(
      open(1),
      ...closing,
      closing[2],
      [closing[2], closing[2]],
      up("S", 2),
      closing[2],
      up("S", 1, { seq: 900000 }),
      up("S", 1, { seq: 900000 }),
    ),
  },
  "connlimit: no more than 65 that have ended are forgotten at once": {
    iptables: filter(
      ...above(Array.from({ length: 22 }, (_, i) => i * 10 + 5), "FORWARD"),
      ...above([133, 134, 135, 136, 137, 70, 71, 72, 73], "FORWARD"),
    ),
    steps: [
      ...Array.from({ length: 200 }, (_, i) => datagram(1000 + i, 53)),
      { do: "delete", arguments: ["-p", "udp"] },
      ...apart([], ...[1, 2, 2, 2, 3].map((port) => datagram(port, 53))),
    ],
  },
  "connlimit: networks, destinations, and a chain that a packet passes twice": (() => {
    const rules = (whole: number, net: number) =>
      filter(
        ":twice - [0:0]",
        ...above([0, 1, 2, 3], "FORWARD", ` --connlimit-mask ${net}`),
        ...above([0, 1, 2, 3], "FORWARD", " --connlimit-mask 0 --connlimit-daddr"),
        ...above([0, 1, 2], "FORWARD", ` --connlimit-mask ${whole} --connlimit-daddr`),
        "-A FORWARD -m connlimit --connlimit-upto 0",
        "-A FORWARD -j twice",
        "-A FORWARD -j twice",
        ...above([0, 1, 2, 3, 4], "twice"),
      );
    return {
      iptables: rules(32, 31),
      ip6tables: rules(128, 64),
      steps: apart(
        datagram(1, 1),
        datagram(1, 1, C2),
        datagram(1, 1, "192.0.2.4"),
        datagram(1, 1, C, S2),
        datagram(1, 1),
        datagram(1, 1, C6),
        datagram(1, 1, "2001:db8:1::77"),
        datagram(2, 1, C6),
        datagram(1, 1, C6),
        datagram(1, 1, C6, "2001:db8:2::8"),
      ),
    };
  })(),
  "connlimit: thousands of senders whose flows are gone, where Weir has room for a thousand": {
    iptables: filter(
      ...above([0, 1, 2, 3], "FORWARD"),
      "-A FORWARD -p udp -m udp --dport 99 -j DROP",
    ),
    steps: [
      ...apart(datagram(1, 1), datagram(2, 1)),
      ...Array.from({ length: 6000 }, (_, i) => datagram(1, 99, `10.1.${i % 2000 >> 8}.${i & 255}`)),
      ...apart(datagram(1, 1), datagram(3, 1), datagram(1, 99, "10.1.0.7"), datagram(2, 1)),
    ],
  },
  "connlimit: in raw, of packets without a flow, and in zones": {
    iptables: raw(
      ...above([0, 1, 2, 3], "PREROUTING"),
      "-A PREROUTING -p udp -m udp --dport 7 -j NOTRACK",
      "-A PREROUTING -p udp -m udp --dport 8 -j CT --zone 3",
      ...above([0, 1], "PREROUTING -p udp -m udp --dport 8"),
    ) + filter(
      ...above([0, 1, 2, 3], "FORWARD -i lan"),
      ...above([0, 1, 2], "FORWARD -i wan", " --connlimit-daddr"),
      "-A FORWARD",
    ),
    steps: apart(
      datagram(3, 1),
      datagram(4, 1),
      datagram(3, 1),
      datagram(5, 7),
      datagram(5, 7),
      datagram(4, 1),
      packet(
        "wan",
        icmpError({
          src: S,
          dst: C,
          type: 3,
          code: 3,
          quoted: udp({ src: C, dst: S, sport: 3, dport: 1, payload: 1 }),
        }),
      ),
      datagram(6, 8),
      datagram(6, 8),
      datagram(7, 8),
      datagram(4, 1),
    ),
  },
};

for (const [says, scenario] of Object.entries(scenarios)) {
  Deno.test({
    name: `counts ${says}`,
    ignore: !kernelAvailable(),
    fn: () => assertAlike({ ...NET6, ...scenario }, says),
  });
}

Deno.test("counts: several data planes share what they count", () => {
  for (const [says, scenario] of Object.entries(scenarios)) {
    const asked = { ...NET6, ...scenario };
    assertEquals(askWeir(asked, 3), askWeir(asked), says);
  }
});
