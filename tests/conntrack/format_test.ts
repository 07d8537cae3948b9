/** Listings of a table that goes on while it is read. */
import { assertEquals } from "@std/assert";
import { CT_START } from "../../src/conntrack/flow.ts";
import { udp } from "../kit/mod.ts";
import { Rig } from "./rig.ts";

const datagram = (sport: number) =>
  udp({ src: "192.0.2.2", sport, dst: "198.51.100.7", dport: 53, payload: 9 });

Deno.test("L13 listFlows leaves out a record that goes to another flow while its line is made", () => {
  const rig = new Rig(), { flows } = rig.conntrack;
  for (const sport of [1000, 1001]) rig.send(datagram(sport));
  const aside = flows.aside.bind(flows);
  flows.aside = (ct, word) => {
    if (word !== CT_START) return aside(ct, word);
    // Asked for when most of the line is there.
    flows.aside = aside;
    rig.conntrack.delete(ct);
    rig.send(datagram(2000));
    assertEquals(rig.p.ct, ct, "the record is the new flow's");
    return aside(ct, word);
  };
  assertEquals(rig.flows().map((line) => / sport=(\d+)/.exec(line)![1]), ["1001"]);
  assertEquals(rig.flows().map((line) => / sport=(\d+)/.exec(line)![1]), ["2000", "1001"]);
});
