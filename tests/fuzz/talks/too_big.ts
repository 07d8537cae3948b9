/**
 * Hosts that ping the router, routers on their way that find its answers too big, and what goes the same way then.
 *
 * @module
 */
import { fragments, icmpEcho, icmpError, ip, tcp, udp } from "../../kit/packets.ts";
import type { Chance } from "../chance.ts";
import { type Family, HOSTS, INTERFACES, MIDDLE, OWN } from "../net.ts";
import type { Step } from "../steps.ts";
import { clientPort, Talk } from "./talk.ts";

const MTUS = {
  4: [1492, 1400, 1280, 1000, 600, 552, 551, 68, 0],
  6: [1492, 1400, 1300, 1281, 1280, 1279, 0],
};
/** Payloads around the MTUs, and of two and three pieces. */
const LENGTHS = [
  0,
  500,
  540,
  600,
  1000,
  1232,
  1240,
  1300,
  1352,
  1372,
  1400,
  1444,
  1452,
  1472,
  1480,
  2800,
  2900,
  4000,
];

/** Pings, messages, and datagrams of others to the host that pings. */
export function tooBigTalk(c: Chance, number: number, family: Family): Step[] {
  const iface = c.pick(INTERFACES), host = c.pick(HOSTS[family][iface]), own = c.pick(OWN[family][iface]);
  const from = c.pick(INTERFACES.filter((other) => other !== iface)), peer = c.pick(HOSTS[family][from]);
  const ports = [clientPort(c), clientPort(c)];
  const pinger = new Talk(c, number, family, [
    { iface, address: host, port: ports[0] },
    { iface, address: own, port: ports[1] },
  ]);
  // What others send to the host is a conversation of its own, in the same list.
  const talk = (t: Talk, bytes: Uint8Array<ArrayBuffer>, mtu = 1500) => {
    if (bytes.length <= mtu) t.send(0, bytes);
    else {for (const piece of fragments(bytes, c.pick([800, 1232, 1400]), c.between(1, 65535))) {
        t.send(0, piece);
      }}
  };
  const other = new Talk(c, number + 1, family, [
    { iface: from, address: peer, port: ports[1] },
    { iface, address: host, port: ports[0] },
  ]);
  const steps: Step[] = [];
  for (let n = c.between(2, 10), echoId = c.between(0, 65535); n > 0; n--) {
    pinger.steps.length = other.steps.length = 0;
    const { sport: _s, dport: _d, ...head } = pinger.head(0);
    const { sport, dport, ...toHost } = other.head(0);
    c.weighted<() => void>([
      [4, () => talk(pinger, icmpEcho({ ...head, echoId, echoSeq: n, payload: c.pick(LENGTHS), df: false }))],
      [3, () => talk(other, udp({ ...toHost, sport, dport, payload: c.pick(LENGTHS), df: c.is(0.5) }))],
      [
        1,
        () => other.send(0, tcp({ ...toHost, sport, dport, flags: "S", seq: n, options: [{ mss: 1460 }] })),
      ],
      [1, () => pinger.send(0, ip({ ...head, protocol: 253, payload: c.pick([40, 1000]), df: false }))],
      [3, () => {
        const quoted = c.weighted<() => Uint8Array<ArrayBuffer>>([
          [6, () => icmpEcho({ src: own, dst: host, echoId, reply: true, payload: 1400, df: false })],
          [1, () => icmpEcho({ src: own, dst: host, echoId, payload: 1400 })],
          [1, () => icmpEcho({ src: peer, dst: host, echoId, reply: true, payload: 1400 })],
          [1, () => udp({ src: own, dst: host, sport: dport, dport: sport, payload: 1400 })],
        ])();
        pinger.send(
          0,
          icmpError({
            src: c.pick([host, MIDDLE[family]]),
            dst: own,
            ...(family === 4 ? { type: 3, code: 4 } : { type: 2 }),
            rest: c.pick(MTUS[family]),
            quoted,
            quote: c.pick([8, 8, 7, 64, 1000]),
          }),
        );
      }],
    ])();
    steps.push(...pinger.steps, ...other.steps);
  }
  return steps;
}
