/**
 * What `conntrack -E` says where the oracle's other cases do not reach, beside what `weir conntrack -E` says: who is told
 * of which flow, and what a line has. What is expected here is said by both.
 */
import { assertEquals } from "@std/assert";
import { believed } from "./ask.ts";
import { c, cu, filter, handshake, ISN_C, ISN_S, mangle, nat, NET, raw, s, su } from "./cases/case.ts";
import { associated } from "./cases/sctp.ts";
import { compare } from "./compare.ts";
import { askKernel, kernelAvailable } from "./kernel.ts";
import { type Scenario, type Step, wait } from "./scenario.ts";
import { askWeir } from "./weir.ts";

interface EventCase {
  says: string;
  sysctl?: Record<string, number>;
  rules: string;
  steps: readonly Step[];
  /** Arguments of a listener, and what its lines have that this is about. */
  hears: readonly [args: readonly string[], about: RegExp, lines: readonly string[]][];
}

const NAT = nat("-A POSTROUTING -o wan -j MASQUERADE");
const TRACK = filter("-A FORWARD -m conntrack --ctstate NEW");
const FTP = raw("-A PREROUTING -p tcp --dport 80 -j CT --helper ftp");
const events = (mode: number) => ({ "net.netfilter.nf_conntrack_events": mode });
const deleted = (protocol: string): Step => ({ do: "delete", arguments: ["-p", protocol] });
const said = (text: string, seq: number) => c("PA", { seq: ISN_C + seq, ack: ISN_S + 1, payload: text });
const announced = [...handshake(), said("USER ftp\r\n", 1), said("PORT 192,0,2,2,19,136\r\n", 11)];
const TAG = /\[[A-Z]+\]/, ALL = ["[NEW]", "[UPDATE]", "[UPDATE]", "[DESTROY]"];

