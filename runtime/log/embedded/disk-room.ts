// Owns whether the disk of an embedded log has room for more records. Some is kept free: checkpoints, retention and the
// other files of the installation need a little, and a log that stops in time loses nothing and goes on by itself.

import type { LogFiles } from '#runtime/log/embedded/log-files.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';

/** Kept free: this much, or a twentieth of a small disk. */
const FREE_BYTES_MIN = 256 * 1024 * 1024;
const SMALL_DISK_SHARE = 20;
/** To go on there must be this many times what is kept free, so that the log does not stop again at once. */
const RESUME_FACTOR = 1.25;
/** Written without a look at the disk. */
const UNSEEN_BYTES_MAX = 8 * 1024 * 1024;
const LOOK_EVERY_MS = 200;
/** Records are written to the write-ahead log and to their segment. */
const COPIES = 2;

export interface RoomReport {
  readonly full: boolean;
  readonly freeBytes: number;
  /** What has to be free to go on. */
  readonly neededBytes: number;
}

export interface DiskRoomOptions {
  readonly directory: string;
  readonly files: LogFiles;
  readonly clock: Clock;
  /** Told when there is no room left, and when there is again. */
  readonly report: (report: RoomReport) => void;
}

interface Space {
  readonly freeBytes: number;
  readonly keptBytes: number;
}

export class DiskRoom {
  readonly #options: DiskRoomOptions;
  #unseenBytes = 0;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #full: StreamError | null = null;
  #refused = false;

  constructor(options: DiskRoomOptions) {
    this.#options = options;
  }

  /** Before so many bytes of records are written. Error: disk-failed while there is no room. */
  require(bytes: number): void {
    this.#unseenBytes -= bytes * COPIES;
    if (this.#full === null && this.#unseenBytes >= 0) return;
    this.#look(bytes * COPIES);
    if (this.#full !== null) throw this.#full;
  }

  /** The disk refused a write for want of room, whatever it says of its space (a quota): every write tries it again. */
  refused(): void {
    this.#unseenBytes = 0;
    if (!this.#refused && this.#full === null) this.#tell(true, this.#space());
    this.#refused = true;
  }

  /** It took one. */
  written(): void {
    if (!this.#refused) return;
    this.#refused = false;
    this.#tell(false, this.#space());
  }

  #look(bytes: number): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#full !== null && nowMs - this.#lookedMs < LOOK_EVERY_MS) return;
    this.#lookedMs = nowMs;
    const space = this.#space();
    const { freeBytes, keptBytes } = space;
    if (freeBytes < (this.#full === null ? keptBytes : keptBytes * RESUME_FACTOR) + bytes) {
      if (this.#full === null) this.#stop(space);
      return;
    }
    if (this.#full !== null) this.#tell(false, space);
    this.#full = null;
    this.#unseenBytes = Math.min(UNSEEN_BYTES_MAX, freeBytes - keptBytes - bytes);
  }

  #stop(space: Space): void {
    const neededBytes = needed(space);
    this.#full = new StreamError(
      'disk-failed',
      `the disk of the log has ${mebibytes(space.freeBytes)} MiB left, and ${mebibytes(neededBytes)} MiB have to be free`,
      `make room on the disk of '${this.#options.directory}'; the log goes on by itself`,
    );
    this.#tell(true, space);
  }

  #tell(full: boolean, space: Space): void {
    this.#options.report({ full, freeBytes: space.freeBytes, neededBytes: needed(space) });
  }

  #space(): Space {
    const { directory, files } = this.#options;
    const space = files.space(directory);
    // A disk that does not say is written to until it refuses.
    if (space === null) return { freeBytes: Number.MAX_SAFE_INTEGER, keptBytes: 0 };
    return { freeBytes: space.freeBytes, keptBytes: Math.min(FREE_BYTES_MIN, space.totalBytes / SMALL_DISK_SHARE) };
  }
}

function needed({ keptBytes }: Space): number {
  return Math.ceil(keptBytes * RESUME_FACTOR);
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0);
}
