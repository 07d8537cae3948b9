/**
 * R09: `CT --timeout`. Linux keeps policies by name, made with nfct; Weir has them in the configuration or in the rule
 * itself. The flows they govern, the rules that may name them and the text of those must not differ.
 */
import { assert, assertEquals } from "@std/assert";
import { splitWords } from "../../src/config/iptables_restore.ts";
import { saveRules } from "../../src/config/iptables_save.ts";
import type { RouterConfig } from "../../src/config/types.ts";
import { ConfigError, validate } from "../../src/config/validate.ts";
import { ftp } from "../../src/helpers/mod.ts";
import { VirtualRouter } from "../../src/replay/virtual.ts";
import { tcp, udp } from "../kit/mod.ts";
import { kernelAvailable, KernelRouter } from "./kernel.ts";
import { readFlow } from "./listing.ts";
import { inNewNetns } from "./netns.ts";

const INTERFACES = { lan: { addresses: ["10.0.0.1/24"] }, wan: { addresses: ["203.0.113.1/24"] } };
const POLICIES = [
  { protocol: "udp", timeout: { unreplied: 77, replied: 99 } },
  { protocol: "tcp", timeout: { synSent: 33, synRecv: 44, established: 555, finWait: 22 } },
] as const;

const RULES = `*raw
${POLICIES.map(({ protocol }) => `-A PREROUTING -p ${protocol} -j CT --timeout ${protocol}`).join("\n")}
COMMIT
`;

const client = "10.0.0.2", server = "203.0.113.7";
const there = (flags: string, seq: number, ack: number) =>
  tcp({ src: client, sport: 1000, dst: server, dport: 80, flags, seq, ack });
const back = (flags: string, seq: number, ack: number) =>
  tcp({ src: server, sport: 80, dst: client, dport: 1000, flags, seq, ack });
/** After each of them the flow's time is asked. */
const PACKETS: readonly [iface: "lan" | "wan", bytes: Uint8Array][] = [
  ["lan", udp({ src: client, sport: 5000, dst: server, dport: 53, payload: "q" })],
  ["wan", udp({ src: server, sport: 53, dst: client, dport: 5000, payload: "a" })],
  ["lan", there("S", 100, 0)],
  ["wan", back("SA", 500, 101)],
  ["lan", there("A", 101, 501)],
  ["lan", there("FA", 101, 501)],
];

