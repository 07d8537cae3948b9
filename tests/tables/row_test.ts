/** What a row of the table takes over from a rule's first matches is judged where the match would have been. */
import { assertEquals } from "@std/assert";
import {
  ESTABLISHED,
  ESTABLISHED_REPLY,
  NEW,
  RELATED,
  RELATED_REPLY,
  UNTRACKED,
} from "../../src/netfilter.ts";
import type { Packet } from "../../src/packet/packet.ts";
import { ip, tcp, udp } from "../kit/mod.ts";
import { Rig } from "./rig.ts";

const C = "10.0.0.2", S = "203.0.113.9";
const syn = tcp({ src: C, dst: S, sport: 1025, dport: 80, flags: "S" });
/** A TCP header of which only the ports are there. */
const cut = ip({ src: C, dst: S, protocol: 6, payload: syn.slice(20, 28) });

/** The verdict of FORWARD with this one rule. */
function rig(rule: string): Rig {
  return new Rig({}, { iptables: `*filter\n-A FORWARD ${rule} -j DROP\nCOMMIT\n` });
}

/** INVALID. */
const invalid = {};
const fresh = { track: true };

Deno.test("row: a cut header drops where ports are asked first, and not where the state has failed before", () => {
  const ports = "-p tcp -m tcp --dport 80", state = "-m state --state NEW";
  assertEquals(rig(`${ports} ${state}`).says("filter", cut, invalid), "match-hotdrop");
  assertEquals(rig(`-p tcp ${state} -m tcp --dport 80`).says("filter", cut, invalid), "ACCEPT");
  for (const rule of [`${ports} ${state}`, `-p tcp ${state} -m tcp --dport 80`]) {
    assertEquals(rig(rule).says("filter", syn, fresh), "rule-drop");
    assertEquals(rig(rule).says("filter", syn, invalid), "ACCEPT");
  }
});

Deno.test("row: a match that counts by being asked stays in front of the state, or behind it", () => {
  const limit = "-m limit --limit 1/hour --limit-burst 1", state = "-m state --state NEW";
  const first = rig(`${limit} ${state}`);
  assertEquals(first.says("filter", syn, invalid), "ACCEPT");
  assertEquals(first.says("filter", syn, fresh), "ACCEPT", "the packet before has used up the limit");
  const last = rig(`${state} ${limit}`);
  assertEquals(last.says("filter", syn, invalid), "ACCEPT");
  assertEquals(last.says("filter", syn, fresh), "rule-drop");
});

Deno.test("row: a later fragment has no ports, and one at offset 8 drops where TCP ports are asked", () => {
  const at = (fragmentOffset: number) => ({
    prepare: (p: Packet) => void (p.fragmentOffset = fragmentOffset),
  });
  assertEquals(rig("-p tcp -m tcp --dport 80").says("filter", syn, at(8)), "match-hotdrop");
  assertEquals(rig("-p tcp -m tcp --dport 80").says("filter", syn, at(16)), "ACCEPT");
  const datagram = udp({ src: C, dst: S, sport: 1025, dport: 80 });
  assertEquals(rig("-p udp -m udp --dport 80").says("filter", datagram, at(8)), "ACCEPT");
});

Deno.test("row: ports at the ends of ranges, negated or not", () => {
  const rules: [string, boolean][] = [
    ["--dport 80", true],
    ["--dport 79", false],
    ["--dport 80:90", true],
    ["--dport 70:80", true],
    ["--dport 81:90", false],
    ["! --dport 80:90", false],
    ["! --dport 81:90", true],
    ["--sport 1025 --dport 80", true],
    ["! --sport 1025 --dport 80", false],
    ["! --sport 0:1024 --dport 80", true],
    ["--sport 0:65535", true],
  ];
  for (const [ports, holds] of rules) {
    assertEquals(rig(`-p tcp -m tcp ${ports}`).says("filter", syn), holds ? "rule-drop" : "ACCEPT", ports);
  }
});

Deno.test("row: every relation to the flow, by both matches, negated or not", () => {
  const relations: [string, number, boolean][] = [
    ["NEW", NEW, true],
    ["ESTABLISHED", ESTABLISHED, true],
    ["ESTABLISHED", ESTABLISHED_REPLY, true],
    ["RELATED", RELATED, true],
    ["RELATED", RELATED_REPLY, true],
    ["UNTRACKED", UNTRACKED, false],
    ["INVALID", 0, false],
  ];
  for (const asked of ["NEW", "ESTABLISHED", "RELATED", "UNTRACKED", "INVALID"]) {
    for (
      const match of [
        "-m state --state",
        "-m state ! --state",
        "-m conntrack --ctstate",
        "-m conntrack ! --ctstate",
      ]
    ) {
      const r = rig(`${match} ${asked}`);
      for (const [name, ctinfo, flow] of relations) {
        const prepare = (p: Packet) => {
          p.ct = flow ? 0 : -1;
          p.ctinfo = ctinfo as typeof p.ctinfo;
        };
        const holds = (name === asked) !== match.includes("!");
        assertEquals(
          r.says("filter", syn, { prepare }),
          holds ? "rule-drop" : "ACCEPT",
          `${match} ${asked}: ${name}`,
        );
      }
    }
  }
});