const CASES: readonly EventCase[] = [
  {
    says: "by default a flow is told of whose beginning somebody has heard",
    rules: TRACK,
    steps: [...handshake(), deleted("tcp")],
    hears: [[[], TAG, ALL], [["-e", "NEW,DESTROY"], TAG, ["[NEW]", "[DESTROY]"]], [["-e", "UPDATES"], TAG, [
      "[UPDATE]",
      "[UPDATE]",
    ]]],
  },
  {
    says: "nf_conntrack_events = 1 tells of all flows",
    sysctl: events(1),
    rules: TRACK,
    steps: [...handshake(), deleted("tcp")],
    hears: [[[], TAG, ALL]],
  },
  {
    says: "nf_conntrack_events = 0 tells of none",
    sysctl: events(0),
    rules: TRACK,
    steps: [...handshake(), deleted("tcp")],
    hears: [[[], TAG, []]],
  },
  {
    says: "-j CT --ctevents tells of its flows even then, and only what it names",
    sysctl: events(0),
    rules: raw("-A PREROUTING -p tcp -j CT --ctevents new,destroy") + TRACK,
    steps: [...handshake(), cu(), deleted("tcp")],
    hears: [[[], TAG, ["[NEW]", "[DESTROY]"]]],
  },
  {
    says: "one event that is asked for takes the others of its packet along",
    sysctl: events(1),
    rules: raw("-A PREROUTING -p tcp -j CT --ctevents assured") + TRACK,
    steps: [...handshake(), c("FA", { seq: ISN_C + 1, ack: ISN_S + 1 }), deleted("tcp")],
    hears: [[[], /ESTABLISHED|\[[A-Z]+\]/g, ["[UPDATE] ESTABLISHED [ASSURED]"]]],
  },
  {
    says: "an SCTP association is told of at each of its states",
    rules: TRACK,
    steps: [...associated(), deleted("sctp")],
    hears: [[[], /\[[A-Z]+\]|[A-Z_]{6,}/g, [
      "[NEW] CLOSED [UNREPLIED]",
      "[UPDATE] COOKIE_WAIT",
      "[UPDATE] COOKIE_ECHOED",
      "[UPDATE] ESTABLISHED [ASSURED]",
      "[DESTROY] ESTABLISHED [ASSURED] [USERSPACE]",
    ]]],
  },
  {
    says: "-j CT --ctevents reply is one line",
    rules: raw("-A PREROUTING -p udp -j CT --ctevents reply") + TRACK,
    steps: [cu(), su(), cu(), deleted("udp")],
    hears: [[[], TAG, ["[UPDATE]"]]],
  },
  {
    says: "-j CT --expevents alone tells of no flow",
    sysctl: events(1),
    rules: raw("-A PREROUTING -p tcp -j CT --expevents new") + TRACK,
    steps: [...handshake(), deleted("tcp")],
    hears: [[[], TAG, []]],
  },
  {
    says: "untracked packets are nothing to tell of",
    rules: raw("-A PREROUTING -p udp -j NOTRACK") + TRACK,
    steps: [cu(), su(), ...handshake()],
    hears: [[["-e", "NEW"], / (tcp|udp) /, [" tcp "]]],
  },
  {
    says: "a mark is told when it is not 0 or has changed, with what the packet has changed else",
    rules: mangle(
      "-A PREROUTING -p tcp --syn --dport 80 -j CONNMARK --set-mark 5",
      "-A PREROUTING -p tcp --tcp-flags PSH PSH -j CONNMARK --set-mark 0",
    ),
    steps: [...handshake(), said("a", 1), said("b", 2), deleted("tcp")],
    hears: [[[], /\[(NEW|UPDATE|DESTROY)\]|mark=\d+|SYN_\w+|ESTABLISHED/g, [
      "[NEW] SYN_SENT mark=5",
      "[UPDATE] SYN_RECV mark=5",
      "[UPDATE] ESTABLISHED mark=5",
      "[UPDATE] mark=0",
      "[DESTROY] ESTABLISHED",
    ]]],
  },
  {
    says: "a label is told once",
    rules: mangle("-A PREROUTING -p tcp --tcp-flags PSH PSH -m connlabel --label 40 --set"),
    steps: [...handshake(), said("a", 1), said("b", 2)],
    hears: [[[], TAG, ["[NEW]", "[UPDATE]", "[UPDATE]", "[UPDATE]"]]],
  },
  {
    says: "what a dropped packet has changed is told with the flow's next one",
    rules: filter(
      "-A FORWARD -p udp --sport 2000 -m length --length 29 -j DROP",
      "-A FORWARD -m conntrack --ctstate NEW",
    ),
    steps: [
      cu({ dport: 2000 }),
      su({ sport: 2000, payload: "x" }),
      cu({ dport: 2000 }),
      cu({ dport: 2000 }),
    ],
    hears: [[[], TAG, ["[NEW]", "[UPDATE]"]]],
  },
  {
    says: "a reset that the router makes is told as the end of the connection",
    rules: filter(
      "-A FORWARD -p tcp -m length --length 45 -j REJECT --reject-with tcp-reset",
      "-A FORWARD -m conntrack --ctstate NEW",
    ),
    steps: [...handshake(), said("hello", 1), said("helloo", 1)],
    hears: [[["-e", "UPDATES"], /SYN_\w+|ESTABLISHED|CLOSE/, ["SYN_RECV", "ESTABLISHED", "CLOSE"]]],
  },
  {
    says: "a flow that ends by its timer is told of without it, with what was counted",
    sysctl: {
      "net.netfilter.nf_conntrack_udp_timeout": 1,
      "net.netfilter.nf_conntrack_acct": 1,
      "net.netfilter.nf_conntrack_timestamp": 1,
    },
    rules: TRACK,
    steps: [cu({ payload: "x" }), wait(1600), cu({ payload: "xy" })],
    hears: [[[], /\[(NEW|UPDATE|DESTROY)\]|packets=\d+ bytes=\d+|delta-time=/g, [
      "[NEW]",
      "[DESTROY] packets=1 bytes=29 packets=0 bytes=0 delta-time=",
      "[NEW]",
    ]]],
  },
  {
    says: "-o shows the family, the id, and when it was",
    sysctl: { "net.netfilter.nf_conntrack_timestamp": 1 },
    rules: raw("-A PREROUTING -j CT --zone 3"),
    steps: [cu(), su(), deleted("udp")],
    hears: [
      [["-o", "extended"], /ipv4 {5}2 udp {6}17 /, Array(3).fill("ipv4     2 udp      17 ")],
      [["-o", "ktimestamp,id"], /zone=3 .*/, [
        "zone=3 id=",
        "zone=3 id=",
        "zone=3 delta-time=0 [start=] [stop=] id= [USERSPACE] portid=",
      ]],
      [["-o", "timestamp"], /^\[\d{10}\.\d{6}\]\t *\[/, ["[.]\t    [", "[.]\t [", "[.]\t["]],
    ],
  },
  {
    says: "expectations come and go, those that are fulfilled and those whose flow ends",
    rules: FTP + TRACK,
    steps: [
      ...announced,
      s("S", { sport: 20, dport: 5000, seq: 1 }),
      said("PORT 192,0,2,2,19,137\r\n", 34),
      deleted("tcp"),
    ],
    hears: [
      [["expect"], /\[(NEW|DESTROY)\]|dport=500\d/g, [
        "[NEW] dport=5000",
        "[DESTROY] dport=5000",
        "[NEW] dport=5001",
        "[DESTROY] dport=5001",
      ]],
    ],
  },
  {
    says: "a newer expectation of its class takes the place of an older one",
    rules: FTP + TRACK,
    steps: [...announced, said("PORT 192,0,2,2,19,137\r\n", 34)],
    hears: [[["expect"], /\[(NEW|DESTROY)\]|dport=500\d/g, [
      "[NEW] dport=5000",
      "[DESTROY] dport=5000",
      "[NEW] dport=5001",
    ]]],
  },
  {
    says: "-j CT --expevents new tells of the beginnings only, and --ctevents of none",
    sysctl: events(1),
    rules: FTP.replace("--helper ftp", "--helper ftp --expevents new") + TRACK,
    steps: [...announced, deleted("tcp")],
    hears: [[["expect"], TAG, ["[NEW]"]], [[], TAG, []]],
  },
  {
    says: "-j CT --ctevents without --expevents tells of no expectation",
    sysctl: events(1),
    rules: FTP.replace("--helper ftp", "--helper ftp --ctevents new") + TRACK,
    steps: [...announced, deleted("tcp")],
    hears: [[["expect"], TAG, []], [[], /helper=ftp/, ["helper=ftp"]]],
  },
];

/** The parts of a line that a case is about; numbers that nobody can know are left out. */
function about(lines: readonly string[], what: RegExp): string[] {
  return lines.flatMap((line) => {
    const found = line.match(what);
    if (found === null) return [];
    const text = what.global ? found.filter((part) => /[=\s]|[A-Z]/.test(part)).join(" ") : found[0];
    return [
      text.replace(/(\bid|portid|start|stop)=[^\]\s][^\]]*?(?=\]| \[|$)/g, "$1=").replace(
        /^\[\d+\.\d+ *\]/,
        "[.]",
      ),
    ];
  });
}

for (const { says, sysctl, rules, steps, hears } of CASES) {
  const scenario: Scenario = {
    ...NET,
    sysctl,
    iptables: rules + NAT,
    steps,
    listeners: hears.map(([args]) => args),
  };
  Deno.test({
    name: `conntrack -E: ${says}`,
    ignore: !kernelAvailable(),
    fn: () =>
      believed(() => {
        const linux = askKernel(scenario), weir = askWeir(scenario);
        assertEquals(compare(scenario, linux, weir), []);
        for (const [side, { events }] of Object.entries({ linux, weir })) {
          hears.forEach(([args, what, lines], i) =>
            assertEquals(about(events![i], what), lines, `${side}, conntrack -E ${args.join(" ")}`)
          );
        }
      }),
  });
}