function program(...[name, ...args]: string[]): void {
  const { success, stderr } = new Deno.Command(name, { args, stdout: "null", stderr: "piped" }).outputSync();
  if (!success) throw new Error(`${name} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

/** nfct's word for a state. */
const snakeCase = (state: string) => state.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** Timeouts of all flows, by protocol. */
function times(listing: readonly string[]): Record<string, number> {
  return Object.fromEntries(listing.map((line) => [line.slice(0, 3), readFlow(line).timeout!]));
}

/** The program that makes policies: Debian's package nfct. */
function hasNfct(): boolean {
  try {
    program("nfct");
    return true;
  } catch (error) {
    return !(error instanceof Deno.errors.NotFound); // without arguments it only shows its usage
  }
}

function linux(): Record<string, number>[] {
  return inNewNetns(() => {
    const router = new KernelRouter({ interfaces: INTERFACES, steps: [] });
    try {
      for (const { protocol, timeout } of POLICIES) {
        const values = Object.entries(timeout).flatMap((
          [state, seconds],
        ) => [snakeCase(state), String(seconds)]);
        program("nfct", "add", "timeout", protocol, "inet", protocol, ...values);
      }
      router.rules(RULES);
      PACKETS.forEach(([iface, bytes], i) => {
        router.packet(iface, bytes, i);
        router.dump(String(i));
      });
      return router.dumps.map(({ conntrack }) => times(conntrack));
    } finally {
      router.close();
    }
  });
}

/** The policies in the rules themselves, or by their names in the same text that Linux gets. */
const WAYS: readonly Partial<RouterConfig>[] = [
  {
    tables: {
      ipv4: { raw: { PREROUTING: POLICIES.map((policy) => ({ ...policy, jump: "CT" as const })) } },
    },
  },
  {
    timeouts: Object.fromEntries(
      POLICIES.map(({ protocol, timeout }) => [protocol, { protocol, ...timeout }]),
    ),
    iptables: RULES,
  },
];

function weir(config: Partial<RouterConfig>): Record<string, number>[] {
  const router = new VirtualRouter(validate({ interfaces: INTERFACES, ...config }), { emit: () => {} });
  router.moveTo(1_790_000_000_000);
  return PACKETS.map(([iface, bytes]) => {
    router.receive(iface === "lan" ? 1 : 2, bytes);
    return times(router.flows());
  });
}

Deno.test({
  name: "R09 CT --timeout gives flows the policy's times, in Linux and in Weir",
  ignore: !kernelAvailable() || !hasNfct(),
  fn() {
    const kernel = linux();
    for (const ours of WAYS.map(weir)) {
      assertEquals(ours.map(({ udp }) => udp).slice(0, 2), [77, 77], "an answer at once is no stream yet");
      assertEquals(ours.map(({ tcp }) => tcp).slice(2), [33, 44, 555, 22]);
      for (const [i, flows] of ours.entries()) {
        assertEquals(Object.keys(flows).sort(), Object.keys(kernel[i]).sort());
        for (const [protocol, seconds] of Object.entries(flows)) {
          const there = kernel[i][protocol];
          assert(Math.abs(there - seconds) <= 1, `packet ${i}, ${protocol}: Linux ${there}, Weir ${seconds}`);
        }
      }
    }
  },
});

type Named = readonly [name: string, family: 4 | 6, protocol: string, state: string, seconds: number];

/** As nfct is told: name, family, protocol, a state and its seconds. The kernel tells names back by four letters. */
const NAMED: readonly Named[] = [
  ["web", 4, "tcp", "established", 100],
  ["web6", 6, "tcp", "established", 100],
  ["gen", 4, "generic", "timeout", 55],
  ["lite", 4, "udplite", "unreplied", 7],
  ["sc", 4, "sctp", "cookieWait", 5],
  ["gr", 4, "gre", "replied", 8],
  ["ic", 4, "icmp", "timeout", 9],
  ["a.b", 4, "tcp", "close", 9],
  ["a b", 4, "tcp", "close", 9],
];

/** Who may name what, in words of iptables. */
const NAMING: readonly (readonly [family: 4 | 6, rule: string])[] = [
  [4, "-p tcp -j CT --timeout web"],
  [4, "-p tcp -j CT --timeout web --helper ftp --ctevents new --zone 3"],
  [4, "-p udp -j CT --timeout web"],
  [4, "-j CT --timeout web"],
  [4, "! -p tcp -j CT --timeout web"],
  [4, "-p tcp -j CT --timeout nope"],
  [4, "-p tcp -j CT --timeout web6"],
  [6, "-p tcp -j CT --timeout web6"],
  [6, "-p tcp -j CT --timeout web"],
  [4, "-p tcp -j CT --timeout gen"],
  [4, "-p esp -j CT --timeout gen"],
  [4, "-p 99 -j CT --timeout gen"],
  [4, "-p esp -j CT --timeout web"],
  [4, "-p icmp -j CT --timeout gen"],
  [4, "-p icmp -j CT --timeout ic"],
  [4, "-p udplite -j CT --timeout lite"],
  [4, "-p udp -j CT --timeout lite"],
  [4, "-p sctp -j CT --timeout sc"],
  [4, "-p gre -j CT --timeout gr"],
  [4, "-p tcp -j CT --timeout a.b"],
  [4, '-p tcp -j CT --timeout "a b"'],
  [4, "-p tcp -j CT --notrack --timeout nope"],
  [4, '-p tcp -j CT --timeout ""'],
];

/** The rules of a family that are taken one by one, as they are printed; null for one that is refused. */
function linuxTakes(
  family: 4 | 6,
  rules: readonly string[],
  policies: readonly Named[] = NAMED,
): (string | null)[] {
  const prefix = family === 4 ? "iptables" : "ip6tables";
  return inNewNetns(() => {
    for (const [name, of, protocol, state, seconds] of policies) {
      const l3 = of === 4 ? "inet" : "inet6";
      program("nfct", "add", "timeout", name, l3, protocol, snakeCase(state), String(seconds));
    }
    return rules.map((rule) => {
      const words = splitWords(rule).map(({ text }) => text);
      program(`${prefix}-legacy`, "-t", "raw", "-F");
      try {
        program(`${prefix}-legacy`, "-t", "raw", "-A", "PREROUTING", ...words);
      } catch {
        return null;
      }
      const { stdout } = new Deno.Command(`${prefix}-legacy-save`, { args: ["-t", "raw"] }).outputSync();
      return firstRule(new TextDecoder().decode(stdout));
    });
  });
}

const firstRule = (text: string) => text.split("\n").find((line) => line.startsWith("-A ")) ?? "";

function weirTakes(family: 4 | 6, rule: string): string | null {
  const text = `*raw\n-A PREROUTING ${rule}\nCOMMIT\n`;
  const config = {
    interfaces: INTERFACES,
    helpers: [ftp({ autoAssign: false })],
    timeouts: Object.fromEntries(
      NAMED.map(([name, family, protocol, state, seconds]) => [name, { protocol, family, [state]: seconds }]),
    ),
    [family === 4 ? "iptables" : "ip6tables"]: text,
  } as RouterConfig;
  try {
    const { rules } = validate(config);
    return firstRule(saveRules(family === 4 ? rules.ipv4 : rules.ipv6));
  } catch (error) {
    if (error instanceof ConfigError) return null;
    throw error;
  }
}

Deno.test({
  name: "R09 CT --timeout NAME is taken, refused and printed as in Linux",
  ignore: !kernelAvailable() || !hasNfct(),
  fn() {
    for (const family of [4, 6] as const) {
      const rules = NAMING.filter(([of]) => of === family).map(([, rule]) => rule);
      const kernel = linuxTakes(family, rules);
      assert(
        kernel.includes(null) && kernel.some((line) => line !== null),
        "some are refused, and some are not",
      );
      assertEquals(
        rules.map((rule) => [rule, weirTakes(family, rule)]),
        rules.map((rule, i) => [rule, kernel[i]]),
      );
    }
  },
});

Deno.test({
  name: "R09 Linux tells a policy's name back by its first four letters, Weir by all of them",
  ignore: !kernelAvailable() || !hasNfct(),
  fn() {
    const rule = "-p tcp -j CT --timeout streaming";
    // usersize in xt_CT ends behind the fourth letter, so Linux cannot read its own text again.
    const [kernel] = linuxTakes(4, [rule], [["streaming", 4, "tcp", "established", 100]]);
    assertEquals(kernel, "-A PREROUTING -p tcp -j CT --timeout stre");
    const { rules } = validate({
      interfaces: INTERFACES,
      timeouts: { streaming: { protocol: "tcp", established: 100 } },
      iptables: `*raw\n-A PREROUTING ${rule}\nCOMMIT\n`,
    });
    assertEquals(firstRule(saveRules(rules.ipv4)), `-A PREROUTING ${rule}`);
  },
});
