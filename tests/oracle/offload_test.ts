/**
 * What devices with offloads hand over, asked of Linux and of Weir: checksums that are begun only, and bursts that stand
 * for many segments, through tracking, NAT, helpers, errors and links that are too narrow.
 */
import { tcp, type TcpOptions, udp } from "../kit/packets.ts";
import { believed } from "./ask.ts";
import {
  C,
  C6,
  COUNT,
  DROP_INVALID,
  filter,
  LAN,
  M,
  mangle,
  nat,
  NET,
  NET6,
  raw,
  S,
  S6,
  WAN,
  WAN6,
} from "./cases/case.ts";
import { compare } from "./compare.ts";
import { askKernel, kernelAvailable } from "./kernel.ts";
import { compareFronts, finish, offloaded } from "./offload.ts";
import { type Answer, packet, type Scenario, type Step } from "./scenario.ts";
import { askWeir } from "./weir.ts";

const HELPERS = raw(
  "-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp",
  "-A PREROUTING -p tcp -m tcp --dport 6667 -j CT --helper irc",
  "-A PREROUTING -p udp -m udp --dport 69 -j CT --helper tftp",
  "-A PREROUTING -p udp -m udp --dport 10080 -j CT --helper amanda",
);
const HELPERS_6 = raw("-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp");
const dnat = (protocol: string, dport: number) =>
  nat(`-A PREROUTING -i wan -p ${protocol} --dport ${dport} -j DNAT --to-destination ${C}`);
const x = (length: number) => "x".repeat(length);
/** The largest segment of an Ethernet link. */
const MSS = 1460, MSS_6 = 1440;

interface Ends {
  client?: string;
  server?: string;
  /** The client as the server sees it, and the server as the client knows it. */
  seen?: string;
  called?: string;
  port?: number;
  inside?: "client" | "server";
}

/** A TCP conversation whose every segment is offloaded. */
class Talk {
  readonly steps: Step[] = [];
  readonly #next = { client: 1000, server: 5000 };
  readonly #grown = { client: 0, server: 0 };
  readonly #ends: Required<Ends>;

  constructor(o: Ends = {}) {
    const { client = C, server = S } = o;
    const defaults = { client, server, seen: WAN, called: server, port: 80, inside: "client" } as const;
    this.#ends = { ...defaults, ...o };
    const options = [{ mss: MSS }, { sackPermitted: true as const }, { nop: true as const }, { wscale: 7 }];
    this.#say("client", "S", "", 0, { options });
    this.#say("server", "SA", "", 0, { options });
    this.client("");
  }

  /** The client hands over a text of any length; the router makes it longer by `grows`. */
  client(payload: string, grows = 0, o: Partial<TcpOptions> = {}): this {
    this.#say("client", o.flags ?? (payload === "" ? "A" : "PA"), payload, grows, o);
    return this;
  }

  server(payload: string, grows = 0, o: Partial<TcpOptions> = {}): this {
    this.#say("server", o.flags ?? (payload === "" ? "A" : "PA"), payload, grows, o);
    return this;
  }

  /** The next segment of the client's begins so many bytes from where it should. */
  moved(bytes: number): this {
    this.#next.client += bytes;
    return this;
  }

