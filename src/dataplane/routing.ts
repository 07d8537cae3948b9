import type { Packet } from "../packet/packet.ts";

/** What the loop drives: `Router`, or a test's own. */
export interface Routing {
  /** Microseconds to look for packets before sleeping (weir.busy_poll); 0 when absent. */
  readonly busyPoll?: number;
  /** The first `count` packets will be received, one after the other: what they need may be fetched. */
  foresee?(packets: readonly Packet[], count: number): void;
  /** A packet from interface `iface`; the record is reset, its length and its offload fields are set. */
  receive(p: Packet, iface: number): void;
  /** A packet from the host device. */
  receiveHost(p: Packet): void;
  /** The device of an interface is gone, 0 for the host device; `first` in one of the data planes. */
  interfaceDown?(iface: number, first: boolean): void;
  /** Timers; once per batch. True when there is more to do soon. */
  sweep(): boolean | void;
  /** Adds what it has counted for itself to what all data planes share; once per batch, before `sweep`. */
  settle?(): void;
  /** A command from the control plane: COMMAND_WORDS words, in which it leaves its answer. */
  command?(words: Int32Array): void;
}
