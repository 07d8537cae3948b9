import { assert, assertEquals } from "@std/assert";
import { tcp, udp } from "../kit/packets.ts";
import { askKernel, kernelAvailable } from "./kernel.ts";
import { packet, type Scenario } from "./scenario.ts";

const ignore = !kernelAvailable();
const scenario: Scenario = {
  interfaces: {
    lan: { addresses: ["192.0.2.1/24", "2001:db8:1::1/64"] },
    wan: { addresses: ["203.0.113.1/24", "2001:db8:3::1/64"] },
  },
  routes: [{ destination: "0.0.0.0/0", interface: "wan" }, { destination: "::/0", interface: "wan" }],
  iptables: "*nat\n-A POSTROUTING -o wan -j MASQUERADE\nCOMMIT\n",
  ip6tables: "*mangle\n-A FORWARD -m conntrack --ctstate NEW\nCOMMIT\n",
  steps: [
    packet("lan", udp({ src: "192.0.2.2", sport: 1000, dst: "198.51.100.7", dport: 53 })),
    packet("lan", tcp({ src: "2001:db8:1::2", sport: 1000, dst: "2001:db8:2::7", dport: 80, flags: "S" })),
  ],
};
const namespace = () => Deno.readLinkSync("/proc/thread-self/ns/net");
const devices = () => Deno.readTextFileSync("/proc/thread-self/net/dev");
const names = (text: string) => text.split("\n").flatMap((line) => line.match(/^\s*(\S+):/)?.[1] ?? []);

Deno.test({
  name: "askKernel leaves the thread in its own namespace, without devices, whatever happens",
  ignore,
  fn() {
    const before = [namespace(), names(devices())];
    askKernel(scenario);
    assertEquals([namespace(), names(devices())], before);
    let failed = false;
    try {
      askKernel({ ...scenario, iptables: "*nat\n-A POSTROUTING -j NOSUCH\nCOMMIT\n" });
    } catch (error) {
      failed = true;
      assert((error as Error).message.includes("NOSUCH"), (error as Error).message);
    }
    assert(failed);
    assertEquals([namespace(), names(devices())], before);
  },
});

Deno.test({
  name: "askKernel hears nothing but what the packets cause, and counts nothing else",
  ignore,
  fn() {
    for (let i = 0; i < 5; i++) {
      const { emitted, dumps } = askKernel(scenario);
      assertEquals(emitted.map((e) => [e.iface, e.step]), [["wan", 0], ["wan", 1]]);
      assert(dumps[0].ip6tables.includes(":OUTPUT ACCEPT [0:0]"), dumps[0].ip6tables);
      assertEquals(dumps[0].conntrack.length, 2);
    }
  },
});

Deno.test({
  name: "askKernel begins anew each time",
  ignore,
  fn() {
    const plain = { ...scenario, iptables: undefined, ip6tables: undefined };
    const { dumps } = askKernel(plain);
    assertEquals([dumps[0].conntrack, dumps[0].iptables, dumps[0].ip6tables], [[], "", ""]);
  },
});
