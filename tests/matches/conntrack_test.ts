/** Matches that ask about the packet's flow: state, conntrack, connmark, helper. */
import { assertEquals } from "@std/assert";
import {
  CT_MARK,
  CT_STATUS,
  FLOW_WORDS,
  IPS_ASSURED,
  IPS_DST_NAT,
  IPS_MASTER_HELPER_SHIFT,
  IPS_SRC_NAT,
} from "../../src/conntrack/flow.ts";
import type { RuleConfig } from "../../src/config/types.ts";
import { FORWARD, PREROUTING, UNTRACKED } from "../../src/netfilter.ts";
import { icmpEcho, tcp, udp } from "../kit/mod.ts";
import { idleHelper, Rig } from "../tables/rig.ts";
import { specify } from "../tables/spec.ts";

const C = "10.0.0.2", S = "203.0.113.9";
const query = udp({ src: C, dst: S, sport: 4000, dport: 53, payload: 8 });
const answer = udp({ src: S, dst: C, sport: 53, dport: 4000, payload: 8 });
const stray = tcp({ src: C, dst: S, sport: 1, dport: 2, flags: "R" });

specify("state", [
  { rule: { state: "NEW", jump: "ACCEPT" }, save: "-m state --state NEW -j ACCEPT" },
  { rule: { state: ["ESTABLISHED", "RELATED"] }, save: "-m state --state RELATED,ESTABLISHED" },
  { rule: { state: "new,inv" }, save: "-m state --state INVALID,NEW" },
  { rule: { state: { not: ["INVALID"] } }, save: "-m state ! --state INVALID" },
  { rule: { state: "! UNTRACKED" }, save: "-m state ! --state UNTRACKED" },
  { rule: { state: "SNAT" }, refused: [".state", '"SNAT" is not one of'] },
  { rule: { state: [] }, refused: [".state", "one or several of"] },
]);

specify("conntrack", [
  { rule: { ctstate: ["NEW", "DNAT"] }, save: "-m conntrack --ctstate NEW,DNAT" },
  { rule: { ctproto: "tcp" }, save: "-m conntrack --ctproto 6" },
  { rule: { ctproto: 0 }, refused: [".ctproto", "every protocol"] },
  {
    rule: { ctorigsrc: "10.0.0.0/8", ctrepldst: "203.0.113.1" },
    save: "-m conntrack --ctorigsrc 10.0.0.0/8 --ctrepldst 203.0.113.1",
  },
  { rule: { ctorigdst: "! 2001:db8::/32" }, save6: "-m conntrack ! --ctorigdst 2001:db8::/32" },
  {
    rule: { ctorigsrcport: "1024:", ctrepldstport: { not: 9 } },
    save: "-m conntrack --ctorigsrcport 1024:65535 ! --ctrepldstport 9",
  },
  { rule: { ctstatus: ["ASSURED", "EXPECTED"] }, save: "-m conntrack --ctstatus EXPECTED,ASSURED" },
  { rule: { ctstatus: "NONE" }, save: "-m conntrack --ctstatus NONE" },
  { rule: { ctexpire: "0:4294967295" }, save: "-m conntrack --ctexpire 0:4294967295" },
  { rule: { ctexpire: "3:3" }, save: "-m conntrack --ctexpire 3" },
  { rule: { ctexpire: "4:3" }, refused: [".ctexpire", "swap its ends"] },
  { rule: { ctdir: "REPLY" }, save: "-m conntrack --ctdir REPLY" },
  { rule: { ctdir: { not: "REPLY" } as unknown as "REPLY" }, refused: [".ctdir", "cannot be negated"] },
  { rule: { ctstate: "WRONG" }, refused: [".ctstate", "is not one of"] },
  { rule: { connmark: "0x7/0xff" }, save: "-m connmark --mark 0x7/0xff" },
  { rule: { connlabel: 5, setConnlabel: true }, save: '-m connlabel --label "5" --set' },
  { rule: { connlabel: "! 0x7f" as unknown as number }, save: '-m connlabel ! --label "127"' },
  { rule: { connlabel: 128 }, refused: [".connlabel", "from 0 to 127"] },
  { rule: { setConnlabel: true }, refused: [".setConnlabel", "connlabel"] },
  { rule: { helper: "ftp", jump: "ACCEPT" }, save: "-m helper --helper ftp -j ACCEPT" },
  { rule: { helper: "! ftp-2121" }, save: "-m helper ! --helper ftp-2121" },
]);

/** Which of the rules fit each packet of a sequence; each packet is tracked and leaves. */
function fitting(
  rules: RuleConfig[],
  packets: Uint8Array[],
  between: (rig: Rig, i: number) => void = () => {},
): string[] {
  const rig = new Rig({ filter: { FORWARD: rules } });
  return packets.map((bytes, i) => {
    const before = rig.count("filter", "FORWARD").map(([n]) => n);
    const p = rig.load(bytes, { hook: PREROUTING, track: true });
    p.hook = FORWARD;
    rig.of(p.family).filter!.run(FORWARD, p);
    const after = rig.count("filter", "FORWARD").map(([n]) => n);
    rig.confirm();
    between(rig, i);
    return rules.map((_, r) => after[r] > before[r] ? "x" : ".").join("");
  });
}

Deno.test("state tells NEW, ESTABLISHED and INVALID apart", () => {
  const rules = ["NEW", "ESTABLISHED", "INVALID", "! NEW", "UNTRACKED"].map((state) => ({ state }));
  assertEquals(fitting(rules, [query, query, answer, query, stray]), [
    "x....",
    "x....",
    ".x.x.",
    ".x.x.",
    "..xx.",
  ]);
});

