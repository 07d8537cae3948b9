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
};

for (const [says, { steps, ...rules }] of Object.entries(scenarios)) {
  Deno.test({
    name: `matches ${says}`,
    ignore: !kernelAvailable(),
    fn: () => assertAlike({ ...NET6, ...rules, steps }, says),
  });
}
