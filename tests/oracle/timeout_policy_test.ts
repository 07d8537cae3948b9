/**
 * R09: `CT --timeout`. Linux keeps policies by name, made with nfct; Weir has them in the rule. The flows they govern
 * must not differ.
 */
import { assert, assertEquals } from "@std/assert";
import { validate } from "../../src/config/validate.ts";
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
      const rules = POLICIES.map(({ protocol }) =>
        `-A PREROUTING -p ${protocol} -j CT --timeout ${protocol}\n`
      );
      router.rules(`*raw\n${rules.join("")}COMMIT\n`);
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

function weir(): Record<string, number>[] {
  const router = new VirtualRouter(
    validate({
      interfaces: INTERFACES,
      tables: {
        ipv4: { raw: { PREROUTING: POLICIES.map((policy) => ({ ...policy, jump: "CT" as const })) } },
      },
    }),
    { emit: () => {} },
  );
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
    const kernel = linux(), ours = weir();
    assertEquals(ours.map(({ udp }) => udp).slice(0, 2), [77, 77], "an answer at once is no stream yet");
    assertEquals(ours.map(({ tcp }) => tcp).slice(2), [33, 44, 555, 22]);
    for (const [i, flows] of ours.entries()) {
      assertEquals(Object.keys(flows).sort(), Object.keys(kernel[i]).sort());
      for (const [protocol, seconds] of Object.entries(flows)) {
        const there = kernel[i][protocol];
        assert(Math.abs(there - seconds) <= 1, `packet ${i}, ${protocol}: Linux ${there}, Weir ${seconds}`);
      }
    }
  },
});
