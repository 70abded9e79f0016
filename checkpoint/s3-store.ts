// Owns checkpoints in an S3-compatible store: the keys they lie under, and writes that never replace a file (conditional:
// the store must refuse them when the key is there). Knows nothing of what is in a file.

import type { CheckpointStore, TaskIdentity } from '#checkpoint/contract.ts';
import { decodeInstallation, encodeInstallation, INSTALLATION_FILE } from '#checkpoint/installation-file.ts';
import { damaged } from '#checkpoint/manifest.ts';
import { type S3Answer, S3Client, type S3Options } from '#checkpoint/s3-client.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';

const FILE_NAME = /^[0-9A-Za-z][0-9A-Za-z._-]*$/;
const DIRECTORY_NAME = /^[0-9A-Za-z_-][0-9A-Za-z._-]*$/;
/** Deletes at a time. */
const DELETES_MAX = 8;
const ABSENT = { 'if-none-match': '*' };

export interface S3StoreOptions extends S3Options {
  /** Of all keys; ends with `/` unless it is empty. */
  readonly prefix: string;
  readonly clock: Clock;
  /** Keys per page of a listing. @default 1000, which is also the most that stores give */
  readonly listMax?: number;
}

export class S3Store implements CheckpointStore {
  readonly #client: S3Client;
  readonly #prefix: string;
  readonly #listMax: number;

  constructor(options: S3StoreOptions) {
    invariant(/^$|\/$/.test(options.prefix), `prefix '${options.prefix}' does not end with /`);
    this.#client = new S3Client(options, options.clock);
    this.#prefix = options.prefix;
    this.#listMax = options.listMax ?? 1_000;
  }

  /**
   * Meets at start what the first checkpoint would meet later: bucket, credentials, rights, and a store that knows no
   * conditional writes. Error: store-refused. `token` is one that no other process uses.
   */
  async requireWritable(token: string): Promise<void> {
    const key = `${this.#prefix}probe-${token}.tmp`;
    const body = new Uint8Array(1);
    const first = await this.#client.send({ method: 'PUT', key, headers: ABSENT, body });
    if (first.status === 501) throw this.#unconditional(first);
    if (first.status !== 200 && !isPresent(first)) throw this.#refused('write to', first);
    const second = await this.#client.send({ method: 'PUT', key, headers: ABSENT, body });
    await this.#delete(key);
    if (!isPresent(second)) throw this.#unconditional(second);
  }

  async readInstallation(): Promise<string | null> {
    const bytes = await this.#read(`${this.#prefix}${INSTALLATION_FILE}`);
    if (bytes === null) return null;
    return decodeInstallation(bytes, `'${this.#prefix}${INSTALLATION_FILE}' in ${this.#client.name}`);
  }

  async writeInstallation(installationId: string): Promise<void> {
    const bytes = encodeInstallation(installationId);
    const key = `${this.#prefix}${INSTALLATION_FILE}`;
    const answer = await this.#client.send({ method: 'PUT', key, headers: ABSENT, body: bytes });
    if (answer.status !== 200 && !isPresent(answer)) throw this.#refused('write to', answer);
    const found = await this.readInstallation();
    if (found === installationId) return;
    throw new StreamError(
      'installation-mismatch',
      `the checkpoint store ${this.#client.name}, prefix '${this.#prefix}', belongs to installation ${found}`,
      'point checkpoints at the prefix of this installation, or at an empty one',
    );
  }

