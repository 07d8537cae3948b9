/**
 * From a validated configuration to the devices that it asks for.
 *
 * @module
 */
import type { DevicePlan, InterfacePlan } from "./devices.ts";

/** The part of a validated configuration that devices are made from. */
export interface DeviceConfig {
  /** In the order of their indices, which begin at 1; one without a name keeps an index free. */
  readonly interfaces: readonly {
    readonly name: string;
    /** Device name, when it is not the interface's. */
    readonly device?: string;
    readonly mtu: number;
    readonly addresses: readonly string[];
    readonly offload?: boolean;
    readonly peer?: {
      readonly netns: string;
      readonly addresses?: readonly string[];
      readonly routes?: readonly string[];
    } | null;
  }[];
  readonly host?: { readonly device: string; readonly netns?: string | null } | null;
  readonly routes: readonly {
    readonly destination: string;
    /** Name of the interface; a route without one leads nowhere. */
    readonly interface?: string;
    readonly via?: string;
  }[];
}

/** What `Devices.open` is to make. */
export function planDevices(config: DeviceConfig): DevicePlan {
  const interfaces = config.interfaces.flatMap((i, at): InterfacePlan[] =>
    i.name === "" ? [] : [{
      index: at + 1,
      name: i.name,
      device: i.device ?? i.name,
      mtu: i.mtu,
      addresses: i.addresses,
      offload: i.offload ?? true,
      peer: i.peer
        ? { netns: i.peer.netns, addresses: i.peer.addresses ?? [], routes: i.peer.routes ?? [] }
        : null,
    }]
  );
  const routes = config.routes.flatMap(({ destination, interface: name, via }) => {
    const to = interfaces.find((i) => i.name === name);
    return to === undefined
      ? []
      : prefixes(destination, via).map((prefix) => ({ destination: prefix, interface: to.index }));
  });
  const host = config.host ? { device: config.host.device, netns: config.host.netns ?? null } : null;
  return { interfaces, host, routes };
}

/** A destination with its prefix length; "default" is of the next hop's family, or of both. */
function prefixes(destination: string, via?: string): string[] {
  if (destination === "default") {
    return via === undefined ? ["0.0.0.0/0", "::/0"] : [via.includes(":") ? "::/0" : "0.0.0.0/0"];
  }
  if (destination.includes("/")) return [destination];
  return [`${destination}/${destination.includes(":") ? 128 : 32}`];
}
