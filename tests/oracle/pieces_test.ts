/** Long answers of the router's own, length by length around each boundary: Linux and Weir cut them alike. */
import { fragments, icmpEcho } from "../kit/packets.ts";
import { assertAlike } from "./ask.ts";
import { C, C6, LAN, LAN6, nat, NET6, S, S6 } from "./cases/case.ts";
import { kernelAvailable } from "./kernel.ts";
import { packet, type Scenario } from "./scenario.ts";

/** Payloads around the one that fills `pieces` pieces of an answer by a link of this MTU. */
function* payloads(family: 4 | 6, mtu: number): Generator<number> {
  const whole = mtu - (family === 4 ? 28 : 48), piece = (mtu - (family === 4 ? 20 : 48)) & ~7;
  for (const middle of [whole, piece - 8, 2 * piece - 8, 3 * piece - 8]) {
    for (let payload = middle - 5; payload <= middle + 13; payload++) yield payload;
  }
}

/** Echo requests of all these lengths, by the LAN, whose answers are first made for `mtu`. */
function asked(family: 4 | 6, mtu: number, interfaces: Scenario["interfaces"], rules: string): Scenario {
  const [src, dst] = family === 4 ? [C, LAN] : [C6, LAN6];
  let n = 0;
  const steps = [...payloads(family, mtu)].flatMap((payload) => {
    const request = icmpEcho({ src, dst, payload, echoId: ++n, df: false });
    return fragments(request, 1000, n).map((piece) => packet("lan", piece));
  });
  return {
    ...NET6,
    interfaces,
    ...(family === 4 ? { iptables: rules } : { ip6tables: rules }),
    steps,
  };
}

const { lan, wan } = NET6.interfaces;

for (const family of [4, 6] as const) {
  for (const mtu of [1500, 1396, 1280]) {
    Deno.test({
      name: `IPv${family} answers by a link of ${mtu} bytes are cut as Linux cuts them`,
      ignore: !kernelAvailable(),
      fn: () => assertAlike(asked(family, mtu, { lan: { ...lan, mtu }, wan }, "")),
    });
  }

  // The answer goes to the translated client first, and back by another link.
  const rules = nat(
    family === 4 ? `-A INPUT -s ${C} -j SNAT --to ${S}` : `-A INPUT -s ${C6} -j SNAT --to ${S6}`,
  );
  for (const [first, last] of [[1500, 1396], [1396, 1500], [1300, 1300]]) {
    Deno.test({
      name: `IPv${family} answers made for ${first} bytes leave by ${last} as in Linux`,
      ignore: !kernelAvailable(),
      fn: () =>
        assertAlike(asked(family, first, { lan: { ...lan, mtu: last }, wan: { ...wan, mtu: first } }, rules)),
    });
  }
}