  async list(task: TaskIdentity): Promise<string[]> {
    const prefix = this.#directoryOf(task);
    const names: string[] = [];
    let token: string | undefined;
    do {
      const query: Record<string, string> = { 'list-type': '2', prefix, 'max-keys': String(this.#listMax) };
      if (token !== undefined) query['continuation-token'] = token;
      const answer = await this.#client.send({ method: 'GET', key: '', query });
      const text = answer.body.toString();
      if (answer.status !== 200 || !text.includes('<ListBucketResult')) throw this.#refused('list', answer);
      for (const [, key] of text.matchAll(/<Key>([^<]*)<\/Key>/g)) {
        const name = textOf(key).slice(prefix.length);
        // What others put beside our files is not ours.
        if (FILE_NAME.test(name)) names.push(name);
      }
      const more = /<IsTruncated>\s*true\s*<\/IsTruncated>/.test(text);
      token = more ? textOf(/<NextContinuationToken>([^<]*)</.exec(text)?.[1] ?? '') : undefined;
      if (token === '') throw this.#refused('list all of', answer);
    } while (token !== undefined);
    return names;
  }

  async read(task: TaskIdentity, name: string): Promise<Uint8Array> {
    const bytes = await this.#read(this.#keyOf(task, name));
    if (bytes === null) throw damaged(name, 'is missing');
    return bytes;
  }

  /** Durable when it resolves: the store answers when it is. */
  async write(task: TaskIdentity, name: string, bytes: Uint8Array): Promise<void> {
    const key = this.#keyOf(task, name);
    const answer = await this.#client.send({ method: 'PUT', key, headers: ABSENT, body: bytes });
    if (answer.status === 200) return;
    if (!isPresent(answer)) throw this.#refused('write to', answer);
    // The answer to an earlier try may have been lost: then it is ours already.
    const found = answer.tries > 1 ? await this.#read(key) : null;
    invariant(
      found?.equals(bytes) === true,
      `'${key}' exists in ${this.#client.name}: a file of a checkpoint is never replaced`,
    );
  }

  async remove(task: TaskIdentity, names: readonly string[]): Promise<void> {
    const keys = names.map((name) => this.#keyOf(task, name));
    for (let i = 0; i < keys.length; i += DELETES_MAX) {
      await Promise.all(keys.slice(i, i + DELETES_MAX).map((key) => this.#delete(key)));
    }
  }

  /** By the store itself. No condition: who writes the key again writes the same. */
  async copy(from: TaskIdentity, to: TaskIdentity, name: string): Promise<void> {
    const source = this.#client.sourceOf(this.#keyOf(from, name));
    const headers = { 'x-amz-copy-source': source };
    const answer = await this.#client.send({ method: 'PUT', key: this.#keyOf(to, name), headers });
    if (answer.status === 404 && answer.errorCode !== 'NoSuchBucket') throw damaged(name, 'is missing');
    // A copy that fails on the way says so in the body of a success.
    if (answer.status !== 200 || !answer.body.includes('<CopyObjectResult')) throw this.#refused('copy within', answer);
  }

  async #read(key: string): Promise<Buffer | null> {
    const answer = await this.#client.send({ method: 'GET', key });
    if (answer.status === 200) return answer.body;
    if (answer.status === 404 && answer.errorCode !== 'NoSuchBucket') return null;
    throw this.#refused('read from', answer);
  }

  async #delete(key: string): Promise<void> {
    const answer = await this.#client.send({ method: 'DELETE', key });
    const gone = answer.status === 404 && answer.errorCode !== 'NoSuchBucket';
    if (answer.status !== 204 && answer.status !== 200 && !gone) throw this.#refused('delete from', answer);
  }

  #directoryOf({ namespace, job, run, generation, stage, partition }: TaskIdentity): string {
    const parts = [namespace, job, run, `g${generation}`, stage, String(partition)];
    for (const part of parts) invariant(DIRECTORY_NAME.test(part), `'${part}' cannot be part of a checkpoint's key`);
    return `${this.#prefix}${parts.join('/')}/`;
  }

  #keyOf(task: TaskIdentity, name: string): string {
    invariant(FILE_NAME.test(name), `'${name}' cannot be the name of a checkpoint file`);
    return this.#directoryOf(task) + name;
  }

  #refused(action: string, { status, errorCode }: S3Answer): StreamError {
    return new StreamError(
      'store-refused',
      `checkpoint store ${this.#client.name}: cannot ${action} it (${status} ${errorCode})`.replace(' )', ')'),
      'check bucket, region, endpoint and credentials of s3({ … }), and the rights to get, put, delete and list objects',
    );
  }

  #unconditional({ status }: S3Answer): StreamError {
    return new StreamError(
      'store-refused',
      `checkpoint store ${this.#client.name} takes a second write of the same key with If-None-Match: * (${status})`,
      'use a store with conditional writes: without them an old process could replace the files of a new one',
    );
  }
}

function isPresent({ status }: S3Answer): boolean {
  return status === 412;
}

function textOf(text: string): string {
  return text.replace(/&(lt|gt|quot|apos|amp|#\d+|#x[0-9a-fA-F]+);/g, (_, entity: string) => {
    if (entity.startsWith('#x')) return String.fromCodePoint(Number.parseInt(entity.slice(2), 16));
    if (entity.startsWith('#')) return String.fromCodePoint(Number(entity.slice(1)));
    return ENTITIES[entity] ?? '';
  });
}

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };
