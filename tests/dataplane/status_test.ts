import { assertEquals } from "@std/assert";
import { count, type Output, rate, Status } from "../../src/control/status.ts";
import { CONTROL_FLOWS, Memory, TOTAL_RX_BYTES, TOTAL_RX_PACKETS } from "../../src/memory.ts";
import { Reason } from "../../src/netfilter.ts";

const geometry = { interfaces: 2, rules: 0, flows: 10, expects: 1 };

function make(terminal: boolean): { memory: Memory; status: Status; written: string[] } {
  const memory = Memory.create(new ArrayBuffer(Memory.bytes(geometry)), geometry);
  const written: string[] = [];
  const output: Output = { terminal, write: (text) => written.push(text), columns: () => 200 };
  return { memory, status: new Status(memory, output), written };
}

Deno.test("rate and count write numbers as people read them", () => {
  const cases: [number, string][] = [
    [0, "0 "],
    [12, "12 "],
    [999, "999 "],
    [999.7, "1.00 k"],
    [1234, "1.23 k"],
    [45678, "45.7 k"],
    [567890, "568 k"],
    [14.2e9, "14.2 G"],
  ];
  for (const [n, text] of cases) assertEquals(rate(n), text);
  assertEquals([0, 999, 1204, 1234567].map(count), ["0", "999", "1,204", "1,234,567"]);
});

Deno.test("Status line tells packets and bits per second, flows and drops", () => {
  const { memory, status } = make(false);
  memory.totals[TOTAL_RX_PACKETS] = 2000;
  memory.totals[TOTAL_RX_BYTES] = 2.5e9;
  memory.control[CONTROL_FLOWS] = 1204;
  memory.countDrop(Reason["rule-drop"], 100);
  assertEquals(status.line(2), "1.00 kpackets/s · 10.0 Gbit/s · 1,204 flows · 1 dropped");
  memory.control[CONTROL_FLOWS] = 1;
  assertEquals(status.line(1), "0 packets/s · 0 bit/s · 1 flow · 1 dropped");
});

Deno.test("Status in a terminal rewrites one line and keeps others' lines above it", () => {
  const { status, written } = make(true);
  status.show();
  status.log("a line");
  status.show();
  status.stop();
  const line = "0 packets/s · 0 bit/s · 0 flows · 0 dropped";
  assertEquals(written, [`\r${line}\x1b[K`, "\r\x1b[K", "a line\n", `\r${line}\x1b[K`, "\r\x1b[K"]);
});

Deno.test("Status without a terminal writes plain lines, and none that says nothing new", () => {
  const { memory, status, written } = make(false);
  status.show();
  status.show();
  memory.countDrop(Reason["no-route"], 1);
  status.show();
  status.stop();
  assertEquals(written, [
    "0 packets/s · 0 bit/s · 0 flows · 0 dropped\n",
    "0 packets/s · 0 bit/s · 0 flows · 1 dropped\n",
  ]);
});
