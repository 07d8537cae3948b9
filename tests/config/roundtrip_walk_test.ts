/**
 * Chains as packets walk them, from text: jumps, returns, gotos, policies, interfaces by name, wildcard and negation.
 * Linux and Weir get the same text and the same packets, and every rule has to have counted the same.
 */

import { assertEquals } from "@std/assert";
import { icmpEcho, tcp, udp } from "../kit/packets.ts";
import { C, LAN, NET, S, WAN } from "../oracle/cases/case.ts";
import { compare } from "../oracle/compare.ts";
import { askKernel, kernelAvailable } from "../oracle/kernel.ts";
import { dumpOf, packet, type Scenario } from "../oracle/scenario.ts";
import { askWeir } from "../oracle/weir.ts";

/** One of each: through the router, to it, from either side, of three protocols. */
const STEPS = [
  packet("lan", udp({ src: C, dst: S, sport: 1000, dport: 53, payload: 10 })),
  packet("lan", udp({ src: C, dst: S, sport: 1000, dport: 54, payload: 10 })),
  packet("wan", udp({ src: S, dst: C, sport: 53, dport: 1000, payload: 20 })),
  packet("lan", tcp({ src: C, dst: S, sport: 1001, dport: 80, flags: "S" })),
  packet("lan", icmpEcho({ src: C, dst: S, payload: 8 })),
  packet("lan", icmpEcho({ src: C, dst: LAN, payload: 8 })),
  packet("wan", icmpEcho({ src: S, dst: WAN, payload: 8 })),
  packet("wan", udp({ src: S, dst: WAN, sport: 9, dport: 9, payload: 1 })),
];

/** What the rules are about, and the packets that each rule counts; a policy's count stands with its chain. */
const WALKS: readonly (readonly [says: string, rules: string, counted: string])[] = [
  [
    "a jump goes into the chain and comes back behind the rule",
    ":a - [0:0]\n-A FORWARD -j a\n-A FORWARD -p udp\n-A a -p tcp\n-A a -p udp",
    "INPUT 3 FORWARD 5 OUTPUT 3 | 5 3 1 3",
  ],
  [
    "a verdict in a chain ends the walk",
    ":a - [0:0]\n-A FORWARD -j a\n-A FORWARD\n-A a -p udp -j DROP\n-A a -p tcp -j ACCEPT",
    "INPUT 3 FORWARD 1 OUTPUT 3 | 5 1 3 1",
  ],
  [
    "RETURN goes back to where the chain was called from",
    ":a - [0:0]\n:b - [0:0]\n-A FORWARD -j a\n-A FORWARD -j DROP\n-A a -j b\n-A a -p udp\n-A b -p udp -j RETURN\n-A b -j ACCEPT",
    "INPUT 3 FORWARD 0 OUTPUT 3 | 5 3 5 3 3 2",
  ],
  [
    "RETURN in a built-in chain is its policy",
    ":FORWARD DROP [0:0]\n-A FORWARD -p udp -j RETURN\n-A FORWARD -j ACCEPT",
    "INPUT 3 FORWARD 3 OUTPUT 3 | 3 2",
  ],
  [
    "a goto comes back to the caller of the chain it stands in",
    ":a - [0:0]\n:b - [0:0]\n-A FORWARD -j a\n-A FORWARD -p udp\n-A a -g b\n-A a\n-A b -p tcp -j ACCEPT",
    "INPUT 3 FORWARD 4 OUTPUT 3 | 5 3 5 0 1",
  ],
  [
    "a goto from a built-in chain comes back to its policy",
    ":FORWARD DROP [0:0]\n:a - [0:0]\n-A FORWARD -p udp -g a\n-A FORWARD -j ACCEPT\n-A a -p tcp -j ACCEPT",
    "INPUT 3 FORWARD 3 OUTPUT 3 | 3 2 0",
  ],
  [
    "a chain is used before it is filled, and shared by others",
    ":z - [0:0]\n:a - [0:0]\n-A INPUT -j z\n-A FORWARD -j z\n-A z -p icmp -j a\n-A a -d 203.0.113.1 -j RETURN\n-A a",
    "INPUT 3 FORWARD 5 OUTPUT 3 | 3 5 1 2 3",
  ],
  [
    "interfaces fit by name",
    "-A FORWARD -i lan -o wan\n-A FORWARD -i wan -o lan\n-A FORWARD -i la\n-A FORWARD -i lan0\n-A INPUT -i lan\n-A OUTPUT -o wan",
    "INPUT 3 FORWARD 5 OUTPUT 3 | 1 4 1 0 0 2",
  ],
  [
    "a plus sign stands for any ending, even none",
    "-A FORWARD -i l+\n-A FORWARD -i lan+\n-A FORWARD -i lan0+\n-A FORWARD -i +\n-A FORWARD -o w+ -i wan+",
    "INPUT 3 FORWARD 5 OUTPUT 3 | 4 4 0 5 0",
  ],
  [
    "a negated interface is every other one",
    "-A FORWARD ! -i lan\n-A FORWARD ! -o w+\n-A INPUT ! -i wan\n-A OUTPUT ! -o lan",
    "INPUT 3 FORWARD 5 OUTPUT 3 | 1 1 1 2",
  ],
  [
    "what has no incoming interface fits none by name, and every negation",
    ":a - [0:0]\n-A OUTPUT -j a\n-A a -i lan\n-A a ! -i lan\n-A a -i l+",
    "INPUT 3 FORWARD 5 OUTPUT 3 | 3 0 3 0",
  ],
  [
    "addresses and protocols are turned round",
    "-A FORWARD ! -p udp\n-A FORWARD ! -s 192.0.2.0/24\n-A FORWARD ! -d 198.51.100.7\n-A FORWARD -d 0.0.0.7/0.0.0.255\n-A FORWARD ! -s 0.0.0.0/0",
    "INPUT 3 FORWARD 5 OUTPUT 3 | 2 1 1 4 0",
  ],
];

/** Policies' packets, then those of the rules. */
function counted(saved: string): string {
  const filter = saved.slice(saved.indexOf("*filter")).split("\n");
  const policies = filter.flatMap((line) => /^:(\S+) \w+ \[(\d+):/.exec(line)?.slice(1) ?? []);
  const rules = filter.flatMap((line) => /^\[(\d+):\d+\] -A/.exec(line)?.[1] ?? []);
  return `${policies.join(" ")} | ${rules.join(" ")}`;
}

for (const [says, rules, wanted] of WALKS) {
  Deno.test({
    name: `B05 walk: ${says}`,
    ignore: !kernelAvailable(),
    fn() {
      const scenario: Scenario = { ...NET, iptables: `*filter\n${rules}\nCOMMIT\n`, steps: STEPS };
      const linux = askKernel(scenario), weir = askWeir(scenario);
      assertEquals(compare(scenario, linux, weir), []);
      assertEquals(counted(dumpOf(linux).iptables), wanted);
      assertEquals(counted(dumpOf(weir).iptables), wanted);
    },
  });
}
