/**
 * FTP: control connections that announce, in every way there is and some that there is not, and data connections to
 * what the other end was really told.
 *
 * @module
 */
import type { Chance } from "../chance.ts";
import { addressBytes } from "../../kit/packets.ts";
import { type Family, HOSTS } from "../net.ts";
import type { End, Step } from "../steps.ts";
import { atLength, ends, type Side } from "./talk.ts";
import { Tcp } from "./tcp.ts";

const six = (address: string, port: number) => `${address.replaceAll(".", ",")},${port >> 8},${port & 255}`;

/** An address as people may write it. */
function spelled(c: Chance, address: string): string {
  if (!address.includes(":") || c.is(0.6)) return address;
  const b = addressBytes(address);
  const words = Array.from({ length: 8 }, (_, i) => ((b[2 * i] << 8) | b[2 * i + 1]).toString(16));
  return c.is(0.5) ? words.join(":") : words.map((w) => w.padStart(4, "0")).join(":").toUpperCase();
}

/** A line by the client or the server that announces where it listens; `odd` breaks it somehow. */
function announcement(
  c: Chance,
  family: Family,
  from: End,
  address: string,
  port: number,
  odd: boolean,
): string {
  const line = from === 0
    ? c.weighted<() => string>([
      [family === 4 ? 5 : 0.2, () => `PORT ${six(family === 4 ? address : "192.0.2.2", port)}\r\n`],
      [family === 4 ? 2 : 5, () => {
        const bar = c.weighted([[8, "|"], [1, "!"], [0.3, "1"]]);
        return `EPRT ${bar}${family === 4 ? 1 : 2}${bar}${spelled(c, address)}${bar}${port}${bar}\r\n`;
      }],
      [0.3, () => `port ${six(family === 4 ? address : "192.0.2.2", port)}\r\n`],
      [0.2, () => `LPRT 6,16,32,1\r\n`],
      [0.2, () => `EPSV ${c.pick(["ALL", "1", "2", ""])}\r\n`],
    ])()
    : c.weighted<() => string>([
      [
        family === 4 ? 5 : 0.2,
        () => `227 Entering Passive Mode (${six(family === 4 ? address : "1.2.3.4", port)}).\r\n`,
      ],
      [0.5, () => `227 Entering Passive Mode. ${six(family === 4 ? address : "1.2.3.4", port)}\r\n`],
      [0.3, () => `227 =${six(family === 4 ? address : "1.2.3.4", port)}\r\n`],
      [family === 4 ? 2 : 5, () => `229 Entering Extended Passive Mode (|||${port}|)\r\n`],
      [0.2, () => `229 Extended (!!!${port}!)\r\n`],
    ])();
  if (!odd) return line;
  return c.weighted<() => string>([
    [2, () => line.slice(0, c.below(line.length))],
    [1, () => line.replace(/\r\n$/, "\n")],
    [1, () => line.replace(/\r\n$/, "")],
    [1, () => line.replace(/\d+/g, (d) => c.is(0.3) ? String(c.pick([0, 256, 999, 70000, "00" + d])) : d)],
    [1, () => line.replace(" ", c.pick(["  ", "\t", "", "\0"]))],
    [1, () => {
      const at = c.below(line.length);
      return line.slice(0, at) + String.fromCharCode(c.between(0, 255)) + line.slice(at + 1);
    }],
    [1, () => line + line],
    [1, () => line + announcement(c, family, from, address, port + 1, false)],
    [1, () => c.pick(from === 0 ? CHATTER : REPLIES) + line],
    [1, () => line.toLowerCase()],
    [1, () => " ".repeat(c.pick([1, 60, 250])) + line],
  ])();
}

const CHATTER = [
  "USER anonymous\r\n",
  "PASS me@\r\n",
  "SYST\r\n",
  "TYPE I\r\n",
  "NOOP\r\n",
  "RETR file\r\n",
  "LIST\r\n",
];
const REPLIES = [
  "220 ready\r\n",
  "331 password\r\n",
  "230 in\r\n",
  "200 ok\r\n",
  "150 coming\r\n",
  "226 done\r\n",
  "425 no\r\n",
];

/** A session. Takes the numbers `number` … `number + 5`: the control connection and its data connections. */
export function ftpTalk(c: Chance, number: number, family: Family): Step[] {
  const sides = ends(c, family, c.weighted([[8, 21], [1, 2121]]));
  const t = new Tcp(c, number, family, sides);
  if (c.is(0.97)) t.open();
  if (c.is(0.9)) t.data(1, "220 ready\r\n");
  if (c.is(0.9)) t.data(0, "USER anonymous\r\n");
  let data = number + 1;
  for (let n = c.between(1, 6); n > 0; n--) {
    if (c.is(0.4)) t.data(0, c.pick(CHATTER));
    if (c.is(0.4)) t.data(1, c.pick(REPLIES));
    if (c.is(0.15)) continue;
    const from: End = c.is(0.5) ? 0 : 1;
    const address = c.weighted([[10, sides[from].address], [1, sides[1 - from].address], [
      1,
      c.pick(HOSTS[family].lan),
    ]]);
    const port = c.weighted<() => number>([
      [6, () => c.between(20000, 60000)],
      [2, () => c.pick([5001, 5002])],
      [1, () => c.pick([0, 21, 22, 80, 1023, 65535])],
    ])();
    const line = announcement(c, family, from, address, port, c.is(0.2));
    if (c.is(0.1) && line.length > 2) {
      const cut = c.between(1, line.length - 1);
      t.data(from, line.slice(0, cut));
      t.data(from, line.slice(cut));
    } else t.data(from, atLength(c, line));
    if (c.is(0.1)) t.complain((1 - from) as End);
    if (c.is(0.85) && data < number + 6) {
      t.steps.push(...dataConnection(c, family, number, data++, sides, from, port));
    }
    if (c.is(0.3)) t.data(1, c.pick(REPLIES));
  }
  t.close();
  return t.steps;
}

/** The other end calls what was announced. */
function dataConnection(
  c: Chance,
  family: Family,
  control: number,
  number: number,
  sides: readonly [Side, Side],
  listener: End,
  port: number,
): Step[] {
  const caller = {
    ...sides[1 - listener],
    port: listener === 0 ? c.pick([20, 20, 3000]) : c.between(20000, 30000),
  };
  const t = new Tcp(c, number, family, [caller, { ...sides[listener], port }]);
  t.open();
  for (let n = c.below(4); n > 0; n--) t.data(c.pick([0, 1]), c.pick([10, 500, 1000]));
  if (c.is(0.2)) t.complain(c.pick([0, 1]));
  t.close();
  // Its end 0 is the control connection's end `1 - listener`: that is who was told.
  return t.steps.map((step) =>
    step.from === 0 ? { ...step, dial: control, told: (1 - listener) as End } : step
  );
}