Deno.test("state says UNTRACKED of what raw exempted, and not INVALID", () => {
  const rules = ["UNTRACKED", "INVALID", "NEW", "! INVALID"].map((state) => ({ state }));
  const rig = new Rig({
    filter: { FORWARD: [...rules, { ctstate: "UNTRACKED" }, { connmark: 0 }, { ctstatus: "! NONE" }] },
  });
  rig.run("filter", query, { prepare: (p) => p.ctinfo = UNTRACKED });
  assertEquals(rig.count("filter", "FORWARD").map(([n]) => n), [1, 0, 0, 1, 1, 0, 0, 1]);
});

Deno.test("conntrack compares the flow's addresses, ports, protocol and direction", () => {
  const rules: RuleConfig[] = [
    { ctorigsrc: C },
    { ctorigdst: "203.0.113.0/24", ctreplsrc: S, ctrepldst: "10.0.0.2" },
    { ctorigsrc: `! ${C}` },
    { ctorigsrcport: 4000, ctorigdstport: "50:60" },
    { ctreplsrcport: 53, ctrepldstport: "! 1:3999" },
    { ctproto: "udp" },
    { ctproto: "! 17" },
    { ctdir: "ORIGINAL" },
    { ctdir: "REPLY" },
  ];
  assertEquals(fitting(rules, [query, answer]), ["xx.xxx.x.", "xx.xxx..x"]);
  // Without a flow there is nothing to compare, negated or not.
  assertEquals(fitting(rules, [stray]), ["........."]);
});

Deno.test("conntrack takes an ICMP query's id for the port of its source", () => {
  const ping = icmpEcho({ src: C, dst: S, echoId: 77 });
  assertEquals(fitting([{ ctorigsrcport: 77 }, { ctorigsrcport: 78 }], [ping]), ["x."]);
});

Deno.test("conntrack compares status and remaining life", () => {
  const rules: RuleConfig[] = [
    { ctstatus: "SEEN_REPLY" },
    { ctstatus: "ASSURED" },
    { ctstatus: "NONE" },
    { ctstatus: "! NONE" },
    { ctexpire: "25:30" },
    { ctexpire: { not: "25:30" } },
  ];
  const seen = fitting(rules, [query, answer, query, query], (rig, i) => {
    if (i === 1) rig.conntrack.flows.words[CT_STATUS] |= IPS_ASSURED;
    if (i === 2) rig.clock.advance(12_000);
  });
  // Before it is confirmed a flow has no timer. Each packet renews it: for 30 s at first, for 120 s once it is a stream.
  assertEquals(seen, ["...x.x", "x..xx.", "xx.xx.", "xx.x.x"]);
});

Deno.test("conntrack knows translated flows by their status", () => {
  const seen = fitting([{ ctstate: "SNAT" }, { ctstate: "DNAT" }, { ctstate: ["SNAT", "NEW"] }], [
    query,
    query,
  ], (rig) => {
    rig.conntrack.flows.words[CT_STATUS] |= IPS_SRC_NAT;
  });
  assertEquals(seen, ["..x", "x.x"]);
  const both = fitting([{ ctstate: "! SNAT", ctdir: "ORIGINAL" }, { ctstate: "DNAT", ctproto: 17 }], [
    query,
    query,
  ], (rig) => {
    rig.conntrack.flows.words[CT_STATUS] |= IPS_DST_NAT;
  });
  assertEquals(both, ["x.", "xx"]);
});

Deno.test("connmark compares the flow's mark, and fits no packet without a flow", () => {
  const rules = [{ connmark: "0x7/0xff" }, { connmark: "! 7" }];
  const seen = fitting(rules, [query, query, stray], (rig) => {
    rig.conntrack.flows.words[CT_MARK] = 0x107;
  });
  assertEquals(seen, [".x", "xx", ".."]);
});

Deno.test("connlabel compares the flow's labels and sets them; without a flow there are none", () => {
  const rules = [{ connlabel: 40 }, { connlabel: { not: 40 } }, {
    connlabel: 40,
    setConnlabel: true as const,
  }, {
    connlabel: 41,
  }];
  assertEquals(fitting(rules, [query, query, stray]), [".xx.", "x.x.", ".x.."]);
});

Deno.test("helper fits the flows that a helper's control connection has opened, not the connection itself", () => {
  const helpers = [idleHelper("ftp", 6, 21), idleHelper("irc", 6, 6667)];
  const rules = ["ftp", "irc", "", "! ftp", "ftp-2121"].map((helper) => ({ helper }));
  const rig = new Rig({ filter: { FORWARD: rules } }, { helpers });
  const fits = (child: boolean) => {
    const before = rig.count("filter", "FORWARD").map(([n]) => n);
    const p = rig.load(query, { hook: PREROUTING, track: true });
    if (child) rig.conntrack.flows.words[p.ct * FLOW_WORDS + CT_STATUS] |= 1 << IPS_MASTER_HELPER_SHIFT;
    rig.of(4).filter!.run(FORWARD, p);
    rig.conntrack.release(p);
    return rig.count("filter", "FORWARD").slice(0, 5).map(([n], i) => n > before[i] ? "x" : ".").join("");
  };
  assertEquals(fits(false), "...x.");
  assertEquals(fits(true), "x.x.x");
});
