/**
 * The state file: flows, expectations and counters of one router, mapped into memory.
 *
 * ```
 *  /run/weir/NAME.state                     root
 *  $XDG_RUNTIME_DIR/weir/NAME.state         others
 *  /tmp/weir-UID/NAME.state                 others without one
 * ```
 *
 * Life-cycle: the process that routes holds the file's lock (flock), which ends with the process, however that ends. So
 * a file whose lock can be had is nobody's: its process is gone, and its flows are either kept (same layout, same
 * geometry, same boot) or thrown away. The file is removed at a clean end, and stays after kill -9.
 *
 * Limits: a directory on a tmpfs is what makes it as fast as plain memory; on a disk the kernel writes it back. With
 * hundreds of thousands of flows a tmpfs mounted with `huge=within_size` spares a fifth of what finding one of them costs.
 */
import { MappedFile } from "deno_tun";
import { type Geometry, Memory, MemoryError, type Owner } from "../memory.ts";

/** How to open a state file. */
export interface StateOptions {
  /** The router's name: letters, digits, `.`, `_`, `-`. */
  readonly name: string;
  readonly geometry: Geometry;
  /** Go on with the flows of a process that has died, when they fit and this says so too. Default: begin empty. */
  readonly keep?: (memory: Memory) => boolean;
  /** Where it stands; `stateDirectory()` by default. */
  readonly directory?: string;
}

/** A state file that this process owns. */
export interface State {
  readonly path: string;
  readonly memory: Memory;
  /** The flows of an earlier process are in it. */
  readonly recovered: boolean;
  /** Where it is mapped, for the worker. */
  readonly address: bigint;
  readonly length: number;
  /** Gives it up; `remove` deletes the file first. No thread may touch the memory any more. */
  close(remove: boolean): void;
}

/** Another process routes under this name, or the name cannot be one. */
export class StateError extends Error {
  override readonly name = "StateError";
}

/** The directory for state files of this user. */
export function stateDirectory(): string {
  if (Deno.uid() === 0) return "/run/weir";
  const runtime = Deno.env.get("XDG_RUNTIME_DIR");
  return runtime ? `${runtime}/weir` : `/tmp/weir-${Deno.uid()}`;
}

/** The path of a router's state file. */
export function statePath(name: string, directory: string = stateDirectory()): string {
  if (!/^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(name) || name.length > 64) {
    throw new StateError(`“${name}” is not a name for a router: letters, digits, “.”, “_” and “-”`);
  }
  return `${directory}/${name}.state`;
}

/** Makes, or takes over, the state file of a router. Throws a `StateError` or a `SyscallError` of one line. */
export function openState(options: StateOptions): State {
  const { name, geometry, directory = stateDirectory() } = options;
  const path = statePath(name, directory);
  makeDirectory(directory);
  const file = lockedFile(path, name);
  try {
    const owner = ownProcess();
    const kept = options.keep ? keep(file, geometry, owner, options.keep) : null;
    const memory = kept ?? create(file, geometry, owner);
    return {
      path,
      memory,
      recovered: kept !== null,
      address: file.address,
      length: file.length,
      close(remove) {
        // While the lock is held, so that it is not the next process's file that goes.
        if (remove) removeIfThere(path);
        file.unmap();
        file.close();
      },
    };
  } catch (error) {
    file.unmap();
    file.close();
    throw error;
  }
}

/** A state file seen from outside. The memory must not be written to. */
export interface StateView {
  readonly memory: Memory;
  close(): void;
}

/** Looks at the state of a router that runs in any process. */
export function viewState(name: string, directory?: string): StateView {
  const file = new MappedFile(statePath(name, directory), { readOnly: true });
  const close = () => {
    file.unmap();
    file.close();
  };
  try {
    if (file.size === 0) throw new MemoryError(`${file.path} is empty`);
    return { memory: Memory.open(file.map()), close };
  } catch (error) {
    close();
    throw error;
  }
}

/** The file, locked. A file that its owner removed while we waited for nothing is opened anew. */
function lockedFile(path: string, name: string): MappedFile {
  for (;;) {
    const file = new MappedFile(path, { mode: 0o600 });
    try {
      if (!file.lock()) {
        const pid = ownerOf(path);
        throw new StateError(
          `a router named ${name} runs already${pid > 0 ? ` (process ${pid})` : ""}; ` +
            `stop it, or give this one another name (${path} is locked)`,
        );
      }
      file.chmod(0o600);
      if (file.isAt(path)) return file;
    } catch (error) {
      file.close();
      throw error;
    }
    file.close();
  }
}

function create(file: MappedFile, geometry: Geometry, owner: Owner): Memory {
  // To nothing first: what is added then reads as zero and takes no memory until it is touched.
  file.resize(0);
  file.resize(Memory.bytes(geometry));
  return Memory.create(file.map(), geometry, owner);
}

/** The memory of a process that is gone, when it can be gone on with; null when not. */
function keep(
  file: MappedFile,
  geometry: Geometry,
  owner: Owner,
  wanted: (memory: Memory) => boolean,
): Memory | null {
  if (file.size !== Memory.bytes(geometry)) return null;
  let memory: Memory;
  try {
    memory = Memory.open(file.map());
  } catch (error) {
    if (!(error instanceof MemoryError)) throw error;
    file.unmap();
    return null;
  }
  const g = memory.geometry, boot = memory.owner.boot!;
  const fits = g.interfaces === geometry.interfaces && g.rules === geometry.rules &&
    g.flows === geometry.flows &&
    g.expects === geometry.expects && boot.every((word, i) => word === owner.boot![i]) && wanted(memory);
  if (!fits) {
    file.unmap();
    return null;
  }
  memory.adopt(owner);
  return memory;
}

/** The process that a state file names, 0 when that cannot be told. */
function ownerOf(path: string): number {
  try {
    const file = new MappedFile(path, { readOnly: true });
    try {
      return file.size === 0 ? 0 : Memory.open(file.map()).owner.pid;
    } finally {
      file.unmap();
      file.close();
    }
  } catch {
    return 0;
  }
}

function ownProcess(): Owner {
  const stat = Deno.readTextFileSync("/proc/self/stat");
  // Field 2 is the program's name in parentheses and may hold anything, so count from behind it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const bootId = Deno.readTextFileSync("/proc/sys/kernel/random/boot_id").trim().replaceAll("-", "");
  const boot = new Int32Array(4);
  for (let i = 0; i < 4; i++) boot[i] = parseInt(bootId.slice(i * 8, i * 8 + 8), 16);
  return { pid: Deno.pid, processStarted: Number(fields[19]), started: Date.now(), boot };
}

function makeDirectory(directory: string): void {
  try {
    Deno.mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new StateError(
      `cannot make the directory ${directory} for state files: ${(error as Error).message}`,
    );
  }
  const info = Deno.lstatSync(directory);
  if (!info.isDirectory || info.uid !== Deno.uid()) {
    throw new StateError(`the directory ${directory} for state files is another user's`);
  }
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
