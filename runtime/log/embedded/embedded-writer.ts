// Owns one transactional id on the client's side: its state, and building the one frame a transaction travels in.

import type { LogWriter, Transaction, TransactionResult } from '#runtime/log/contract.ts';
import type { EmbeddedConnection } from '#runtime/log/embedded/embedded-connection.ts';
import { frameSizeBytes, writeFrame } from '#runtime/log/embedded/transaction-frame.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';

export class EmbeddedWriter implements LogWriter {
  readonly transactionalId: string;
  readonly #connection: EmbeddedConnection;
  #state: 'new' | 'ready' | 'dead' = 'new';
  #instance = -1;
  #busy = false;

  constructor(connection: EmbeddedConnection, transactionalId: string) {
    this.#connection = connection;
    this.transactionalId = transactionalId;
  }

  fence(): Promise<number> {
    return this.#exclusively(async () => {
      this.#instance = await this.#connection.call('fence', this.transactionalId);
      this.#state = 'ready';
      // A transaction of this log is there whole or not at all.
      return 0;
    });
  }

  initialiseAgain(): Promise<number> {
    invariant(this.#instance >= 0, `writer ${this.transactionalId} is initialised again before it was fenced in`);
    return this.#exclusively(async () => {
      const own = { transactionalId: this.transactionalId, instance: this.#instance };
      this.#instance = await this.#connection.call('initialiseAgain', own);
      this.#state = 'ready';
      // A transaction of this log is there whole or not at all.
      return 0;
    });
  }

  async transact(transaction: Transaction): Promise<TransactionResult> {
    if (this.#state === 'dead') {
      throw new StreamError(
        'writer-dead',
        `a transaction of ${this.transactionalId} failed before`,
        'initialise the writer again and read the log to learn its fate',
      );
    }
    invariant(this.#state === 'ready', `writer ${this.transactionalId} transacts before it was fenced in`);
    return this.#exclusively(async () => {
      this.#state = 'dead';
      const entryOffset = await this.#send(transaction);
      this.#state = 'ready';
      const nextEntryOffset = entryOffset + BigInt(transaction.entry.recordCount);
      return { entryOffset, nextEntryOffset, endedByHand: 0 };
    });
  }

  async abortOpen(): Promise<void> {}

  async close(): Promise<void> {
    this.#state = 'dead';
  }

  #send(transaction: Transaction): Promise<bigint> {
    const batches = [...transaction.batches, transaction.entry];
    const frameBytes = frameSizeBytes(batches);
    const storage = this.#connection.storage(frameBytes);
    writeFrame(Buffer.from(storage, 0, frameBytes), batches);
    const call = {
      transactionalId: this.transactionalId,
      instance: this.#instance,
      storage,
      frameBytes,
      targets: batches.map(({ topic, partition }) => ({ topic, partition })),
      expectedEntryOffset: transaction.expectedEntryOffset,
    };
    return this.#connection.call('transact', call, [storage]);
  }

  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    invariant(!this.#busy, `two calls at once on writer ${this.transactionalId}`);
    this.#busy = true;
    try {
      return await work();
    } finally {
      this.#busy = false;
    }
  }
}
