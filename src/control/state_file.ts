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
 * a file whose lock can be had is nobody's: its process is gone, and its flows are either kept (same layout, as many
 * flows, same boot) or thrown away. The file is removed at a clean end, and stays after kill -9. For another
 * configuration it grows; what is mapped is longer than the file, so that it is mapped once.
 *
 * The file has holes where no flow has been yet. Touching one that the file system has no more space for ends the
 * process (SIGBUS), so all that a router begins with, or a configuration, is reserved before it is touched, or refused;
 * the places of further flows are reserved by the data plane (`dataplane/file_space.ts`). With the first configuration
 * goes room for another one, so that a router can be reloaded, or killed and started again, when the file system is full.
 *
 * Limits: a directory on a tmpfs is what makes it as fast as plain memory; on a disk the kernel writes it back. With
 * hundreds of thousands of flows a tmpfs mounted with `huge=within_size` spares a fifth of what finding one of them costs.
 */
import { errno, MappedFile, SyscallError } from "deno_tun";
import { Generation, type GenerationGeometry } from "../generation.ts";
import { type Geometry, Memory, MemoryError, type Owner } from "../memory.ts";
import { removeIfThere } from "./remove.ts";

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
  /** In the generation in force; that of the earlier process when there was one. */
  readonly memory: Memory;
  /** The flows of an earlier process are in it. */
  readonly recovered: boolean;
  /** Its descriptor, and where it is mapped, for the worker. */
  readonly file: number;
  readonly address: bigint;
  readonly length: number;
  /** Lays out another generation of `memory`, which is the one in force, and gives it room in the file. */
  extend(memory: Memory, geometry: GenerationGeometry): Memory;
  /** Makes sure of a part of it that is to be used from now on, for `what`. */
  reserve(part: readonly [from: number, to: number], what: string): void;
  /** Gives it up; `remove` deletes the file first. No thread may touch the memory any more that is not left mapped. */
  close(remove: boolean, unmap?: boolean): void;
}

const { EDQUOT, ENOSPC } = errno;

/** Bytes mapped behind what is used at first. They take no memory; generations are to find room there. */
const RESERVE = 256 * 1024 * 1024;

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
      file: file.fd,
      address: file.address,
      length: file.length,
      extend(memory, geometry) {
        const at = memory.place(geometry), end = at + Generation.bytes(geometry);
        if (end > file.length) {
          throw new StateError("these are more rules than the state has room for while it runs");
        }
        const size = file.size;
        try {
          reserve(file, [[at, end]], "another configuration");
        } catch (error) {
          if (file.size > size) file.resize(size);
          throw error;
        }
        return memory.successor(geometry, at);
      },
      reserve: (part, what) => reserve(file, [part], what),
      close(remove, unmap = true) {
        // While the lock is held, so that it is not the next process's file that goes.
        if (remove) removeIfThere(path);
        if (unmap) file.unmap();
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
  readonly path: string;
  /** To be read where the router has written: to read a hole fills it. */
  readonly memory: Memory;
  close(): void;
}

/** Looks at the state of a router that runs in any process. */
export function viewState(name: string, directory?: string): StateView {
  try {
    return view(name, directory);
  } catch (error) {
    // The file grew, and its header named what was added, between two looks at it.
    if (error instanceof MemoryError) return view(name, directory);
    throw error;
  }
}

function view(name: string, directory?: string): StateView {
  const file = new MappedFile(statePath(name, directory), { readOnly: true });
  const close = () => {
    file.unmap();
    file.close();
  };
  try {
    if (file.size === 0) throw new MemoryError(`${file.path} is empty`);
    return { path: file.path, memory: Memory.open(file.map()), close };
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
  const bytes = Memory.bytes(geometry), next = bytes + Generation.bytes(geometry);
  try {
    // The header before all else: who looks at a file that has a size finds memory behind it.
    reserve(file, [...Memory.beginnings(geometry), [bytes, next]], "a router");
  } catch (error) {
    removeIfThere(file.path);
    throw error;
  }
  return Memory.create(file.map(bytes + RESERVE), geometry, owner);
}

/** Makes sure of parts of the file, or says in one line that there is no space for what begins with them. */
function reserve(
  file: MappedFile,
  parts: readonly (readonly [from: number, to: number])[],
  what: string,
): void {
  try {
    for (const [from, to] of parts) file.reserve(from, to - from);
  } catch (error) {
    if (!(error instanceof SyscallError) || ![ENOSPC, EDQUOT].includes(error.errno)) throw error;
    const bytes = parts.reduce((sum, [from, to]) => sum + to - from, 0);
    const directory = file.path.replace(/\/[^/]*$/, "");
    throw new StateError(
      `no space left in ${directory}: ${what} needs ${
        (bytes / (1 << 20)).toFixed(1)
      } MiB there to begin with; ` +
        "make room, or make the file system larger",
    );
  }
}

/** The memory of a process that is gone, when it can be gone on with; null when not. */
function keep(
  file: MappedFile,
  geometry: Geometry,
  owner: Owner,
  wanted: (memory: Memory) => boolean,
): Memory | null {
  const bytes = file.size;
  if (bytes === 0) return null;
  let fits = false;
  try {
    // What lies behind the file's end must not be read, so it is judged before more is mapped.
    const memory = Memory.open(file.map()), g = memory.geometry, boot = memory.owner.boot!;
    fits = g.flows === geometry.flows && g.expects === geometry.expects &&
      boot.every((word, i) => word === owner.boot![i]) && wanted(memory);
  } catch (error) {
    if (!(error instanceof MemoryError)) throw error;
  } finally {
    file.unmap();
  }
  if (!fits) return null;
  reserve(file, Memory.beginnings(geometry), "a router");
  const memory = Memory.open(file.map(bytes + RESERVE));
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
