/**
 * Matches and targets that files of real machines have, asked of Linux and of Weir: each line counts the packets that
 * it fits.
 */
import { icmpEcho, tcp, udp } from "../kit/packets.ts";
import { assertAlike } from "./ask.ts";
import { C, C2, C6, filter, mangle, NET6, S, S2, S6 } from "./cases/case.ts";
import { kernelAvailable } from "./kernel.ts";
import { packet, type Scenario, type Step, wait } from "./scenario.ts";

/** A TCP SYN from the LAN. */
const syn = (src: string, dport: number, more: object = {}) =>
  packet("lan", tcp({ src, dst: src.includes(":") ? S6 : S, sport: 4000, dport, flags: "S", ...more }));
const datagram = (src: string, dport: number, more: object = {}) =>
  packet("lan", udp({ src, dst: src.includes(":") ? S6 : S, sport: 4000, dport, payload: "hello", ...more }));

const zeros = (n: number) => new Array<number>(n).fill(0);

/** A datagram behind extension headers; each begins with the next one's number. */
function withHeaders(headers: readonly [number, number[]][]): Uint8Array {
  const plain = udp({ src: C6, dst: S6, sport: 1, dport: 2, payload: 4 });
  const extra = headers.flatMap(([, bytes]) => bytes);
  const bytes = new Uint8Array([...plain.slice(0, 40), ...extra, ...plain.slice(40)]);
  new DataView(bytes.buffer).setUint16(4, bytes.length - 40);
  if (headers.length > 0) bytes[6] = headers[0][0];
  return bytes;
}

/** Rules of both families' FORWARD, and packets. */
const scenarios: Readonly<Record<string, Pick<Scenario, "iptables" | "ip6tables"> & { steps: Step[] }>> = {
  "what is the same for all packets of a TUN device": (() => {
    const rules = [
      ...["unicast", "broadcast", "multicast", "host"].flatMap((type) => [
        `-A FORWARD -m pkttype --pkt-type ${type}`,
        `-A FORWARD -m pkttype ! --pkt-type ${type}`,
      ]),
      "-A FORWARD -m mac --mac-source 00:00:5e:00:53:01",
      "-A FORWARD -m mac ! --mac-source 00:00:5e:00:53:01",
      ...[
        "--physdev-is-bridged",
        "--physdev-is-in",
        "--physdev-is-out",
        "--physdev-in lan",
        "--physdev-out wan",
      ]
        .flatMap((option) => [`-A FORWARD -m physdev ${option}`, `-A FORWARD -m physdev ! ${option}`]),
      "-A FORWARD -m physdev ! --physdev-in lan --physdev-out wan",
      "-A FORWARD -m physdev ! --physdev-in lan ! --physdev-out wan",
      "-A FORWARD -m policy --dir in --pol none",
      "-A FORWARD -m policy --dir out --pol none",
      "-A FORWARD -m policy --dir in --pol ipsec",
      "-A FORWARD -m policy --dir out --pol ipsec --strict --reqid 5 ! --spi 0x10 --proto esp --mode tunnel",
    ];
    const input = [
      "-A INPUT -m pkttype --pkt-type unicast",
      "-A INPUT -m mac ! --mac-source 00:00:5e:00:53:01",
    ];
    const text = filter(...rules, ...input) + mangle(
      "-A FORWARD -j CLASSIFY --set-class 1:10",
      "-A POSTROUTING -p udp -j CHECKSUM --checksum-fill",
    );
    return {
      iptables: text,
      ip6tables: text,
      steps: [
        syn(C, 80),
        datagram(C, 53),
        packet("lan", icmpEcho({ src: C, dst: "192.0.2.1", echoId: 1, echoSeq: 1 })),
        packet("lan", udp({ src: C, dst: "239.1.1.1", sport: 1, dport: 2, payload: 4 })),
        syn(C6, 80),
        datagram(C6, 53),
      ],
    };
  })(),
  "recent: lists that rules fill, ask, and take from": (() => {
    const rules = [
      "-A FORWARD -p tcp --dport 22 -m recent --rcheck --name SSH",
      "-A FORWARD -p tcp --dport 22 -m recent ! --rcheck --name SSH",
      "-A FORWARD -p tcp --dport 22 -m recent --update --seconds 60 --hitcount 3 --name SSH -j DROP",
      "-A FORWARD -p tcp --dport 22 -m recent --set --name SSH",
      "-A FORWARD -p tcp --dport 23 -m recent --remove --name SSH",
      "-A FORWARD -p tcp --dport 23 -m recent ! --remove --name SSH",
      "-A FORWARD -p udp -m recent --set --rdest",
      "-A FORWARD -p udp -m recent --rcheck",
      "-A FORWARD -p udp -m recent --rcheck --rdest",
      "-A FORWARD -p udp -m recent ! --set --name inverse",
      "-A FORWARD -p udp -m recent ! --update --seconds 1 --reap --hitcount 2 --name inverse",
      "-A FORWARD -m recent --rcheck --rttl --name SSH",
      "-A FORWARD -m recent --update --seconds 1 --reap --name SSH",
    ];
    const text = filter(...rules);
    const net = (mask: string) => [
      `-A INPUT -m recent --set --name net --mask ${mask}`,
      `-A FORWARD -m recent --rcheck --name net --mask ${mask}`,
    ];
    return {
      iptables: text.replace("COMMIT", [...net("255.255.255.0"), "COMMIT"].join("\n")),
      ip6tables: text.replace("COMMIT", [...net("ffff:ffff:ffff:ffff::"), "COMMIT"].join("\n")),
      steps: [
        ...[C, C2, C6].flatMap((src) => Array.from({ length: 5 }, () => syn(src, 22))),
        ...[C, C2, C, C6].map((src) => datagram(src, 53)),
        syn(C2, 22, { ttl: 9 }),
        packet("lan", icmpEcho({ src: C2, dst: "192.0.2.1", echoId: 1, echoSeq: 1 })),
        wait(1200),
        ...[C, C, C2, C6].flatMap((src) => [datagram(src, 53), syn(src, 23), syn(src, 22), syn(src, 22)]),
        packet("lan", udp({ src: C, dst: S2, sport: 1, dport: 2, payload: 4 })),
        syn(C, 22, { ttl: 9 }),
      ],
    };
  })(),
  "recent: a hundred addresses, the newest": {
    iptables: filter(
      "-A FORWARD -p tcp --dport 23 -m recent --rcheck",
      "-A FORWARD -p tcp --dport 22 -m recent --set",
    ),
    steps: [22, 23].flatMap((port) =>
      Array.from({ length: 130 }, (_, i) => syn(`192.0.2.${100 + (i * 7) % 130}`, port))
    ),
  },
  "hashlimit: buckets by address and port": (() => {
    const rules = [
      "--hashlimit-upto 2/sec --hashlimit-burst 3 --hashlimit-mode srcip --hashlimit-name a",
      "--hashlimit-above 2/sec --hashlimit-burst 3 --hashlimit-mode srcip --hashlimit-name a",
      "--hashlimit 10/min --hashlimit-name all",
      "--hashlimit-above 60/min --hashlimit-mode dstport,srcip --hashlimit-name b",
      "--hashlimit-above 7/min --hashlimit-mode srcport,dstip,dstport,srcip --hashlimit-name c",
      "! --hashlimit-upto 3/hour --hashlimit-burst 2 --hashlimit-mode dstip --hashlimit-name d",
      "--hashlimit-upto 3/sec --hashlimit-mode srcip --hashlimit-srcmask 24 --hashlimit-name net",
      "--hashlimit-upto 1000/day --hashlimit-burst 1 --hashlimit-mode srcip --hashlimit-name e " +
      "--hashlimit-htable-expire 500 --hashlimit-htable-gcinterval 100 --hashlimit-htable-size 100 --hashlimit-htable-max 1000",
    ].map((options) => `-A FORWARD -m hashlimit ${options}`);
    const burst = [C, C2, C6].flatMap((src) => [
      ...[53, 53, 54, 53, 53].map((port) => datagram(src, port)),
      ...[80, 81, 80].map((port) => syn(src, port)),
    ]);
    const ping = packet("lan", icmpEcho({ src: C, dst: S, echoId: 1, echoSeq: 1 }));
    return {
      iptables: filter(...rules),
      ip6tables: filter(...rules),
      steps: [...burst, ping, ping, wait(720), ...burst, wait(2600), ping, ...burst],
    };
  })(),
  "hashlimit: bytes by address": (() => {
    const rules = [
      "--hashlimit-upto 1kb/s --hashlimit-mode srcip --hashlimit-name a",
      "--hashlimit-above 1kb/s --hashlimit-mode srcip --hashlimit-name b",
      "--hashlimit-above 1kb/s --hashlimit-burst 3kb --hashlimit-mode srcip,dstport --hashlimit-name c",
      "--hashlimit-above 100b/s --hashlimit-name d",
      "--hashlimit-above 100b/s --hashlimit-burst 100b --hashlimit-mode dstport --hashlimit-name e",
      "--hashlimit-upto 16b/s --hashlimit-name f",
      "--hashlimit-above 10kb/s --hashlimit-mode srcip --hashlimit-name g",
      "--hashlimit-above 1kb/s --hashlimit-mode srcip --hashlimit-name h --hashlimit-htable-expire 500 " +
      "--hashlimit-htable-gcinterval 100",
    ].map((options) => `-A FORWARD -m hashlimit ${options}`);
    // Chosen so that some ticks more or less make no difference.
    const payloads = [60, 4, 4, 20, 4, 1400, 20, 700, 1400];
    const burst = [C, C2, C6].flatMap((src) =>
      payloads.map((payload, i) => datagram(src, 53 + i % 2, { payload }))
    );
    return {
      iptables: filter(...rules),
      ip6tables: filter(...rules),
      steps: [...burst, wait(700), ...burst, wait(2600), ...burst, ...burst],
    };
  })(),
  "string: bytes anywhere": (() => {
    const rules = [
      '--string "hello" --algo bm',
      '! --string "hello" --algo kmp',
      '--string "HELLO" --algo bm',
      '--string "HELLO" --algo kmp --icase',
      '--hex-string "|00 35|" --algo bm',
      '--hex-string "|0035|he" --algo bm --to 30',
      '--string "say \\"a b\\"" --algo bm',
      ...[28, 29, 48, 49].map((from) => `--string "hello" --algo kmp --from ${from}`),
      ...[32, 33, 34, 52, 53, 54].map((to) => `--string "hello" --algo kmp --to ${to}`),
      ...[45, 46, 47, 48, 49, 50, 51, 52, 53].map((to) => `--string "hello" --algo bm --from 28 --to ${to}`),
    ].map((options) => `-A FORWARD -m string ${options}`);
    const payloads = ["hello", "xhello", "hell", "", "hehello", "HeLLo", 'say "a b"', "hellohello"];
    return {
      iptables: filter(...rules),
      ip6tables: filter(...rules),
      steps: [C, C6].flatMap((src) => [
        ...payloads.map((payload) => datagram(src, 53, { payload })),
        ...payloads.map((payload) => syn(src, 80, { payload, flags: "PA" })),
      ]),
    };
  })(),
  "tcpmss: what a segment announces": (() => {
    const rules = ["1460", "1400:1500", "! --mss 1400:1500", "536", "0:65535"].map((mss) =>
      `-A FORWARD -p tcp -m tcpmss ${mss.startsWith("!") ? mss : `--mss ${mss}`}`
    );
    const options = [[], [2, 4, 5, 0xb4], [1, 1, 1, 2, 4, 5, 0xdc, 0], [2, 4, 2, 24], [3, 3, 7, 2], [
      2,
      3,
      5,
      0,
    ], [
      8,
      0,
      2,
      4,
    ], [1, 1, 2, 4]];
    return {
      iptables: filter(...rules),
      ip6tables: filter(...rules),
      steps: [C, C6].flatMap((src) => options.map((bytes) => syn(src, 80, { options: [{ raw: bytes }] }))),
    };
  })(),
  "rt: routing headers": {
    ip6tables: filter(
      "-A FORWARD -m rt --rt-type 0",
      "-A FORWARD -m rt ! --rt-type 0",
      "-A FORWARD -m rt --rt-segsleft 0",
      "-A FORWARD -m rt ! --rt-segsleft 1:3",
      "-A FORWARD -m rt --rt-type 2 --rt-segsleft 0:1 --rt-len 24",
      "-A FORWARD -m rt ! --rt-len 24",
    ),
    steps: [
      [[43, [59, 2, 0, 0, ...zeros(20)]]],
      [[43, [17, 2, 2, 0, ...zeros(20)]]],
      [[43, [17, 2, 2, 1, ...zeros(20)]]],
      [[43, [17, 0, 4, 2, ...zeros(4)]]],
      [[60, [43, 0, 1, 4, 0, 0, 0, 0]], [43, [17, 2, 3, 3, ...zeros(20)]]],
      [[43, [17, 9, 2, 0, ...zeros(20)]]],
      [],
    ].map((headers) => packet("lan", withHeaders(headers as [number, number[]][]))),
  },
  "rpfilter: the way back": (() => {
    const rules = ["", "--loose", "--invert", "--accept-local", "--loose --accept-local --validmark"].map((
      o,
    ) => `-A PREROUTING -m rpfilter ${o}`);
    const from = (iface: string, src: string, dst: string) =>
      packet(iface, udp({ src, dst, sport: 1, dport: 2, payload: 4 }));
    return {
      iptables: `*raw\n${rules.join("\n")}\nCOMMIT\n`,
      ip6tables: `*raw\n${rules.join("\n")}\nCOMMIT\n`,
      steps: [
        from("lan", C, S),
        from("wan", C, S),
        from("wan", S, C),
        from("lan", S, C2),
        from("lan", "192.0.2.1", S),
        from("wan", "203.0.113.1", C),
        from("lan", "0.0.0.0", "255.255.255.255"),
        from("lan", "0.0.0.0", "224.0.0.1"),
        from("wan", "192.0.2.1", C),
        from("lan", "224.0.0.5", S),
        from("wan", "0.1.2.3", S),
        from("lan", "127.0.0.1", S),
        from("lan", "192.0.2.255", S),
        from("lan", "192.0.2.0", S),
        from("wan", "2001:db8:1::1", S6),
        from("lan", "2001:db8:1::", S6),
        from("lan", "::", S6),
        from("lan", "::1", S6),
        from("lan", C6, S6),
        from("wan", C6, S6),
        from("wan", S6, C6),
        from("lan", S6, C6),
        from("lan", "fe80::5", S6),
      ],
    };
  })(),
};

for (const [says, { steps, ...rules }] of Object.entries(scenarios)) {
  Deno.test({
    name: `matches ${says}`,
    ignore: !kernelAvailable(),
    fn: () => assertAlike({ ...NET6, ...rules, steps }, says),
  });
}
