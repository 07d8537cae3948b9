/** Matches and targets about single headers and bytes, asked of Linux and of Weir: each rule counts what it fits. */
import { fragments, icmpEcho, ip, tcp, udp } from "../kit/packets.ts";
import { assertAlike } from "./ask.ts";
import { C, C6, filter, LAN, LAN6, mangle, NET6, S, S6 } from "./cases/case.ts";
import { kernelAvailable } from "./kernel.ts";
import { packet, type Scenario, type Step } from "./scenario.ts";

const ends = (six: boolean) => six ? { src: C6, dst: S6 } : { src: C, dst: S };
const both = [false, true];

/** A segment with this byte of flags and this traffic class. */
function segment(six: boolean, flags: number, tos: number, payload: string | number = 0): Step {
  const bytes = tcp({ ...ends(six), sport: 1, dport: 80, flags: "A", seq: 1, ack: 1, tos, payload });
  const l4 = six ? 40 : 20, old = bytes[l4 + 13];
  bytes[l4 + 13] = flags;
  const view = new DataView(bytes.buffer);
  let sum = (~view.getUint16(l4 + 16) & 0xffff) + (~old & 0xffff) + flags;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(l4 + 16, ~sum);
  return packet("lan", bytes);
}

/** A packet to the server with these headers in front of the payload; each is a number, and its bytes behind the next one's. */
function chain(
  headers: readonly (readonly [number: number, rest: readonly number[]])[],
  protocol = 17,
  cut = 0,
): Step {
  const payload = [...headers, [protocol, []] as const].flatMap(([, rest], i) =>
    i === headers.length ? [0, 1, 0, 2, 0, 12, 0, 0, 1, 2, 3, 4] : [headers[i + 1]?.[0] ?? protocol, ...rest]
  );
  const bytes = ip({
    src: C6,
    dst: S6,
    protocol: headers[0]?.[0] ?? protocol,
    payload: payload.slice(0, payload.length - cut),
  });
  return packet("lan", bytes);
}
const zeros = (n: number) => new Array<number>(n).fill(0);
/** Extension headers: options, routing, fragment, authentication. */
const HOP = [0, [0, 5, 2, 0, 0, 1, 0]] as const,
  LONG = [60, [1, 1, 4, 9, 9, 9, 9, 0, 5, 2, 0, 0, 0, 0, 0]] as const;
const DST = [60, [0, 1, 4, 0, 0, 0, 0]] as const, ROUTE = [43, [2, 0, 0, ...zeros(20)]] as const;
const FRAG = (word: number, id = 7, reserved = 0) =>
  [44, [reserved, word >> 8, word & 255, 0, 0, 0, id]] as const;
const AUTH = (words: number, spi: number, reserved = 0) =>
  [51, [words, 0, reserved, 0, 0, 0, spi, ...zeros(words * 4)]] as const;

