/**
 * All sorts of conversations, by name and weight.
 *
 * @module
 */
import type { Chance } from "./chance.ts";
import type { Family } from "./net.ts";
import type { Step } from "./steps.ts";
import { ftpTalk } from "./talks/ftp.ts";
import { amandaTalk, ircTalk, tftpTalk } from "./talks/helpers.ts";
import { echoTalk, fragmentTalk, rareTalk, sctpTalk, strayTalk, udpTalk } from "./talks/others.ts";
import { tcpTalk } from "./talks/tcp.ts";
import { tooBigTalk } from "./talks/too_big.ts";

type Make = (c: Chance, number: number, family: Family) => Step[];

/** Numbers that one conversation may take. */
export const NUMBERS = 6;

/** A sort of conversation, how often it is held, and how. */
export const KINDS: Readonly<Record<string, readonly [weight: number, make: Make]>> = {
  tcp: [6, tcpTalk],
  ftp: [8, ftpTalk],
  udp: [4, udpTalk],
  echo: [3, echoTalk],
  sctp: [2, sctpTalk],
  rare: [1, rareTalk],
  fragment: [2, fragmentTalk],
  stray: [1, strayTalk],
  tftp: [1, tftpTalk],
  irc: [1, ircTalk],
  amanda: [1, amandaTalk],
  "too-big": [1, tooBigTalk],
};
