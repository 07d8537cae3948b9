import { assertEquals } from "@std/assert";
import { planDevices } from "../../src/control/plan.ts";

Deno.test("planDevices fills in what a configuration may leave out", () => {
  const plan = planDevices({
    interfaces: [
      { name: "lan", mtu: 1400, addresses: ["192.0.2.1/24"], peer: { netns: "lan" } },
      { name: "wan", mtu: 1500, addresses: [], device: "tun-wan", offload: false },
    ],
    host: { device: "weir0" },
    routes: [],
  });
  assertEquals(plan, {
    interfaces: [
      {
        index: 1,
        name: "lan",
        device: "lan",
        mtu: 1400,
        addresses: ["192.0.2.1/24"],
        offload: true,
        peer: { netns: "lan", addresses: [], routes: [] },
      },
      { index: 2, name: "wan", device: "tun-wan", mtu: 1500, addresses: [], offload: false, peer: null },
    ],
    host: { device: "weir0", netns: null },
    routes: [],
  });
});

Deno.test("planDevices writes every route with its prefix length and its interface's index", () => {
  const interfaces = ["lan", "wan"].map((name) => ({ name, mtu: 1500, addresses: [] }));
  const routes = (...list: { destination: string; interface?: string; via?: string }[]) =>
    planDevices({ interfaces, routes: list }).routes.map((route) => [route.destination, route.interface]);
  assertEquals(routes({ destination: "default", interface: "wan" }), [["0.0.0.0/0", 2], ["::/0", 2]]);
  assertEquals(routes({ destination: "default", interface: "wan", via: "198.51.100.254" }), [[
    "0.0.0.0/0",
    2,
  ]]);
  assertEquals(routes({ destination: "default", interface: "lan", via: "2001:db8::1" }), [["::/0", 1]]);
  assertEquals(routes({ destination: "203.0.113.9", interface: "lan" }), [["203.0.113.9/32", 1]]);
  assertEquals(routes({ destination: "2001:db8::9", interface: "lan" }), [["2001:db8::9/128", 1]]);
  assertEquals(routes({ destination: "203.0.113.0/24", interface: "lan" }), [["203.0.113.0/24", 1]]);
  assertEquals(routes({ destination: "203.0.113.0/24" }), [], "a route that leads nowhere");
});
