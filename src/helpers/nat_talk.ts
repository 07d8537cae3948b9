/**
 * talk and ntalk, NAT half: daemons answer to the address that a request carries, and terminals dial the one in an
 * answer, so both are rewritten to what the other side can reach. Messages keep their size.
 */
import type { Conntrack } from "../conntrack/core.ts";
import { EXP_DIR, EXP_FN, EXP_SAVED_PORT, EXP_TUPLE, EXP_WORDS, EXPECT_OK } from "../conntrack/expect.ts";
import { tupleAt } from "../conntrack/flow.ts";
import { DST, PORTS, SRC } from "../conntrack/tuple.ts";
import { ACCEPT, ORIGINAL, Reason, REPLY, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { udpPayload } from "../packet/udp.ts";
import { EXPECT_FOLLOW_MASTER, findExpectPort, mangleUdpPacket } from "../nat/helper.ts";
import type { NatTalk } from "./conntrack_talk.ts";

/** An address has 16 bytes, of which family, port and host are eight. */
const ADDRESS = 16, PORT = 2, HOST = 4, PORT_AND_HOST = 6;

/** Two addresses: where the caller's terminal waits, and where it wants to have the answer. */
const text = new Uint8Array(2 * ADDRESS), view = new DataView(text.buffer);

/** Rewrites the addresses of talk's messages, and expects what they announce where the peer will send it. */
export const natTalk: NatTalk = {
  request(conntrack: Conntrack, p: Packet, ct: number, offset: number): Verdict {
    const w = conntrack.flows.words, own = tupleAt(ct, ORIGINAL), seen = tupleAt(ct, REPLY);
    const from = udpPayload(p) + offset;
    for (let i = 0; i < text.length; i++) text[i] = p.bytes[from + i];
    let changed = false;
    for (let at = 0; at < text.length; at += ADDRESS) {
      // Another's address is not ours to change.
      if (view.getInt32(at + HOST) !== w[own + SRC] || w[own + SRC] === w[seen + DST]) continue;
      view.setInt32(at + HOST, w[seen + DST]);
      changed = true;
    }
    // The answer goes to the port that the request comes from, as the daemon sees it.
    const port = w[own + PORTS] >>> 16, seenPort = w[seen + PORTS] & 0xffff;
    if (port !== seenPort && view.getInt32(ADDRESS + HOST) === w[seen + DST]) {
      if (view.getUint16(ADDRESS + PORT) === port) {
        view.setUint16(ADDRESS + PORT, seenPort);
        changed = true;
      }
    }
    if (!changed || mangleUdpPacket(p, offset, text.length, text, text.length)) return ACCEPT;
    conntrack.log("nf_ct_talk: dropping packet: cannot mangle packet");
    return p.drop(Reason["helper-mangle-failed"]);
  },

  announced(conntrack: Conntrack, p: Packet, _ct: number, exp: number): Verdict {
    const e = conntrack.expects.words, at = exp * EXP_WORDS;
    e[at + EXP_SAVED_PORT] = e[at + EXP_TUPLE + PORTS] & 0xffff; // daemons listen at one port only
    e[at + EXP_DIR] = REPLY; // whoever is told here will ask
    e[at + EXP_FN] = EXPECT_FOLLOW_MASTER;
    if (conntrack.expectRelated(exp) === EXPECT_OK) return ACCEPT;
    conntrack.log("nf_ct_talk: dropping packet: cannot add expectation");
    return p.drop(Reason["helper-expect-refused"]);
  },

  lookedUp(conntrack: Conntrack, p: Packet, ct: number, offset: number, exp: number): Verdict {
    const e = conntrack.expects.words, at = exp * EXP_WORDS;
    e[at + EXP_SAVED_PORT] = e[at + EXP_TUPLE + PORTS] & 0xffff;
    e[at + EXP_DIR] = ORIGINAL; // who asked will dial
    e[at + EXP_FN] = EXPECT_FOLLOW_MASTER;
    const port = findExpectPort(conntrack, exp, e[at + EXP_SAVED_PORT]);
    if (port === 0) {
      conntrack.log("nf_ct_talk: dropping packet: all ports in use");
      return p.drop(Reason["helper-no-port"]);
    }
    view.setUint16(0, port);
    view.setInt32(2, conntrack.flows.words[tupleAt(ct, ORIGINAL) + DST]);
    if (mangleUdpPacket(p, offset + PORT, PORT_AND_HOST, text, PORT_AND_HOST)) return ACCEPT;
    conntrack.log("nf_ct_talk: dropping packet: cannot mangle packet");
    conntrack.unexpectRelated(exp);
    return p.drop(Reason["helper-mangle-failed"]);
  },
};
