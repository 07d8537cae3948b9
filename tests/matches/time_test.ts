/** Times and dates: as rules say them, and as Linux judges the present moment. */
import { assertEquals } from "@std/assert";
import { udp } from "../kit/mod.ts";
import { filter, NET } from "../oracle/cases/case.ts";
import { askKernel, kernelAvailable } from "../oracle/kernel.ts";
import { dumpOf, packet } from "../oracle/scenario.ts";
import { Rig } from "../tables/rig.ts";
import { type Spec, specify } from "../tables/spec.ts";

const END = "--datestop 2038-01-19T03:14:07";
const specs: Spec[] = [
  { rule: { timestart: "8:00" }, save: `-m time --timestart 08:00:00 --timestop 23:59:59 ${END}` },
  {
    rule: { timestart: "22:00", timestop: "6:30:15", contiguous: true, weekdays: ["fri", 6] },
    save: `-m time --timestart 22:00:00 --timestop 06:30:15 --weekdays Fri,Sat ${END} --contiguous`,
  },
  {
    rule: { weekdays: { not: ["Sat", "Sun"] }, timestart: "0:00" },
    save: `-m time --weekdays Mon,Tue,Wed,Thu,Fri ${END}`,
  },
  { rule: { monthdays: "1,15" }, save: `-m time --monthdays 1,15 ${END}` },
  {
    rule: { datestart: "2024", datestop: "2024-02-29T10" },
    save: "-m time --datestart 2024-01-01T00:00:00 --datestop 2024-02-29T10:00:00",
  },
  { rule: { timestart: "24:00" }, refused: [".timestart", "time of day"] },
  { rule: { weekdays: "8" }, refused: [".weekdays", "days by name"] },
  { rule: { monthdays: 32 }, refused: [".monthdays", "1 to 31"] },
  { rule: { datestart: "2023-02-29" }, refused: [".datestart", "date such as"] },
  { rule: { datestop: "2039" }, refused: [".datestop", "1970 to 2038"] },
  { rule: { weekdays: "Mon", kerneltz: true }, refused: [".weekdays", "UTC"] },
  { rule: { timestart: "8:00", contiguous: true }, refused: [".timestart", "over midnight"] },
];
specify("time", specs);

const text = (seconds: number) => new Date(seconds * 1000).toISOString().slice(0, 19);
const ofDay = (seconds: number) => text(seconds).slice(11);

/** Conditions round a moment: some hold and some do not. */
function conditions(now: number): string[] {
  const names = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"], HOUR = 3600, DAY = 24 * HOUR;
  const date = new Date(now * 1000),
    today = names[date.getUTCDay()],
    yesterday = names[(date.getUTCDay() + 6) % 7];
  return [
    ...[-2, -1, 1].flatMap((a) =>
      [-1, 1, 2].map((b) => `--timestart ${ofDay(now + a * HOUR)} --timestop ${ofDay(now + b * HOUR)}`)
    ),
    `--weekdays ${today}`,
    `! --weekdays ${today}`,
    `--weekdays ${yesterday}`,
    `--monthdays ${date.getUTCDate()}`,
    `! --monthdays ${date.getUTCDate()}`,
    `--datestart ${text(now - DAY)}`,
    `--datestart ${text(now + DAY)}`,
    `--datestop ${text(now + DAY)}`,
    `--datestop ${text(now - DAY)}`,
    `--timestart ${ofDay(now + 2 * HOUR)} --timestop ${
      ofDay(now + HOUR)
    } --weekdays ${yesterday} --contiguous`,
    `--timestart ${ofDay(now + 2 * HOUR)} --timestop ${ofDay(now + HOUR)} --weekdays ${today} --contiguous`,
    `--timestart ${ofDay(now + 2 * HOUR)} --timestop ${ofDay(now + HOUR)} --weekdays ${yesterday}`,
  ];
}

/** Rules that a packet fits at a moment, by Weir. */
function fitting(rules: string, now: number): string[] {
  const rig = new Rig({}, { iptables: rules });
  rig.clock.wall = now;
  rig.says("filter", udp({ src: "10.0.0.2", dst: "203.0.113.9", sport: 1, dport: 2 }));
  return rig.count("filter", "FORWARD", 4).slice(0, -1).map(([packets]) => String(packets));
}

Deno.test({
  name: "time judges the present moment as Linux does",
  ignore: !kernelAvailable(),
  fn() {
    const now = Math.floor(Date.now() / 1000);
    const rules = filter(...conditions(now).map((options) => `-A FORWARD -m time ${options}`));
    const bytes = udp({ src: "192.0.2.2", dst: "198.51.100.7", sport: 1, dport: 2 });
    const { iptables } = dumpOf(askKernel({ ...NET, iptables: rules, steps: [packet("lan", bytes)] }));
    const linux = [...iptables.matchAll(/^\[(\d+):\d+\] -A FORWARD/gm)].map(([, packets]) => packets);
    assertEquals(fitting(rules, now), linux);
    assertEquals(new Set(linux), new Set(["0", "1"]));
  },
});

Deno.test("time knows the day of the month and of the week on any date", () => {
  for (let now = 5000; now < 2 ** 31; now += 86400 * 37) {
    const date = new Date(now * 1000);
    const day = `--monthdays ${date.getUTCDate()} --weekdays ${date.getUTCDay() || 7}`;
    assertEquals(fitting(filter(`-A FORWARD -m time ${day}`), now), ["1"], date.toISOString());
  }
});