  #say(
    who: "client" | "server",
    flags: string,
    payload: string,
    grows: number,
    o: Partial<TcpOptions>,
  ): void {
    const { client, server, seen, called, port, inside } = this.#ends;
    const other = who === "client" ? "server" : "client";
    const way = who === "client"
      ? { src: client, sport: 1000, dst: called, dport: port }
      : { src: server, sport: port, dst: seen, dport: 1000 };
    const ack = flags === "S" ? 0 : this.#next[other] + this.#grown[other];
    const whole = tcp({ ...way, seq: this.#next[who], ack, payload, ...o, flags });
    this.steps.push(offloaded(who === inside ? "lan" : "wan", whole, client.includes(":") ? MSS_6 : MSS));
    this.#next[who] += payload.length + (/[SF]/.test(flags) ? 1 : 0);
    this.#grown[who] += grows;
  }
}

/** Answers with the checksums that devices would have finished. */
function finished(answer: Answer): Answer {
  const emitted = answer.emitted.map((e) => ({ ...e, bytes: finish(e.bytes.slice(), e.vnet!) }));
  return { ...answer, emitted };
}

const of4 = (iptables: string, steps: Step[], more: Partial<Scenario> = {}): Scenario => ({
  ...NET,
  iptables,
  steps,
  ...more,
});
const of6 = (ip6tables: string, steps: Step[], more: Partial<Scenario> = {}): Scenario => ({
  ...NET6,
  ip6tables,
  steps,
  ...more,
});

/** Both agree on all of these. */
function alike(says: string, scenarios: Readonly<Record<string, Scenario>>): void {
  Deno.test({
    name: `offloaded: ${says}`,
    ignore: !kernelAvailable(),
    fn() {
      for (const [name, one] of Object.entries(scenarios)) {
        const scenario = { ...one, offload: true };
        believed(() => {
          const linux = askKernel(scenario), weir = askWeir(scenario);
          const found = [
            ...compare(scenario, finished(linux), finished(weir)),
            ...compareFronts(linux, weir),
          ];
          if (found.length > 0) throw new Error(`${name}:\n${found.join("\n")}`);
        });
      }
    },
  });
}

/** Scenarios by name, for each of some things. */
function each<T extends string | number>(
  list: readonly T[],
  make: (item: T) => Record<string, Scenario>,
): Record<string, Scenario> {
  return Object.assign(
    {},
    ...list.map((item) =>
      Object.fromEntries(Object.entries(make(item)).map(([name, s]) => [`${name}, ${item}`, s]))
    ),
  );
}

const datagram = (iface: string, way: Parameters<typeof udp>[0], size = MSS) =>
  offloaded(iface, udp(way), size);
const asks = { src: C, sport: 1000, dst: S, dport: 53 }, told = { src: S, sport: 53, dst: WAN, dport: 1000 };
const LENGTHS = [1, MSS, MSS + 1, 3000, 20_000, 64_000];

alike(
  "bursts of any length, tracked, translated, and neither",
  each(LENGTHS, (n) => {
    const both = (talk: Talk) => talk.client(x(n)).server(x(n)).client(x(n)).server(x(n)).client(x(n));
    const ends = (talk: Talk) =>
      talk.client("", 0, { flags: "FA" }).server("", 0, { flags: "FA" }).client("");
    const said = [asks, asks, asks].map((way) => datagram("lan", { ...way, payload: x(n) }));
    return {
      "MASQUERADE": of4(M, ends(both(new Talk())).steps),
      "MASQUERADE, IPv6": of6(M, ends(both(new Talk({ client: C6, server: S6, seen: WAN6 }))).steps),
      "no NAT": of4(COUNT, both(new Talk({ seen: C })).steps),
      "NOTRACK": of4(COUNT + raw("-A PREROUTING -j CT --notrack"), both(new Talk({ seen: C })).steps),
      "datagrams": of4(M, [...said, datagram("wan", { ...told, payload: x(n) }), ...said]),
    };
  }),
);

const PORT = "PORT 192,0,2,2,15,160\r\n", PASV = "227 (192,0,2,2,15,160)\r\n", GROWS = 2;
const EPRT = "EPRT |2|2001:db8:1::2|4000|\r\n", GROWS_6 = 26;
const DCC = "PRIVMSG x :\x01DCC SEND f 3221225986 5000\x01\r\n";
const greeted = (o: Ends = {}) =>
  new Talk({ port: 21, ...o }).server("220 hi\r\n").client("USER a\r\n").server("331\r\n");
const sack = (from: number, to: number): Partial<TcpOptions> => ({
  options: [{ nop: true }, { nop: true }, { sack: [[from, to]] }],
});

alike(
  "announcements at the head of a burst, and what follows them",
  each([0, 1000, MSS - PORT.length, MSS + 1 - PORT.length, 3000, 30_000, 64_000], (n) => ({
    "PORT": of4(
      M + HELPERS,
      greeted().client(PORT + x(n), GROWS).server("200 ok\r\n").client("LIST\r\n").server(x(3000)).client(
        x(3000),
      )
        .client("", 0, sack(5100, 5200)).server("", 0, sack(1030, 1036)).steps,
    ),
    "EPRT": of6(
      M + HELPERS_6,
      greeted({ client: C6, server: S6, seen: WAN6 }).client(EPRT + x(n), GROWS_6).server("200 ok\r\n")
        .client(x(3000)).steps,
    ),
    "227": of4(
      COUNT + HELPERS + dnat("tcp", 21),
      greeted({ client: S, server: C, seen: S, called: WAN, inside: "server" }).client("PASV\r\n")
        .server(PASV + x(n), GROWS).client("LIST\r\n").server(x(3000)).steps,
    ),
    "DCC": of4(
      M + HELPERS,
      new Talk({ port: 6667 }).client("NICK a\r\n").server(":x\r\n").client(DCC + x(n)).server("y\r\n")
        .client(x(3000))
        .steps,
    ),
    "TFTP": of4(M + HELPERS, [
      datagram("lan", { src: C, sport: 1000, dst: S, dport: 69, payload: `\0\x01file\0octet\0${x(n)}` }),
      packet("wan", udp({ src: S, sport: 3456, dst: WAN, dport: 1000, payload: "\0\x03\0\x01" })),
      datagram("lan", { src: C, sport: 1000, dst: S, dport: 3456, payload: `\0\x04\0\x01${x(n)}` }),
    ]),
    "Amanda": of4(
      COUNT + HELPERS + dnat("udp", 10080),
      ["5000 MESG 5001 INDEX 5002", "99999 MESG 65541 INDEX 70000"].flatMap((ports, i) => [
        datagram("wan", { src: S, sport: 1000 + i, dst: WAN, dport: 10080, payload: "REQ\n" }),
        datagram("lan", {
          src: C,
          sport: 10080,
          dst: S,
          dport: 1000 + i,
          payload: `CONNECT DATA ${ports}\n${x(n)}`,
        }),
      ]),
    ),
  })),
);

const narrow = (mtu: number): Partial<Scenario> => ({
  interfaces: { lan: NET.interfaces.lan, wan: { ...NET.interfaces.wan, mtu } },
});
const narrow6 = (mtu: number): Partial<Scenario> => ({
  interfaces: { lan: NET6.interfaces.lan, wan: { ...NET6.interfaces.wan, mtu } },
});
for (const df of [true, false]) {
  alike(
    `links that are too narrow, and packets that ${df ? "must not" : "may"} be cut`,
    each([1500, 1400, 1281], (mtu) =>
      each([100, MSS, 3000, 20_000], (n) => ({
        "TCP": of4(
          M,
          new Talk().client(x(n), 0, { df }).client(x(n), 0, { df, tos: 2 }).client(x(n), 0, {
            df,
            flags: "FPA",
          })
            .steps,
          narrow(mtu),
        ),
        "FTP": of4(
          M + HELPERS,
          greeted().client(PORT + x(n), GROWS, { df }).server("200\r\n").client(x(n), 0, { df }).steps,
          narrow(mtu),
        ),
        "UDP": of4(M, [
          datagram("lan", { ...asks, payload: x(n), df }),
          datagram("lan", { ...asks, payload: x(n), df }, 500),
          datagram("wan", { ...told, payload: x(n), df }),
        ], narrow(mtu)),
      }))),
  );
}
alike(
  "links that are too narrow for IPv6",
  each([1280, 1500], (mtu) =>
    each([100, MSS_6, 3000], (n) => {
      const way = { src: C6, sport: 1000, dst: S6, dport: 53, payload: x(n) };
      return {
        "TCP": of6(
          M,
          new Talk({ client: C6, server: S6, seen: WAN6 }).client(x(n)).client(x(n)).steps,
          narrow6(mtu),
        ),
        "UDP": of6(M, [datagram("lan", way, MSS_6), datagram("lan", way, 1000)], narrow6(mtu)),
      };
    })),
);

alike(
  "bursts that are rejected, expire, have no route, are Weir's own, or are changed on their way",
  each([10, 5000], (n) => ({
    ...each(["tcp-reset", "icmp-port-unreachable", "icmp-admin-prohibited"], (how) => {
      const reject = filter(`-A FORWARD -p tcp -m length --length 1000:65535 -j REJECT --reject-with ${how}`);
      return { "REJECT": of4(M + reject, new Talk().client(x(n)).client("y").server(x(n)).steps) };
    }),
    "TTL": of4(
      M,
      new Talk().client(x(n), 0, { ttl: 1 }).server(x(n), 0, { ttl: 1 }).client(x(n), 0, { ttl: 2 }).steps,
    ),
    "no route": of4(
      M,
      [offloaded(
        "lan",
        tcp({ src: C, sport: 9, dst: "10.9.9.9", dport: 9, flags: "A", payload: x(n) }),
        MSS,
      )],
      { routes: [{ destination: "198.51.100.0/24", interface: "wan" }] },
    ),
    "own": of4(M, [
      offloaded("lan", tcp({ src: C, sport: 9, dst: LAN, dport: 9, flags: "PA", payload: x(n) }), MSS),
      datagram("lan", { src: C, sport: 9, dst: LAN, dport: 9, payload: x(n) }),
      datagram("wan", { src: S, sport: 9, dst: WAN, dport: 9, payload: x(n) }),
    ]),
    "changed": of4(
      mangle(
        "-A PREROUTING -j TTL --ttl-set 9",
        "-A PREROUTING -j TOS --set-tos 0x10",
        "-A POSTROUTING -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 500",
        "-A POSTROUTING -p tcp -m length --length 100:65535",
      ) + nat("-A POSTROUTING -o wan -j MASQUERADE"),
      [
        ...new Talk().client(x(n)).server(x(n)).client(x(n)).steps,
        datagram("lan", { ...asks, payload: x(n) }),
      ],
    ),
    "picked up": of4(M, [
      offloaded(
        "lan",
        tcp({ src: C, sport: 9, dst: S, dport: 9, flags: "PA", seq: 5, ack: 7, payload: x(n) }),
        MSS,
      ),
      offloaded(
        "wan",
        tcp({ src: S, sport: 9, dst: WAN, dport: 9, flags: "PA", seq: 7, ack: 5 + n, payload: x(n) }),
        MSS,
      ),
    ]),
    "out of the window": of4(
      M + DROP_INVALID,
      new Talk().client(x(n)).moved(10_000_000).client(x(n)).moved(-10_000_000 - n - 200).client(x(n)).server(
        "",
      ).steps,
    ),
    ...each(["FPA", "PAU", "PAC", "PAEC", "RA", "SA", "S", "FSRPAU", ""], (flags) => ({
      "flags": of4(
        M,
        new Talk().client(x(n), 0, { flags, urgent: flags.includes("U") ? 3 : 0 }).client(x(n)).server("")
          .steps,
      ),
    })),
    "IP options": of4(
      M,
      new Talk().client(x(n), 0, { ipOptions: [7, 7, 4, 0, 0, 0, 0, 0] }).client(x(n), 0, {
        ipOptions: [1, 1, 1, 1],
      })
        .steps,
    ),
  })),
);
