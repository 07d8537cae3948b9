import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { SyscallError } from "deno_tun";
import { type DevicePlan, Devices, hostCommands, type InterfacePlan } from "../../src/control/devices.ts";
import { ip, IpError } from "../../src/control/ip.ts";
import { deviceTest, Namespaces, run, test } from "../ffi/netns.ts";

const lan = (netns: string): InterfacePlan => ({
  index: 1,
  name: "lan",
  device: "weir-lan",
  mtu: 1400,
  addresses: ["192.0.2.1/24", "2001:db8:1::1/64"],
  offload: true,
  peer: { netns, addresses: ["192.0.2.2/24", "2001:db8:1::2/64"], routes: ["default", "203.0.113.0/24"] },
});
const wan = (netns: string): InterfacePlan => ({
  index: 2,
  name: "wan",
  device: "weir-wan",
  mtu: 1500,
  addresses: ["198.51.100.1/24"],
  offload: false,
  peer: { netns, addresses: ["198.51.100.2/24"], routes: ["default"] },
});
const ROUTES = [{ destination: "0.0.0.0/0", interface: 2 }, { destination: "2001:db8:9::/48", interface: 1 }];

const show = async (netns: string, ...what: string[]) =>
  (await run("ip", "-n", netns, ...what)).split("\n").map((line) => line.trim());

deviceTest("Devices gives the namespaces their side, and takes all of it back", async () => {
  await using ns = await Namespaces.make(2);
  const [a, b] = ns.names;
  const devices = await Devices.open({ interfaces: [lan(a), wan(b)], host: null, routes: ROUTES });
  assertEquals(devices.queues[0].map(({ index, name, vnet }) => [index, name, vnet]), [[1, "lan", true], [
    2,
    "wan",
    false,
  ]]);
  const link = (await show(a, "-o", "link", "show", "weir-lan"))[0];
  assertStringIncludes(link, "mtu 1400");
  assertStringIncludes(link, "UP");
  const v4 = await show(a, "-4", "route");
  for (const route of ["default dev weir-lan scope link", "203.0.113.0/24 dev weir-lan scope link"]) {
    assert(v4.includes(route), v4.join("\n"));
  }
  assert((await show(a, "-6", "route")).some((route) => route.startsWith("default dev weir-lan")));
  const addresses = (await show(a, "-o", "-6", "address", "show", "weir-lan", "scope", "global")).join("\n");
  assertStringIncludes(addresses, "2001:db8:1::2/64");
  assertEquals(addresses.includes("tentative"), false);
  assertEquals((await show(b, "-6", "route")).some((route) => route.startsWith("default")), false);
  devices.close();
  for (const netns of ns.names) {
    assertEquals((await show(netns, "-o", "link")).filter((l) => l !== "").length, 1);
  }
});

deviceTest("Devices without a peer are up in the own namespace, without addresses", async () => {
  await using ns = await Namespaces.make(1);
  const device = { ...lan(ns.names[0]), device: `weir${Deno.pid}`, peer: null };
  using _devices = await Devices.open({ interfaces: [device], host: null, routes: [] });
  const link = await run("ip", "-o", "link", "show", device.device);
  assertStringIncludes(link, "mtu 1400");
  assertStringIncludes(link, "UP");
});

deviceTest("Devices gives the host device Weir's addresses and routes", async () => {
  await using ns = await Namespaces.make(3);
  const [a, b, h] = ns.names;
  const plan: DevicePlan = {
    interfaces: [lan(a), wan(b)],
    host: { device: "weir0", netns: h },
    routes: ROUTES,
  };
  using devices = await Devices.open(plan);
  assertEquals(devices.queues[0].map((port) => port.index), [1, 2, 0]);
  assertEquals((await show(h, "-4", "route")).filter((line) => line !== ""), [
    "default dev weir0 scope link src 198.51.100.1",
    "192.0.2.0/24 dev weir0 scope link src 192.0.2.1 mtu 1400",
    "198.51.100.0/24 dev weir0 scope link src 198.51.100.1",
  ]);
  const v6 = await show(h, "-6", "route");
  for (const destination of ["2001:db8:1::/64", "2001:db8:9::/48"]) {
    const route = v6.find((line) => line.startsWith(destination));
    assertStringIncludes(route ?? v6.join("\n"), "dev weir0 src 2001:db8:1::1");
    assertStringIncludes(route!, "mtu 1400");
  }
  const addresses = (await show(h, "-o", "address", "show", "weir0")).join("\n");
  for (const address of ["192.0.2.1/32", "198.51.100.1/32", "2001:db8:1::1/128"]) {
    assertStringIncludes(addresses, address);
  }
});

test("hostCommands asks for each route once, with a source of its family", () => {
  const plan: DevicePlan = {
    interfaces: [
      { ...lan("a"), addresses: ["192.0.2.1/24", "192.0.2.9/24", "203.0.113.1/32"] },
      { ...wan("b"), addresses: ["2001:db8:2::1/64"] },
    ],
    host: { device: "weir0", netns: null },
    routes: [{ destination: "0.0.0.0/0", interface: 2 }, { destination: "192.0.2.0/24", interface: 2 }],
  };
  const routes = hostCommands(plan, "weir0").map((command) => command.args.join(" "))
    .filter((args) => args.startsWith("route"));
  assertEquals(routes, [
    "route add 192.0.2.0/24 dev weir0 src 192.0.2.1 mtu 1400",
    "route add 2001:db8:2::/64 dev weir0 src 2001:db8:2::1",
    "route add 0.0.0.0/0 dev weir0 src 192.0.2.1",
  ]);
});

deviceTest("Devices that cannot all be made leave nothing behind, and say why in one line", async () => {
  await using ns = await Namespaces.make(2);
  const [a, b] = ns.names;
  await run("ip", "-n", b, "tuntap", "add", "dev", "weir-wan", "mode", "tun");
  const plan = (second: InterfacePlan): DevicePlan => ({
    interfaces: [lan(a), second],
    host: null,
    routes: [],
  });
  const peer = wan(b).peer!;
  const failures: [kind: new (...args: never[]) => Error, why: string, second: InterfacePlan][] = [
    [SyscallError, "cannot open TUN device weir-wan: the name is in use", wan(b)],
    [SyscallError, "`ip netns add weirdev-none` makes it", wan("weirdev-none")],
    [
      IpError,
      `cannot add address 198.51.100.2/24 to device weir-b in namespace ${b}`,
      { ...wan(b), device: "weir-b", peer: { ...peer, addresses: ["198.51.100.2/24", "198.51.100.2/24"] } },
    ],
    [
      IpError,
      `cannot add route 203.0.113.0/24 to device weir-b in namespace ${b}: File exists; it is there already`,
      { ...wan(b), device: "weir-b", peer: { ...peer, routes: ["203.0.113.0/24", "203.0.113.0/24"] } },
    ],
  ];
  for (const [kind, why, second] of failures) {
    const error = await assertRejects(() => Devices.open(plan(second)), Error);
    assert(error instanceof kind, error.message);
    assertStringIncludes(error.message, why);
    assertEquals(error.message.includes("\n"), false, error.message);
    assertEquals((await show(a, "-o", "link")).filter((line) => line !== "").length, 1, why);
  }
});

test("ip tells that the program is missing", async () => {
  const path = Deno.env.get("PATH")!;
  Deno.env.set("PATH", "/nowhere");
  try {
    const error = await assertRejects(() => ip(null, [{ args: ["-V"], what: "" }]), IpError);
    assertStringIncludes(error.message, "there is no `ip` program; install iproute2");
  } finally {
    Deno.env.set("PATH", path);
  }
});
