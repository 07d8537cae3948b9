/** Timeout policies by name: what a configuration may say of them, and how rules of either door find them. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { saveRules, unsaid } from "../../src/config/iptables_save.ts";
import { importRules } from "../../src/config/typescript.ts";
import type { RouterConfig, TablesConfig } from "../../src/config/types.ts";
import { ConfigError, validate } from "../../src/config/validate.ts";
import { VirtualRouter } from "../../src/replay/virtual.ts";
import { tcp } from "../kit/mod.ts";

const INTERFACES = { lan: { addresses: ["192.0.2.1/24"] }, wan: { addresses: ["198.51.100.1/24"] } };
const TIMEOUTS = {
  web: { protocol: "tcp", established: 100, synSent: 33 },
  v4: { protocol: "udp", family: 4, replied: 7 },
  rest: { protocol: "generic", timeout: 55 },
} as const;

/** The mistakes of a configuration as "path: message" lines. */
function mistakes(config: Partial<RouterConfig>): string[] {
  try {
    validate({ interfaces: INTERFACES, ...config } as RouterConfig);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ path, message }) => `${path}: ${message}`);
  }
  return [];
}

const WRONG: [timeouts: unknown, mistake: string][] = [
  [[], 'timeouts: is not an object with policies; write { web: { protocol: "tcp", established: 3600 } }'],
  [{ web: 5 }, 'timeouts.web: is not a policy; write { protocol: "tcp", established: 3600 }'],
  [
    { web: { established: 5 } },
    "timeouts.web.protocol: is missing; one of tcp, udp, udplite, icmp, icmpv6, sctp, gre, generic",
  ],
  [
    { web: { protocol: "tpc" } },
    'timeouts.web.protocol: "tpc" is not a protocol with timeouts; did you mean tcp?',
  ],
  [{ web: { protocol: "tcp", family: 5 } }, "timeouts.web.family: 5 is not 4 or 6; leave it out for both"],
  [
    { web: { protocol: "tcp", etablished: 5 } },
    "timeouts.web.etablished: is not known here; did you mean established?",
  ],
  [
    { web: { protocol: "udp", established: 5 } },
    "timeouts.web.established: is not known here; known are unreplied, replied",
  ],
  [
    { web: { protocol: "tcp", established: 0 } },
    "timeouts.web.established: 0 is not a number of seconds from 1 to 2147483",
  ],
  [
    { web: { protocol: "tcp", established: "5" } },
    'timeouts.web.established: "5" is not a number of seconds from 1 to 2147483',
  ],
  [
    { [`web ${"x".repeat(30)}`]: { protocol: "tcp" } },
    `timeouts["web ${"x".repeat(30)}"]: "web ${"x".repeat(30)}" is no name of 1 to 31 bytes in one line`,
  ],
];

for (const [timeouts, mistake] of WRONG) {
  Deno.test(`timeouts refuses ${JSON.stringify(timeouts)}`, () => {
    assertEquals(mistakes({ timeouts: timeouts as RouterConfig["timeouts"] }), [mistake]);
  });
}

/** A rule of either door, and what is wrong with it: nothing, or a message behind its place. */
const RULES: [family: 4 | 6, protocol: string | null, name: string, wrong: string | null][] = [
  [4, "tcp", "web", null],
  [6, "tcp", "web", null],
  [4, "esp", "rest", null],
  [4, "99", "rest", null],
  [4, "udp", "v4", null],
  [6, "udp", "v4", 'timeout policy "v4" is for IPv4, and the rule for IPv6'],
  [4, "udp", "web", 'timeout policy "web" is for tcp, and the rule for udp'],
  [4, "esp", "web", 'timeout policy "web" is for tcp, and the rule for esp'],
  [4, "tcp", "rest", 'timeout policy "rest" is for generic, and the rule for tcp'],
  [4, null, "web", 'timeout policy "web" needs the protocol it is for in the same rule, not negated'],
  [4, "! tcp", "web", 'timeout policy "web" needs the protocol it is for in the same rule, not negated'],
  [
    4,
    "tcp",
    "wbe",
    'timeout policy "wbe" is not listed; add it to `timeouts` (listed: web, v4, rest)',
  ],
];

for (const [family, protocol, name, wrong] of RULES) {
  const said = `--timeout ${name} for ${protocol ?? "any protocol"} in IPv${family}`;
  Deno.test(`CT ${wrong === null ? "takes" : "refuses"} ${said}, as text and as an object`, () => {
    const rule = { ...(protocol === null ? {} : { protocol }), jump: "CT", timeout: name };
    const tables = { [`ipv${family}`]: { raw: { PREROUTING: [rule] } } } as TablesConfig;
    const at = `tables.ipv${family}.raw.PREROUTING[0].jump`;
    assertEquals(mistakes({ tables, timeouts: TIMEOUTS }), wrong === null ? [] : [`${at}: ${wrong}`]);

    const match = protocol === null ? "" : ` ${protocol.replace(/^(! )?/, "$1-p ")}`;
    const text = `*raw\n-A PREROUTING${match} -j CT --timeout ${name}\nCOMMIT\n`;
    const label = family === 4 ? "iptables" : "ip6tables", column = text.split("\n")[1].indexOf("CT") + 1;
    assertEquals(
      mistakes({ [label]: text, timeouts: TIMEOUTS }),
      wrong === null ? [] : [`${label}:2:${column}: ${wrong}`],
    );
  });
}

