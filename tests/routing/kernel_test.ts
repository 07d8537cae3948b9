/** The routing parts answer as Linux did, byte for byte but for identifications and flow labels. */
import { assertEquals } from "@std/assert";
import { FORWARD, INPUT } from "../../src/netfilter.ts";
import { CASES as IPV4_FORWARD } from "./kernel/ipv4_forward.ts";
import { CASES as IPV4_LOCAL } from "./kernel/ipv4_local.ts";
import { CASES as IPV4_MARTIANS } from "./kernel/ipv4_martians.ts";
import { CASES as IPV4_OPTIONS } from "./kernel/ipv4_options.ts";
import { CASES as IPV6_FORWARD } from "./kernel/ipv6_forward.ts";
import { CASES as IPV6_LOCAL } from "./kernel/ipv6_local.ts";
import { CASES as IPV6_DESTINATIONS } from "./kernel/ipv6_destinations.ts";
import { CASES as IPV6_SOURCES } from "./kernel/ipv6_sources.ts";
import { CASES as REJECT4 } from "./kernel/reject4.ts";
import { CASES as REJECT6 } from "./kernel/reject6.ts";
import { CASES as REVERSE_PATH } from "./kernel/reverse_path.ts";
import { CASES as SOURCES } from "./kernel/sources.ts";
import { fromHex, INTERFACES, type KernelCase, ROUTES, TestRouter, toHex, withChoicesOf } from "./setup.ts";

/** What the router said, in the form of a recorded case's output. */
function answers(router: TestRouter, [, input, packet, output, time]: KernelCase): [string, string][] {
  // Ten seconds between the cases, so that no limit is felt.
  router.clock.now = (router.clock.now + 10000) | 0;
  router.clock.wall = (time ?? 0) / 1000;
  const sent = router.send(input, fromHex(packet));
  if (sent === null) return [];
  const recorded = output.length > 0 ? fromHex(output[0][1]) : sent.bytes;
  return [[sent.iface, toHex(sent.made ? withChoicesOf(recorded, sent.bytes) : sent.bytes)]];
}

function compare(cases: readonly KernelCase[], routerOf: (name: string) => TestRouter): void {
  const wrong: string[] = [];
  for (const c of cases) {
    const got = answers(routerOf(c[0]), c);
    const expected = c[3].map(([iface, packet]) => [iface, toHex(fromHex(packet))]);
    if (JSON.stringify(got) !== JSON.stringify(expected)) {
      wrong.push(`${c[0]}\n  kernel ${JSON.stringify(expected)}\n  weir   ${JSON.stringify(got)}`);
    }
  }
  assertEquals(wrong.join("\n"), "");
}

const plain = () => new TestRouter(INTERFACES, ROUTES);

for (
  const [what, cases] of [
    ["forwards and refuses IPv4", IPV4_FORWARD],
    ["answers IPv4 for its own addresses", IPV4_LOCAL],
    ["drops IPv4 martians", IPV4_MARTIANS],
    ["records in IPv4 options", IPV4_OPTIONS],
    ["forwards and refuses IPv6", IPV6_FORWARD],
    ["answers IPv6 for its own addresses", IPV6_LOCAL],
    ["keeps IPv6 sources to their scopes", IPV6_SOURCES],
    ["keeps IPv6 destinations to their scopes", IPV6_DESTINATIONS],
  ] as const
) {
  Deno.test(`routing ${what} as Linux`, () => {
    const router = plain();
    compare(cases, () => router);
  });
}

Deno.test("routing chooses sources among many addresses as Linux", () => {
  const [lan, wan, nar] = INTERFACES;
  const interfaces = [
    {
      ...lan,
      addresses: [
        ...lan.addresses,
        "fe80::1/64",
        "192.0.2.129/25",
        "192.0.2.3/24",
        "2001:db8:1:2::1/64",
        "2001:db8:7::8/128",
      ],
    },
    { ...wan, addresses: [...wan.addresses, "fe80::2/64", "fd00::1/64"] },
    { ...nar, addresses: [...nar.addresses, "2001:db8:7::a/127", "198.18.7.1/32", "198.18.8.0/31"] },
  ];
  const routes = [
    ...ROUTES,
    { destination: "0.0.0.0/8", interface: "wan", via: "198.51.100.254" },
    { destination: "203.0.115.0/24", interface: "wan", via: "198.51.100.254", source: "198.51.100.9" },
    { destination: "2001:db8:4::/48", interface: "wan", via: "2001:db8:2:1::fe" },
    { destination: "2001:db8:5::/48", interface: "nar" },
    { destination: "2001:db8:a::/48", interface: "wan", via: "fe80::99" },
  ];
  const quiet = new TestRouter(interfaces, routes);
  const redirecting = new TestRouter(interfaces, routes, { "net.ipv4.conf.all.send_redirects": 1 });
  compare(SOURCES, (name) => name.includes("with redirects") ? redirecting : quiet);
});

Deno.test("routing filters reverse paths as Linux", () => {
  const routers = [0, 1, 2].map((rp) =>
    new TestRouter(INTERFACES, ROUTES, { "net.ipv4.conf.all.rp_filter": rp })
  );
  compare(REVERSE_PATH, (name) => routers[Number(name.match(/rp_filter (\d)/)![1])]);
});

for (const [family, cases] of [["IPv4", REJECT4], ["IPv6", REJECT6]] as const) {
  Deno.test(`routing rejects ${family} as Linux`, () => {
    const [lan, ...others] = INTERFACES;
    const router = new TestRouter(
      [{ ...lan, addresses: [...lan.addresses, "fe80::1/64"] }, ...others],
      ROUTES,
    );
    compare(cases, (name) => {
      router.rule = {
        hook: name.includes("INPUT") ? INPUT : FORWARD,
        codes: name.includes("reset") ? null : name.includes("admin") ? [13, 1] : [3, 4],
      };
      return router;
    });
  });
}
