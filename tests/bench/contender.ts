/** What is measured: one router between the namespaces `lan` and `wan`. */
import type { Running } from "../netns/lab.ts";
import type { Stage } from "./stage.ts";

/** What a scenario asks of a router. */
export interface Setting {
  /** iptables-save text; the floor and slirp4netns have no rules. */
  readonly rules: string;
  /** Flows that have to find room. */
  readonly flows: number;
}

/** A router that forwards. */
export interface Router {
  /** Its process; null if it has none, as the kernel. */
  readonly process: Running | null;
  /** Where packets from lan go, if its devices have link addresses. */
  readonly mac: string;
  /** Bytes that it keeps, all flows included, where that can be told. */
  memory(): number | null;
}

/** One file per contender, in contenders/. */
export interface Contender {
  /** In JSON and on the command line. */
  readonly name: string;
  /** Above its column. */
  readonly title: string;
  /** Programs that have to be installed. */
  readonly needs: readonly string[];
  /** Most flows that it can be made to hold. */
  readonly mostFlows: number;
  /** It compiles while it runs: traffic comes before the measured traffic. */
  readonly warms: boolean;
  start(stage: Stage, setting: Setting): Promise<Router>;
}

/** A router that is a process on devices without link addresses. */
export function processRouter(process: Running, mac = ""): Router {
  return { process, mac, memory: () => residentBytes(process.pid) };
}

/** Resident bytes of a process. */
function residentBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/${pid}/status`))![1]) * 1024;
}
