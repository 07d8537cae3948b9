/** Garbage collection while 10,000,000 packets of mixed traffic pass, without devices (tests/properties). */
import { collections } from "../../properties/collections.ts";
import type { Scenario } from "../scenario.ts";

const PACKETS = 10_000_000;

export const heap: Scenario = {
  name: "heap",
  about: "what is allocated and collected in 10,000,000 packets of mixed traffic, without devices; once",
  measures: [
    {
      key: "collections",
      title: "garbage collections in 10,000,000 packets",
      unit: "",
      targets: [{ most: 1 }],
    },
    { key: "bytes", title: "allocated on the heap per packet", unit: "bytes" },
    { key: "time", title: "time per packet, mixed traffic, without devices", unit: "µs" },
  ],
  limit: 120,
  once: true,
  leftOut: (contender) => contender.name === "weir" ? null : "no garbage collection",
  async run(_contender, { signal }) {
    const { young, whole, allocated, milliseconds } = await collections(PACKETS, "whole", signal);
    return {
      collections: young + whole,
      bytes: allocated / PACKETS,
      time: milliseconds * 1e3 / PACKETS,
    };
  },
};
