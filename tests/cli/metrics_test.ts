/** `weir metrics`: text that Prometheus takes, with the numbers that the router has. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { readMetrics } from "../../src/cli/metrics.ts";
import { count, stats, statsLine } from "../../src/cli/conntrack.ts";
import { ftp, tftp } from "../../src/helpers/mod.ts";
import { INTERFACE_COUNTERS, RX_BYTES, RX_PACKETS } from "../../src/memory.ts";
import { Reason, REASONS } from "../../src/netfilter.ts";
import { tcp, udp } from "../kit/mod.ts";
import { libc } from "deno_tun";
import { CLIENT, OwnRouter, SERVER } from "./router.ts";

// Opened once for all, before a test could be blamed for leaving it open.
libc();

const CONFIG = {
  tables: { filter: { FORWARD: [{ state: "INVALID", jump: "DROP" }] } },
  helpers: [ftp(), tftp()],
} as const;

/** A sample by its name and labels, as one reads it. */
interface Metric {
  readonly type: string;
  readonly samples: Map<string, number>;
}

/** Reads the text as promtool would, and fails where it would. */
function read(text: string): Map<string, Metric> {
  const found = new Map<string, Metric>();
  let helped = "", typed = "";
  assert(text.endsWith("\n"), "the last line has an end");
  for (const line of text.trimEnd().split("\n")) {
    const help = /^# HELP ([a-z_]+) (\S.*)$/.exec(line),
      type = /^# TYPE ([a-z_]+) (counter|gauge)$/.exec(line);
    if (help) {
      assert(!found.has(help[1]), `${help[1]} is there twice`);
      helped = help[1];
    } else if (type) {
      assertEquals(type[1], helped, "TYPE follows its HELP");
      typed = helped;
      found.set(typed, { type: type[2], samples: new Map() });
      assertEquals(type[2] === "counter", typed.endsWith("_total"), `${typed} is a ${type[2]}`);
    } else {
      const sample = /^([a-z_]+)\{((?:[a-z]+="(?:[^"\\\n]|\\[\\"n])*",?)+)\} (\d+(?:\.\d+)?)$/.exec(line);
      assert(sample !== null, `no sample: ${line}`);
      assertEquals(sample[1], typed, "samples follow their TYPE");
      const { samples } = found.get(typed)!;
      assert(!samples.has(sample[2]), `the same labels twice: ${line}`);
      samples.set(sample[2], Number(sample[3]));
    }
  }
  for (const [name, { samples }] of found) assert(samples.size > 0, `${name} has no sample`);
  return found;
}

Deno.test("metrics prints what the router has counted, each metric once", () => {
  using own = new OwnRouter(CONFIG);
  own.connect();
  own.say("PORT 192,0,2,2,19,136\r\n");
  own.send(1, udp({ src: CLIENT, sport: 1, dst: "203.0.113.1", dport: 2, payload: "x" }));
  const { memory } = own.state;
  memory.interfaces[INTERFACE_COUNTERS + RX_PACKETS] = 7;
  memory.interfaces[INTERFACE_COUNTERS + RX_BYTES] = 7e12;
  const found = read(readMetrics(undefined, own.folder.path));
  const value = (name: string, labels = "") =>
    found.get(name)?.samples.get(`router="gateway"${labels === "" ? "" : `,${labels}`}`);
  assertEquals(value("weir_interface_receive_packets_total", 'interface="lan"'), 7);
  assertEquals(value("weir_interface_receive_bytes_total", 'interface="lan"'), 7e12);
  assertEquals(value("weir_interface_transmit_packets_total", 'interface="wan"'), 0);
  assertEquals(value("weir_dropped_packets_total", 'reason="no-route"'), 1);
  assertEquals(value("weir_dropped_bytes_total", 'reason="no-route"'), 29);
  assertEquals(found.get("weir_dropped_packets_total")!.samples.size, REASONS.length - 1);
  assertEquals([value("weir_flows"), value("weir_flows_max")], [1, 100]);
  assertEquals([value("weir_expectations"), value("weir_expectations_max")], [1, 4096]);
  assertEquals(value("weir_conntrack_insert_total"), 1);
  assertEquals(value("weir_conntrack_expect_create_total"), 1);
  const labels = 'helper="ftp",protocol="tcp"';
  for (const name of ["loaded", "flows", "expectations", "opened_total"]) {
    assertEquals(value(`weir_helper_${name}`, labels), 1, name);
  }
  assertEquals(value("weir_helper_failed_total", labels), 0);
  assertEquals(value("weir_restarts_total"), 0);
  assertEquals(Math.abs(value("weir_start_time_seconds")! - Date.now() / 1000) < 60, true);
});

Deno.test("metrics of a router without helpers has no empty metrics, and odd names are escaped", () => {
  using own = new OwnRouter({ interfaces: { 'a"b\\c': { addresses: ["192.0.2.1/24"] } } });
  const text = readMetrics(undefined, own.folder.path);
  assertEquals(text.includes("weir_helper"), false);
  assertMatch(text, /weir_interface_receive_packets_total\{router="gateway",interface="a\\"b\\\\c"\} 0/);
  read(text);
});

Deno.test("metrics go on where a router that was killed goes on", () => {
  using own = new OwnRouter(CONFIG);
  own.connect();
  const { memory } = own.state;
  memory.countDrop(Reason["ttl-exceeded"], 84);
  memory.adopt({ ...memory.owner });
  const found = read(readMetrics(undefined, own.folder.path));
  const first = (name: string) => found.get(name)!.samples.values().next().value;
  assertEquals([first("weir_restarts_total"), first("weir_conntrack_insert_total")], [1, 1]);
  assertEquals(
    found.get("weir_dropped_packets_total")!.samples.get('router="gateway",reason="ttl-exceeded"'),
    1,
  );
});

Deno.test("conntrack -C and -S tell what the state file has, as conntrack prints it", () => {
  using own = new OwnRouter(CONFIG);
  const directory = own.folder.path;
  own.connect();
  own.connect(4001);
  own.say("PORT 192,0,2,2,19,136\r\n");
  own.send(2, tcp({ src: SERVER, sport: 1, dst: CLIENT, dport: 2, flags: "SF" }));
  assertEquals([count("conntrack", undefined, directory), count("expect", undefined, directory)], [2, 1]);
  assertEquals(
    statsLine(stats("conntrack", undefined, directory)),
    "cpu=0   \tfound=0 invalid=1 insert=2 insert_failed=0 drop=0 early_drop=0 error=0 search_restart=0 " +
      "clash_resolve=0 chaintoolong=0 ",
  );
  assertEquals(
    statsLine(stats("expect", undefined, directory)),
    "cpu=0   \texpect_new=0 expect_create=1 expect_delete=0 ",
  );
});