Deno.test("CT refuses a policy where none is listed, and says so", () => {
  const raw = { PREROUTING: [{ protocol: "tcp", jump: "CT", timeout: "web" }] };
  assertEquals(mistakes({ tables: { raw } as TablesConfig }), [
    'tables.raw.PREROUTING[0].jump: timeout policy "web" is not listed; add it to `timeouts`',
  ]);
});

Deno.test("CT --notrack asks for no policy, and an empty name is none, as in Linux", () => {
  const rules = ["-p tcp -j CT --notrack --timeout nope", '-p tcp -j CT --timeout ""'];
  const text = `*raw\n${rules.map((rule) => `-A PREROUTING ${rule}\n`).join("")}COMMIT\n`;
  const { rules: { ipv4 } } = validate({ interfaces: INTERFACES, iptables: text });
  assertEquals(saveRules(ipv4).split("\n").filter((line) => line.startsWith("-A ")), [
    "-A PREROUTING -p tcp -j CT --notrack --timeout nope",
    "-A PREROUTING -p tcp -j CT",
  ]);
});

Deno.test("a policy governs the flows of the rules that name it", () => {
  const raw = { PREROUTING: [{ protocol: "tcp", dport: 80, jump: "CT", timeout: "web" }] } as const;
  const router = new VirtualRouter(
    validate({ interfaces: INTERFACES, timeouts: TIMEOUTS, tables: { raw } }),
    { emit: () => {} },
  );
  const syn = (dport: number) =>
    tcp({ src: "192.0.2.2", sport: 1000, dst: "198.51.100.7", dport, flags: "S" });
  router.receive(1, syn(80));
  router.receive(1, syn(81));
  assertEquals(router.flows().map((line) => line.split(/ +/)[2]), ["33", "120"]);
});

Deno.test("SCTP has timeouts by its own states", () => {
  const rule = (timeout: object) => ({ raw: { PREROUTING: [{ protocol: "sctp", jump: "CT", timeout }] } });
  assertEquals(mistakes({ tables: rule({ cookieWait: 5, established: 9 }) as TablesConfig }), []);
  assertStringIncludes(
    mistakes({ tables: rule({ timeout: 5 }) as TablesConfig })[0],
    "they are closed, cookieWait, cookieEchoed, established",
  );
  const { sctp } = validate({
    interfaces: INTERFACES,
    timeouts: { sctp: { protocol: "sctp", heartbeatSent: 7 } },
  }).timeouts.reduce((all, policy) => ({ ...all, [policy.name]: policy }), {} as Record<string, unknown>);
  assertEquals(sctp, { name: "sctp", protocol: 132, family: 0, seconds: { heartbeatSent: 7 } });
});

Deno.test("save says a policy by its name, and refuses one that text cannot say", () => {
  const rule = (name: string) => ({ raw: { PREROUTING: [{ protocol: "tcp", jump: "CT", timeout: name }] } });
  for (const [name, refused] of [["web", 0], ["a.b", 0], ["two words", 1]] as const) {
    const valid = validate({
      interfaces: INTERFACES,
      timeouts: { [name]: { protocol: "tcp", established: 5 } },
      tables: { ipv4: rule(name) as TablesConfig },
    });
    assertStringIncludes(saveRules(valid.rules.ipv4), `-A PREROUTING -p tcp -j CT --timeout ${name}\n`);
    assertEquals(unsaid(valid.rules.ipv4, valid).length, refused, name);
  }
});

Deno.test("import names the policies that a text speaks of, and its module says the same rules", async () => {
  const rules = [
    "-A PREROUTING -p tcp -j CT --timeout web",
    "-A PREROUTING -p tcp -m tcp --dport 80 -j CT --timeout web --zone 3",
    "-A PREROUTING -p esp -j CT --timeout rest",
    "-A OUTPUT -p udp -j CT --timeout a.b",
  ];
  const text = `*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n${rules.join("\n")}\nCOMMIT\n`;
  const module = importRules({ name: "rules.v4", text }, null);
  const url = `data:application/typescript;base64,${
    new Uint8Array(new TextEncoder().encode(module)).toBase64()
  }`;
  const { default: config } = await import(url) as { default: RouterConfig };
  assertEquals(Object.entries(config.timeouts!), [
    ["web", { protocol: "tcp" }],
    ["rest", { protocol: "generic" }],
    ["a.b", { protocol: "udp" }],
  ]);
  const { rules: { ipv4 } } = validate({ ...config, interfaces: INTERFACES });
  assertEquals(saveRules(ipv4), text);
});
