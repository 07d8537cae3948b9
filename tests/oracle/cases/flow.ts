/** What is kept with a flow: counters, zones of one direction, labels. */
import { udp } from "../../kit/packets.ts";
import { packet, type Step } from "../scenario.ts";
import { C, c, C2, type Case, cu, filter, handshake, ISN_C, ISN_S, M, NET, S, s, su } from "./case.ts";

const ACCT = "net.netfilter.nf_conntrack_acct";
const switched = (value: number): Step => ({ do: "sysctl", values: { [ACCT]: value } });

/** Marks by host, and a zone from the mark. */
const zoned = (option: string) =>
  M + `*raw
-A PREROUTING -i lan -s ${C} -j MARK --set-mark 7
-A PREROUTING -i lan -s ${C2} -j MARK --set-mark 0x10008
-A PREROUTING -i wan -j MARK --set-mark 7
-A PREROUTING -j CT ${option}
COMMIT
`;
const other = packet("lan", udp({ src: C2, sport: 1000, dst: S, dport: 53, payload: 4 }));
const talk: Step[] = [cu(), other, su(), su(), cu(), ...handshake(), other];

export const FLOW_CASES: Case[] = [
  {
    id: "T41",
    says: "flows that begin while counting is on are counted to their end, others never",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        ...handshake(),
        switched(1),
        c("PA", { seq: ISN_C + 1, ack: ISN_S + 1, payload: 100 }),
        s("A", { seq: ISN_S + 1, ack: ISN_C + 101 }),
        cu(),
        su(),
        switched(0),
        cu(),
        cu({ sport: 2000 }),
      ],
    },
    expect(v) {
      const counted = v.answer.dumps[0].conntrack.filter((line) => line.includes("packets="));
      v.is(counted.map((line) => line.match(/packets=\d+ bytes=\d+/g)), [[
        "packets=2 bytes=66",
        "packets=1 bytes=34",
      ]]);
    },
  },
  {
    id: "T42",
    says: "packets and bytes of every protocol and direction are counted as they came in",
    scenario: {
      ...NET,
      iptables: M,
      sysctl: { [ACCT]: 1 },
      steps: [
        ...handshake(),
        c("PA", { seq: ISN_C + 1, ack: ISN_S + 1, payload: 100 }),
        s("R", { seq: 77 }),
        s("A", { seq: ISN_S + 1, ack: ISN_C + 101 }),
        cu({ payload: 700 }),
        su({ payload: 3 }),
      ],
    },
    expect(v) {
      const tcp = v.answer.dumps[0].conntrack.find((line) => line.startsWith("tcp"))!;
      v.is(tcp.match(/packets=\d+ bytes=\d+/g), ["packets=3 bytes=220", "packets=2 bytes=80"]);
    },
  },
  ...["--zone-orig mark", "--zone-reply mark", "--zone-orig 5", "--zone-reply 6"].map((option, i): Case => ({
    id: `N29${"bcde"[i]}`,
    says: `a zone of one direction, CT ${option}`,
    scenario: { ...NET, iptables: zoned(option), steps: talk },
    expect(v) {
      const name = option.includes("orig") ? "zone-orig=" : "zone-reply=";
      v.ok(v.answer.dumps[0].conntrack.every((line) => line.includes(name)), `a flow without ${name}`);
    },
  })),
  {
    id: "T43",
    says: "labels are set once for the whole flow, and a packet without flow has none",
    scenario: {
      ...NET,
      iptables: M + filter(
        "-A FORWARD -m connlabel --label 5",
        "-A FORWARD -m connlabel ! --label 5",
        "-A FORWARD -p udp -m connlabel --label 5 --set",
        "-A FORWARD -p udp -m connlabel --label 5",
        "-A FORWARD -m connlabel ! --label 127",
        "-A FORWARD -p tcp -m connlabel ! --label 127 --set",
        "-A FORWARD -m connlabel --label 127",
      ),
      steps: [
        cu(),
        su(),
        cu(),
        ...handshake(),
        c("R", { sport: 999, seq: 1 }),
        c("R", { sport: 999, seq: 1 }),
      ],
    },
    expect(v) {
      v.is(v.count('FORWARD -p udp -m connlabel --label "5" --set'), 3);
      v.is(v.count('FORWARD -m connlabel --label "5"'), 2);
      v.is(v.count('FORWARD -m connlabel --label "127"'), 3);
    },
  },
];
