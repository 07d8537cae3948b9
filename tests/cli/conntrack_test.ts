/** `weir conntrack -L` reads the state file of a router that runs; here this process is the router. */

import { assertEquals, assertThrows } from "@std/assert";
import { list } from "../../src/cli/conntrack.ts";
import { Refused } from "../../src/cli/command.ts";
import { Xoshiro } from "../../src/clock.ts";
import {
  CT_EXPIRES,
  CT_HELPER,
  CT_ORIGINAL,
  CT_REPLY,
  CT_STATE,
  CT_STATUS,
  FLOW_CONFIRMED,
  FLOW_WORDS,
  IPS_SEEN_REPLY,
} from "../../src/conntrack/flow.ts";
import { FlowTable } from "../../src/conntrack/table.ts";
import { DST, PORTS, PROTO, SRC } from "../../src/conntrack/tuple.ts";
import { openState } from "../../src/control/state_file.ts";
import { BatchClock } from "../../src/dataplane/clock.ts";
import { ftp, tftp } from "../../src/helpers/mod.ts";
import { UDP } from "../../src/netfilter.ts";
import { Folder } from "./weir.ts";
import { libc } from "deno_tun";

// Opened once for all, before a test could be blamed for leaving it open.
libc();

const GEOMETRY = { interfaces: 2, rules: 0, flows: 100, expects: 10 };
const CLIENT = 0xc0000202 | 0, SERVER = 0xc6336402 | 0, GATE = 0xc6336401 | 0;

function tuple(
  w: Int32Array,
  at: number,
  source: number,
  destination: number,
  sport: number,
  dport: number,
): void {
  w[at + SRC] = source;
  w[at + DST] = destination;
  w[at + PORTS] = sport << 16 | dport;
  w[at + PROTO] = UDP | 4 << 8;
}

Deno.test("conntrack -L shows the flows of a running router, with names of helpers", () => {
  using folder = new Folder();
  const state = openState({ name: "gateway", geometry: GEOMETRY, directory: folder.path });
  try {
    const { memory } = state;
    memory.generation.describe([ftp(), tftp()], false);
    const flows = new FlowTable(memory.buffer, memory.flowsOffset, GEOMETRY.flows, new Xoshiro(1));
    assertEquals(list("conntrack", undefined, folder.path), []);

    const ct = flows.alloc(), at = ct * FLOW_WORDS, w = flows.words;
    tuple(w, at + CT_ORIGINAL, CLIENT, SERVER, 4242, 69);
    tuple(w, at + CT_REPLY, SERVER, GATE, 69, 4242);
    w[at + CT_STATUS] = IPS_SEEN_REPLY;
    w[at + CT_HELPER] = 2;
    w[at + CT_EXPIRES] = (new BatchClock().now + 29_500) | 0;
    w[at + CT_STATE] = FLOW_CONFIRMED;
    const line = "udp      17 29 src=192.0.2.2 dst=198.51.100.2 sport=4242 dport=69 " +
      "src=198.51.100.2 dst=198.51.100.1 sport=69 dport=4242 mark=0 helper=tftp use=1";
    assertEquals(list("conntrack", undefined, folder.path), [line]);
    assertEquals(list("conntrack", "gateway", folder.path), [line]);
    assertEquals(list("expect", undefined, folder.path), []);
  } finally {
    state.close(false);
  }
});

Deno.test("conntrack -L refuses where no router runs, none of that name, or several", () => {
  using folder = new Folder();
  const refused = (name: string | undefined, reason: string) =>
    assertThrows(() => list("conntrack", name, folder.path), Refused, reason);
  refused(undefined, "no router is running");
  const a = openState({ name: "a", geometry: GEOMETRY, directory: folder.path });
  const b = openState({ name: "b", geometry: GEOMETRY, directory: folder.path });
  try {
    refused(undefined, "several routers run: a, b; name one by --name");
    refused("c", "no router is running that is called c; there are a, b");
    assertEquals(list("conntrack", "a", folder.path), []);
    // What a killed router left is not what a running one has.
    b.memory.adopt({ pid: 1, processStarted: -1, started: 0, boot: new Int32Array(4) });
    refused("b", "no router is running that is called b; there is a");
    assertEquals(list("conntrack", undefined, folder.path), []);
  } finally {
    a.close(true);
    b.close(true);
  }
  Deno.writeTextFileSync(`${folder.path}/other.state`, "something else");
  refused(undefined, "no router is running");
});