const scenarios: Readonly<Record<string, Pick<Scenario, "iptables" | "ip6tables" | "steps">>> = {
  "ecn: both headers, whole and in pieces": (() => {
    const rules = [
      ...[0, 1, 2, 3].flatMap((ect) => [`--ecn-ip-ect ${ect}`, `! --ecn-ip-ect ${ect}`]),
    ].map((o) => `-A FORWARD -m ecn ${o}`).concat(
      ["", "! "].flatMap((e) =>
        ["", "! "].map((c) => `-A FORWARD -p tcp -m ecn ${e}--ecn-tcp-ece ${c}--ecn-tcp-cwr --ecn-ip-ect 2`)
      ),
      ["--ecn-tcp-ece", "! --ecn-tcp-ece", "--ecn-tcp-cwr", "! --ecn-tcp-cwr --ecn-ip-ect 0"].map((o) =>
        `-A FORWARD -p tcp -m ecn ${o}`
      ),
    );
    const large = (six: boolean) =>
      fragments(
        tcp({ ...ends(six), sport: 1, dport: 80, flags: "A", seq: 1, payload: "\xff".repeat(120) }),
        64,
      );
    return {
      iptables: filter(...rules),
      ip6tables: filter(...rules),
      steps: both.flatMap((six) => [
        ...[0x10, 0x50, 0x90, 0xd0].flatMap((flags) =>
          [0, 2, 0xb9, 3].map((tos) => segment(six, flags, tos))
        ),
        packet("lan", udp({ ...ends(six), sport: 1, dport: 1, tos: 2, payload: 80 })),
        packet("lan", ip({ ...ends(six), protocol: 6, payload: 12 })),
        ...large(six).map((bytes) => packet("lan", bytes)),
      ]),
    };
  })(),
  "ECN: bits taken out and set": {
    iptables: mangle(
      "-A FORWARD -p tcp --dport 80 -j ECN --ecn-tcp-remove",
      "-A FORWARD -p tcp --dport 81 -j ECN --ecn-tcp-cwr 1 --ecn-tcp-ece 0",
      "-A POSTROUTING -p tcp --sport 2 -j ECN --ecn-ip-ect 3 --ecn-tcp-ece 1",
      "-A PREROUTING -p udp -j ECN --ecn-ip-ect 1",
      "-A FORWARD -p tcp -f -j ECN --ecn-tcp-remove",
    ),
    steps: [
      ...[0x10, 0x50, 0x90, 0xd0].flatMap((flags) =>
        [0, 0xba].map((tos) => segment(false, flags, tos, "data"))
      ),
      ...[81, 82].flatMap((dport) =>
        [1, 2].map((sport) => packet("lan", tcp({ src: C, dst: S, sport, dport, flags: "SEC", seq: 1 })))
      ),
      packet("lan", udp({ src: C, dst: S, sport: 1, dport: 1, tos: 0xb8, payload: "x" })),
      packet("lan", ip({ src: C, dst: S, protocol: 6, payload: 12 })),
      ...fragments(tcp({ src: C, dst: S, sport: 1, dport: 80, flags: "A", payload: "\xff".repeat(120) }), 64)
        .map((bytes) => packet("lan", bytes)),
    ],
  },
  "owner: what the router sends itself, and what it forwards": (() => {
    const options = [
      "--socket-exists",
      "! --socket-exists",
      "--uid-owner 0",
      "! --uid-owner 0",
      "--gid-owner 0-4294967294",
      "! --gid-owner 0",
      "! --socket-exists ! --uid-owner 0",
      "--socket-exists ! --uid-owner 0",
      "--uid-owner 0 ! --gid-owner 5",
      "! --uid-owner 0 ! --gid-owner 5 --suppl-groups",
    ];
    const rules = (error: string) =>
      filter(
        "-A FORWARD -p tcp --dport 1 -j REJECT --reject-with tcp-reset",
        `-A FORWARD -p udp --dport 1 -j REJECT --reject-with ${error}`,
        "-A INPUT -p tcp --dport 1 -j REJECT --reject-with tcp-reset",
        ...options.map((o) => `-A OUTPUT -m owner ${o}`),
      ) + mangle(...options.map((o) => `-A POSTROUTING -m owner ${o}`));
    return {
      iptables: rules("icmp-port-unreachable"),
      ip6tables: rules("icmp6-port-unreachable"),
      steps: both.flatMap((six) => {
        const there = ends(six), own = { ...there, dst: six ? LAN6 : LAN };
        return [
          icmpEcho({ ...own, echoId: 1, echoSeq: 1 }),
          udp({ ...own, sport: 1, dport: 9, payload: 1 }),
          tcp({ ...own, sport: 1, dport: 9, flags: "S" }),
          tcp({ ...own, sport: 1, dport: 1, flags: "S" }),
          udp({ ...there, sport: 1, dport: 9, ttl: 1, payload: 1 }),
          udp({ ...there, sport: 1, dport: 9, payload: 1 }),
          udp({ ...there, sport: 1, dport: 1, payload: 1 }),
          tcp({ ...there, sport: 1, dport: 1, flags: "S" }),
          tcp({ ...there, sport: 1, dport: 2, flags: "S" }),
          udp({ ...there, sport: 1, dport: 3, payload: 2000 }),
        ].map((bytes) => packet("lan", bytes));
      }),
    };
  })(),
  "ah and esp: which association": (() => {
    const esps = ["", "--espspi 5", "--espspi 0:4", "! --espspi 5:9", "--espspi 9:5"].map((o) =>
      `-A FORWARD -p esp -m esp ${o}`
    );
    const ahs = ["", "--ahspi 5", "--ahspi :4", "! --ahspi 5:9"];
    const spi = (six: boolean, protocol: number, value: number, length: number, more = {}) =>
      packet(
        "lan",
        ip({
          ...ends(six),
          protocol,
          payload: Uint8Array.from(
            protocol === 50
              ? [0, 0, 0, value, ...zeros(length)]
              : [17, 1, 0, 0, 0, 0, 0, value, ...zeros(length)],
          ),
          ...more,
        }),
      );
    return {
      iptables: filter(...esps, ...ahs.map((o) => `-A FORWARD -p ah -m ah ${o}`)),
      ip6tables: filter(
        ...esps,
        ...[...ahs, "--ahlen 16", "! --ahlen 16", "! --ahlen 0", "--ahres", "--ahspi 5 --ahlen 12 --ahres"]
          .map((o) => `-A FORWARD -m ah ${o}`),
      ),
      steps: [
        ...both.flatMap((six) => [0, 5, 10].map((value) => spi(six, 50, value, 20))),
        spi(false, 51, 5, 20),
        spi(false, 51, 10, 4),
        spi(false, 51, 5, 3),
        spi(false, 50, 5, 3),
        spi(false, 50, 5, 20, { offset: 64 }),
        spi(false, 51, 5, 20, { offset: 64, mf: true }),
        spi(true, 50, 5, 3),
        chain([AUTH(1, 5)]),
        chain([AUTH(2, 5)]),
        chain([AUTH(1, 10, 1)]),
        chain([HOP, AUTH(1, 4)]),
        chain([DST]),
        chain([FRAG(1), AUTH(1, 5)]),
        chain([FRAG(0x40), AUTH(1, 5)]),
      ],
    };
  })(),
  "frag, hbh, dst and ipv6header: headers of IPv6": {
    ip6tables: filter(
      ...[
        "",
        "--fragid 7",
        "! --fragid 7:9",
        "--fragfirst",
        "--fragmore",
        "--fraglast",
        "--fragres",
        "--fraglen 8",
        "! --fraglen 8",
        "--fraglen 16",
      ].map((o) => `-A FORWARD -m frag ${o}`),
      ...["hbh", "dst"].flatMap((name) =>
        [
          "",
          "len 8",
          "len 16",
          "opts 5",
          "opts 5:2",
          "opts 5:3",
          "opts 1:4",
          "opts 5:2,1:0",
          "opts 1:4,0,5",
          "opts 1:4,0,5:2,0",
        ]
          .map((o) => `-A FORWARD -m ${name} ${o === "" ? "" : `--${name}-${o}`}`)
          .concat(`-A FORWARD -m ${name} ! --${name}-len 8 --${name}-opts 1`)
      ),
      ...[
        "hop",
        "dst",
        "frag",
        "auth",
        "route",
        "esp",
        "none",
        "prot",
        "hop,prot",
        "dst,prot",
        "hop,dst,prot",
        "frag,prot",
      ]
        .flatMap((list) =>
          ["", "! "].flatMap((not) =>
            ["", " --soft"].map((soft) => `-A FORWARD -m ipv6header ${not}--header ${list}${soft}`)
          )
        ),
    ),
    steps: [
      chain([]),
      chain([HOP]),
      chain([DST]),
      chain([LONG]),
      chain([HOP, LONG]),
      chain([HOP, DST, ROUTE]),
      chain([AUTH(1, 5)]),
      chain([], 50),
      chain([DST], 50),
      chain([], 59),
      chain([DST], 59),
      chain([HOP], 200),
      chain([FRAG(0)]),
      chain([FRAG(1)]),
      chain([FRAG(0x41, 8)]),
      chain([FRAG(0x40, 9)]),
      chain([FRAG(0x07, 10)]),
      chain([FRAG(0x01, 11, 3)]),
      chain([DST, FRAG(1, 12)]),
      chain([FRAG(1, 13), DST]),
      chain([FRAG(0x40, 13), DST]),
      chain([LONG], 17, 16),
    ],
  },
  "u32: words, operators and places": (() => {
    const rules = [
      "6&0xFF=17",
      "4&0x3FFF=0",
      "6&0xFF=6 && 0>>22&0x3C@12>>26&0x3C@0=0x47455420",
      "0>>22&0x3C@0>>16=1000:1001,4000",
      "0>>22&0x3C@0>>16=1001:1000",
      "2&0xffff=0:60",
      "0=0:0xffffffff",
      "0xffffffff=0:0xffffffff",
      "24=0:0xffffffff",
      "25=0:0xffffffff",
      "28=0:0xffffffff",
      "0@0=0:0xffffffff",
      "0&0@24=0:0xffffffff",
      "0&0@25=0:0xffffffff",
      "0&1<<31>>31=0",
      "0<<4>>28=5",
      "12<<8<<8>>16=0x0202",
      "0&0@0&0@4@4=0:0xffffffff",
      "6&0xFF=17&&20=0:0xffffffff&&8=1:0xfffffffe",
      "6>>8=58&&40>>24=128",
    ].flatMap((tests) => [`-A FORWARD -m u32 --u32 "${tests}"`, `-A FORWARD -m u32 ! --u32 "${tests}"`]);
    return {
      iptables: filter(...rules),
      ip6tables: filter(...rules),
      steps: both.flatMap((six) => [
        ...["", "x", "GET / HTTP", "xy"].flatMap((payload) => [
          packet("lan", udp({ ...ends(six), sport: 1000, dport: 53, payload })),
          packet("lan", tcp({ ...ends(six), sport: 4000, dport: 80, flags: "PA", seq: 1, ack: 1, payload })),
        ]),
        packet("lan", icmpEcho({ ...ends(six), echoId: 1, echoSeq: 1 })),
        packet("lan", ip({ ...ends(six), protocol: 200, payload: 0 })),
        packet("lan", ip({ ...ends(six), protocol: 200, payload: 3 })),
      ]),
    };
  })(),
};

for (const [says, scenario] of Object.entries(scenarios)) {
  Deno.test({
    name: `headers ${says}`,
    ignore: !kernelAvailable(),
    fn: () => assertAlike({ ...NET6, ...scenario }, says),
  });
}
