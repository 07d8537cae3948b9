/** The ring of events and its readers: what is written is read, in order, and what is missed is counted. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  EVENT_ID,
  EventReader,
  EventRing,
  LISTEN_EXPECTS,
  LISTEN_FLOWS,
} from "../../src/conntrack/events.ts";
import { formatEvent } from "../../src/conntrack/event_format.ts";
import { CT_STATUS, FLOW_WORDS, IPS_EVENTS } from "../../src/conntrack/flow.ts";
import { STAT_EARLY_DROP } from "../../src/conntrack/tracker.ts";
import { ftp } from "../../src/helpers/mod.ts";
import { tcp, udp } from "../kit/mod.ts";
import { Rig } from "./rig.ts";

const C = "192.0.2.2", S = "198.51.100.7";
const query = (sport: number) => udp({ src: C, sport, dst: S, dport: 53 });
const answer = (sport: number) => udp({ src: S, sport: 53, dst: C, dport: sport });

/** All that a reader has before it, as ids. */
function ids(reader: EventReader): number[] {
  const found: number[] = [];
  for (let record; (record = reader.next()) !== null;) found.push(record[EVENT_ID]);
  return found;
}

Deno.test("EventReader: everybody reads everything that has come since the beginning of reading", () => {
  const rig = new Rig();
  rig.events.wanted = LISTEN_FLOWS;
  rig.send(query(1));
  const first = new EventReader(rig.events);
  rig.send(query(2));
  const second = new EventReader(rig.events);
  rig.send(query(3));
  assertEquals([ids(first), ids(second)], [[2, 3], [3]]);
  rig.send(query(4));
  assertEquals([ids(first), ids(second), first.lost, second.lost], [[4], [4], 0, 0]);
});

Deno.test("EventReader: one that falls behind loses the oldest, is told how many, and goes on behind them", () => {
  const rig = new Rig({ capacity: 8192 }), { events } = rig;
  events.wanted = LISTEN_FLOWS;
  const reader = new EventReader(events), keeping = new EventReader(events);
  let kept = 0;
  for (let sport = 1; sport <= 5000; sport++) {
    rig.send(query(sport));
    kept += ids(keeping).length;
  }
  const found = ids(reader);
  assertEquals([kept, keeping.lost], [5000, 0]);
  assertEquals(found.length + reader.lost, 5000);
  assert(found.length >= events.capacity / 2 - 1, `${found.length} of ${events.capacity}`);
  assertEquals(found, Array.from({ length: found.length }, (_, i) => 5001 - found.length + i));
});

Deno.test("EventReader: numbers wrap", () => {
  const buffer = new ArrayBuffer(EventRing.bytes(16)), rig = new Rig();
  new Int32Array(buffer)[0] = 0x7ffffffe;
  const events = new EventRing(buffer, 0, 16), reader = new EventReader(events);
  rig.send(query(1));
  for (let i = 0; i < 5; i++) events.flow(0, rig.conntrack.flows, 0, rig.clock, 0, new Int32Array(0));
  assertEquals([ids(reader).length, reader.lost, events.newest], [5, 0, 0x80000003 | 0]);
});

Deno.test("EventReader: a record that is being written is not believed", () => {
  const buffer = new ArrayBuffer(EventRing.bytes(16)), rig = new Rig(), words = new Int32Array(buffer);
  const events = new EventRing(buffer, 0, 16), reader = new EventReader(events);
  rig.send(query(1));
  for (let i = 0; i < 3; i++) events.flow(0, rig.conntrack.flows, 0, rig.clock, 0, new Int32Array(0));
  // As if a writer was about to write the 17th over the first.
  words[32 + 1 * 48] = ~17;
  assertEquals([ids(reader).length, reader.lost], [2, 1]);
});

