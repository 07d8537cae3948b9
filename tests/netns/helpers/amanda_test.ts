/**
 * Amanda with `auth bsd` through Weir: the backup server asks over UDP, and dials the ports that the client's answer
 * names. Each dump is restored from its tape and compared. The same rule set without the helper lets the questions and
 * answers through, but none of what they announce.
 */

import { assertEquals } from "@std/assert";
import { flows } from "../addresses.ts";
import type { Lab } from "../lab.ts";
import { labTest } from "../lab_testing.ts";
import { Amanda, CONTROL, PROGRAMS } from "./amanda.ts";
import { blind, DNAT, helperLab, PLAIN, until, WAYS, withHelper } from "./kit.ts";

/** What a way's backup server asks, and what it calls that. */
const CONFIGURATIONS = WAYS.map((way, i) => ({
  way,
  name: `kept${i}`,
  host: way === DNAT ? "outer.example.net" : "wan.example.net",
}));

/** Clients at both places where servers are, and a backup server for each way. */
async function startAmanda(lab: Lab): Promise<Amanda> {
  const amanda = await Amanda.in(lab);
  try {
    for (const where of ["wan", "lan"]) await amanda.startClient(where);
    for (const { name, host } of CONFIGURATIONS) await amanda.configure(name, host);
    return amanda;
  } catch (error) {
    await amanda[Symbol.asyncDispose]();
    throw error;
  }
}

/** The answer of a client, as the helper reads it: a port for each stream. */
const ANSWER = /^CONNECT DATA 50\d{3} MESG 50\d{3} INDEX 50\d{3} STATE 50\d{3}$/gm;

labTest(
  "Amanda, without NAT, with MASQUERADE, with DNAT: amcheck, amdump, and the directory comes back as it was",
  PROGRAMS,
  async () => {
    await using lab = await helperLab();
    await using amanda = await startAmanda(lab);
    await withHelper(lab, CONTROL);
    for (const { way, name, host } of CONFIGURATIONS) {
      await amanda.check(way.client, name);
      await amanda.dump(way.client, name);
      await amanda.restore(way.client, name, host);
    }
    const answers = await amanda.contents("log/amandad/");
    assertEquals(answers.match(ANSWER)?.length, CONFIGURATIONS.length, "one dump, one answer");
    const table = await flows(lab);
    // Who asks whom, and what the other one sees of it.
    const streams = [
      "src=203.0.113.130 dst=198.51.100.2 .* src=198.51.100.2 dst=203.0.113.130 ",
      "src=192.0.2.2 dst=198.51.100.2 .* src=198.51.100.2 dst=198.51.100.1 ",
      "src=198.51.100.2 dst=198.51.100.1 .* src=192.0.2.2 dst=198.51.100.2 ",
    ];
    for (const stream of streams) {
      assertEquals(table.match(new RegExp(`^tcp .* ${stream}`, "gm"))?.length, 4, `${stream}\n${table}`);
    }
  },
);

labTest(
  "Amanda, the closed rule set: the client answers without the helper, but nothing can be kept",
  PROGRAMS,
  async () => {
    await using lab = await helperLab();
    await using amanda = await startAmanda(lab);
    await blind(lab, CONTROL);
    // The client that the first two share serves one request at a time, hence one of them.
    const configurations = CONFIGURATIONS.filter(({ way }) => way !== PLAIN);
    await Promise.all(configurations.map(async ({ way, name }) => {
      await amanda.ok(way.client, "amcheck", "-c", name);
      // It would try again later, which is not waited for.
      const dump = amanda.start(way.client, "amdump", name);
      await until(
        async () => {
          const log = await amanda.contents(`state-${name}/log/`);
          return /FAIL dumper .*could not connect DATA stream: .*Connection refused/.test(log) ? true : null;
        },
        () => `amdump ${name} goes on: ${dump.text}`,
        20_000,
      );
      await dump.stop("SIGKILL");
    }));
    assertEquals((await flows(lab)).match(/^tcp /gm), null, "no stream came through");
  },
);
