/**
 * Groups C, P, A and the helper cases of group X, through the whole router, against what Linux answered: packets byte
 * for byte, listings, and rule counters.
 */
import { assertEquals } from "@std/assert";
import { saveRules } from "../../src/config/iptables_save.ts";
import { defineRouter } from "../../src/config/define.ts";
import { validate } from "../../src/config/validate.ts";
import { amanda, ftp, irc, tftp } from "../../src/helpers/mod.ts";
import { VirtualRouter } from "../../src/replay/virtual.ts";
import { AMANDA_CASES, IRC_CASES, TFTP_CASES } from "../oracle/cases/helpers.ts";
import { SECURITY_CASES } from "../oracle/cases/security.ts";
import { compare } from "../oracle/compare.ts";
import { recorded } from "../oracle/recorded.ts";
import type { Answer, Scenario } from "../oracle/scenario.ts";
import { View } from "../oracle/view.ts";

/** What the rules of these cases are made of. */
const KEYS: Readonly<Record<string, string>> = {
  "-i": "inInterface",
  "-o": "outInterface",
  "-p": "protocol",
  "-j": "jump",
  "--dport": "dport",
  "--ctstate": "ctstate",
  "--helper": "helper",
  "--to-source": "toSource",
  "--to-destination": "toDestination",
};

/** The tables of an iptables-restore text. */
function tables(text: string): Record<string, Record<string, { policy?: string; rules: unknown[] }>> {
  const found: ReturnType<typeof tables> = {};
  let table: typeof found[string] = {};
  for (const line of text.split("\n")) {
    const words = line.split(" ");
    if (line.startsWith("*")) table = found[line.slice(1)] ??= {};
    else if (line.startsWith(":")) table[words[0].slice(1)] = { policy: words[1], rules: [] };
    else if (words[0] === "-A") {
      const rule: Record<string, string | string[]> = {};
      for (let i = 2; i < words.length; i += 2) {
        if (words[i] === "-m") continue;
        const key = KEYS[words[i]], value = words[i + 1];
        if (key === undefined) throw new Error(line);
        rule[key] = value.includes(",") ? value.split(",") : value;
      }
      (table[words[1]] ??= { rules: [] }).rules.push(rule);
    }
  }
  return found;
}

function ask(scenario: Scenario): Answer {
  const names = Object.keys(scenario.interfaces), answer: Answer = { emitted: [], dumps: [] };
  const config = validate(defineRouter({
    interfaces: scenario.interfaces,
    routes: scenario.routes,
    tables: { ipv4: tables(scenario.iptables!) as never },
    helpers: [ftp, irc, tftp, amanda].map((helper) => helper({ autoAssign: false })),
    sysctl: { "net.ipv4.icmp_ratelimit": 0, "net.netfilter.nf_conntrack_max": 1024, ...scenario.sysctl },
  }));
  let step = 0;
  const router = new VirtualRouter(config, {
    emit: (iface, bytes) => answer.emitted.push({ step, iface: names[iface - 1], bytes }),
  });
  const dump = (name: string) =>
    answer.dumps.push({
      name,
      conntrack: router.flows(),
      expect: router.expects(),
      iptables: saveRules(config.rules.ipv4, { counters: router.memory.rules }),
      ip6tables: "",
    });
  for (const s of scenario.steps) {
    if (s.do === "dump") dump(s.name);
    else if (s.do !== "packet") throw new Error(`cannot ${s.do}`);
    else {
      const bytes = typeof s.bytes === "function" ? s.bytes(answer.emitted) : s.bytes;
      router.receive(names.indexOf(s.iface) + 1, bytes);
    }
    step++;
  }
  dump("end");
  return answer;
}

const CASES = [
  ...IRC_CASES,
  ...TFTP_CASES,
  ...AMANDA_CASES,
  ...SECURITY_CASES.filter(({ id }) => ["X01", "X02", "X03", "X04"].includes(id)),
];

for (const { id, says, scenario, expect } of CASES) {
  Deno.test(`${id} ${says}`, () => {
    const weir = ask(scenario);
    expect(new View(scenario, weir));
    assertEquals(compare(scenario, recorded(id)!.answer, weir), []);
  });
}