Deno.test("Teller: nobody listening, nothing is written, and flows stay as they were", () => {
  const rig = new Rig({ helpers: [ftp()] });
  for (const sport of [1, 2, 3]) {
    rig.send(query(sport));
    rig.send(answer(sport));
  }
  rig.send(tcp({ src: C, sport: 9, dst: S, dport: 21, flags: "S" }));
  for (let ct = 0; ct < 3; ct++) {
    assertEquals(rig.conntrack.flows.words[ct * FLOW_WORDS + CT_STATUS] & IPS_EVENTS, 0);
  }
  rig.conntrack.flush(-1);
  assertEquals(rig.events.newest, 0);
});

Deno.test("Teller: who listens later hears nothing of flows that were there before", () => {
  const rig = new Rig(), reader = new EventReader(rig.events);
  rig.send(query(1));
  rig.events.wanted = LISTEN_FLOWS;
  rig.send(answer(1));
  rig.send(query(2));
  rig.conntrack.flush(-1);
  assertEquals(ids(reader), [2, 2]);
});

Deno.test("Teller: what nobody wants to hear is not written", () => {
  const rig = new Rig(), reader = new EventReader(rig.events);
  rig.events.wanted = LISTEN_EXPECTS;
  rig.send(query(1));
  rig.events.wanted = 0;
  rig.send(answer(1));
  rig.conntrack.flush(-1);
  assertEquals(ids(reader), []);
});

Deno.test("Teller: flows that make room for others, and those that a helper leaves, are told of", () => {
  const rig = new Rig({ helpers: [ftp()], sysctl: { max: 4 } }), reader = new EventReader(rig.events);
  rig.events.wanted = LISTEN_FLOWS;
  rig.send(tcp({ src: C, sport: 9, dst: S, dport: 21, flags: "S" }));
  rig.conntrack.unloadHelper(0);
  for (let sport = 1; sport < 40; sport++) rig.send(query(sport));
  const lines: string[] = [];
  for (let record; (record = reader.next()) !== null;) lines.push(formatEvent(record));
  assertStringIncludes(lines[0], "[NEW] tcp      6 120 SYN_SENT");
  assertStringIncludes(lines[0], " helper=ftp");
  assertStringIncludes(lines[1], "[UPDATE] tcp      6 120 src=");
  assertStringIncludes(lines[1], " helper=ftp");
  const of = (tag: string) => lines.filter((line) => line.includes(tag)).length;
  assertEquals(of("[NEW]") - of("[DESTROY]"), rig.conntrack.flows.count);
  assert(of("[DESTROY]") > 0);
  assertEquals(of("[DESTROY]"), rig.conntrack.stats[STAT_EARLY_DROP]);
});

Deno.test("Teller: an expectation that times out is told of with its master", () => {
  const rig = new Rig({ helpers: [ftp()] }), reader = new EventReader(rig.events);
  rig.events.wanted = LISTEN_EXPECTS;
  const c = { src: C, sport: 9, dst: S, dport: 21 }, s = { src: S, sport: 21, dst: C, dport: 9 };
  rig.send(tcp({ ...c, flags: "S", seq: 100 }));
  rig.send(tcp({ ...s, flags: "SA", seq: 500, ack: 101 }));
  rig.send(tcp({ ...c, flags: "A", seq: 101, ack: 501 }));
  rig.send(tcp({ ...c, flags: "PA", seq: 101, ack: 501, payload: "USER ftp\r\n" }));
  rig.send(tcp({ ...c, flags: "PA", seq: 111, ack: 501, payload: "PORT 192,0,2,2,19,136\r\n" }));
  rig.clock.advance(301_000);
  rig.conntrack.sweep();
  const rest = "proto=6 src=198.51.100.7 dst=192.0.2.2 sport=0 dport=5000 mask-src=255.255.255.255 " +
    "mask-dst=255.255.255.255 sport=0 dport=65535 master-src=192.0.2.2 master-dst=198.51.100.7 sport=9 dport=21 " +
    "class=0 helper=ftp";
  assertEquals(formatEvent(reader.next()!), `    [NEW] 300 ${rest}`);
  assertEquals(formatEvent(reader.next()!), `[DESTROY] 0 ${rest}`);
  assertEquals(reader.next(), null);
});
