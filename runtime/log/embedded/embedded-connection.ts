// Owns the client's end of the port to the writer thread: calls and their answers, wakes, and what happens when the
// other side is gone. Invariant: every call is answered or rejected, at the latest when the port closes.

import type { MessagePort, Transferable } from 'node:worker_threads';
import { type Answer, type CallName, type Calls, fromFault } from '#runtime/log/embedded/messages.ts';
import { StreamError } from '#runtime/std/errors.ts';

interface Waiting {
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
}

const STORAGE_BYTES_MIN = 16 * 1024;
const SPARE_STORAGES_MAX = 8;
const SPARE_STORAGE_BYTES_MAX = 4 * 1024 * 1024;

export class EmbeddedConnection {
  readonly #port: MessagePort;
  readonly #waiting = new Map<number, Waiting>();
  readonly #wakes = new Map<number, () => void>();
  readonly #spare: ArrayBuffer[] = [];
  #lastId = 0;
  #lost: StreamError | null = null;

  constructor(port: MessagePort) {
    this.#port = port;
    port.on('message', (answer: Answer) => this.#receive(answer));
    port.on('close', () => this.#hangUp());
  }

  /** Why no call can be answered any more, or null. */
  get lost(): StreamError | null {
    return this.#lost;
  }

  call<K extends CallName>(
    call: K,
    argument: Parameters<Calls[K]>[0],
    transfer: readonly Transferable[] = [],
  ): Promise<ReturnType<Calls[K]>> {
    if (this.#lost !== null) return Promise.reject(this.#lost);
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#port.postMessage({ id, call, argument }, transfer);
    });
  }

  /** `wake` is called when the partition behind the handle may have news, and when the connection is lost. */
  onWake(wake: () => void): number {
    const handle = ++this.#lastId;
    this.#wakes.set(handle, wake);
    return handle;
  }

  forget(handle: number): void {
    if (!this.#wakes.delete(handle) || this.#lost !== null) return;
    this.#port.postMessage({ id: -1, call: 'unsubscribe', argument: handle });
  }

  /** Storage for a frame of at least this size; comes back by itself with the answer of `transact`. */
  storage(sizeBytes: number): ArrayBuffer {
    const fitting = this.#spare.findIndex((spare) => spare.byteLength >= sizeBytes);
    if (fitting >= 0) return this.#spare.splice(fitting, 1)[0];
    let capacity = STORAGE_BYTES_MIN;
    while (capacity < sizeBytes) capacity *= 2;
    return new ArrayBuffer(capacity);
  }

  close(): void {
    this.#port.close();
    this.#hangUp();
  }

  #receive(answer: Answer): void {
    if (answer.kind === 'wake') {
      for (let i = 0; i < answer.handles.length; i++) this.#wakes.get(answer.handles[i])?.();
      return;
    }
    if (answer.storage !== null) this.#keep(answer.storage);
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (answer.kind === 'done') waiting?.resolve(answer.value as never);
    else waiting?.reject(fromFault(answer.fault));
  }

  #keep(storage: ArrayBuffer): void {
    const keep = this.#spare.length < SPARE_STORAGES_MAX && storage.byteLength <= SPARE_STORAGE_BYTES_MAX;
    if (keep) this.#spare.push(storage);
  }

  #hangUp(): void {
    if (this.#lost !== null) return;
    this.#lost = new StreamError(
      'log-unavailable',
      'the connection to the writer thread of the embedded log is closed',
      'look in the log for why it ended; a restart of the process opens the log again',
    );
    for (const waiting of this.#waiting.values()) waiting.reject(this.#lost);
    this.#waiting.clear();
    for (const wake of this.#wakes.values()) wake();
  }
}
