/** The `profile` of a configuration. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { PROFILES } from "../../src/config/profile.ts";
import type { RouterConfig } from "../../src/config/types.ts";
import { ConfigError, validate } from "../../src/config/validate.ts";
import { SYSCTLS } from "../../src/sysctl.ts";

const UDP = "net.netfilter.nf_conntrack_udp_timeout";
const check = (o: Partial<RouterConfig>) =>
  validate({ interfaces: { lan: { addresses: ["10.0.0.1/24"] } }, ...o });

Deno.test("profile: Linux's values by default, the RFCs' on demand, and what sysctl says before either", () => {
  assertEquals(check({}).sysctl.get(UDP), 30);
  assertEquals(check({ profile: "linux" }).sysctl.get(UDP), 30);
  assertEquals(check({ profile: "rfc" }).sysctl.get(UDP), 300);
  assertEquals(check({ profile: "rfc", sysctl: { [UDP]: 45 } }).sysctl.get(UDP), 45);
  const some = check({ profile: "rfc", sysctl: { "weir.nat_endpoint_independent": 0 } }).sysctl;
  assertEquals([some.get("weir.nat_endpoint_independent"), some.get(UDP)], [0, 300]);
});

Deno.test("profile: sets only knobs that there are, to values that they take", () => {
  for (const [name, value] of Object.values(PROFILES).flatMap((values) => Object.entries(values))) {
    const { min, max } = SYSCTLS[name];
    assert(value >= min && value <= max, name);
    assert(value !== SYSCTLS[name].default, `${name} has that value anyway`);
  }
});

Deno.test("profile: refuses names that it does not know", () => {
  for (const profile of ["RFC", "rfc4787", "", 1, null] as unknown as "rfc"[]) {
    const error = assertThrows(() => check({ profile }), ConfigError);
    assertStringIncludes(error.message, "profile");
  }
  const error = assertThrows(() => check({ profile: "rcf" as "rfc" }), ConfigError);
  assertStringIncludes(error.message, "rfc");
});
