// Owns the bytes and names of a checkpoint's files: manifests as sealed JSON, and the names that no other attempt can
// use. It does not decide which manifest counts.

import type { CheckpointManifest, TaskIdentity } from '#checkpoint/contract.ts';
import { openSealedJson, sealJson } from '#checkpoint/sealed-json.ts';
import { StreamError } from '#runtime/std/errors.ts';

const FORMAT = 1;
const MANIFEST_SUFFIX = '.manifest.json';
const SEGMENT_SUFFIX = '.segment';
const TEMPORARY_SUFFIX = '.tmp';
/** Digits of the largest safe integer: names sort as entries do. */
const ENTRY_DIGITS = 16;
const PASSED_OVER = 'none is needed when an older checkpoint is restored; look at the disk it was on';

/** `<entry>-<attempt>`: what all files of one checkpoint begin with. */
export function checkpointPrefix(entry: number, attempt: string): string {
  return `${String(entry).padStart(ENTRY_DIGITS, '0')}-${attempt}`;
}

/** `repeat` counts manifests of the same entry by the same attempt from 1; only a repeated one carries it. */
export function manifestName(entry: number, attempt: string, repeat: number): string {
  return `${checkpointPrefix(entry, attempt)}${repeat > 1 ? `-${repeat}` : ''}${MANIFEST_SUFFIX}`;
}

export function segmentName(entry: number, attempt: string, number: number): string {
  return `${checkpointPrefix(entry, attempt)}-${number}${SEGMENT_SUFFIX}`;
}

export function temporaryName(name: string): string {
  return `${name}${TEMPORARY_SUFFIX}`;
}

export function isManifestName(name: string): boolean {
  return name.endsWith(MANIFEST_SUFFIX);
}

export function isSegmentName(name: string): boolean {
  return name.endsWith(SEGMENT_SUFFIX);
}

/** Whether a file in a task's directory is ours to delete. */
export function isCheckpointFile(name: string): boolean {
  return isManifestName(name) || isSegmentName(name) || name.endsWith(TEMPORARY_SUFFIX);
}

/** The `<entry>-<attempt>` of a segment's name. */
export function prefixOfSegment(name: string): string {
  return name.slice(0, name.lastIndexOf('-'));
}

/** A checkpoint that cannot be used, with the reason; restore logs it and takes the one before. */
export function damaged(file: string, reason: string, remedy = PASSED_OVER): StreamError {
  return new StreamError('checkpoint-corrupt', `checkpoint file '${file}' ${reason}`, remedy);
}

export function isDamage(error: unknown): error is StreamError {
  return error instanceof StreamError && error.code === 'checkpoint-corrupt';
}

export function encodeManifest(manifest: CheckpointManifest): Uint8Array {
  return sealJson({ ...manifest, watermarkMs: wideNumber(manifest.watermarkMs) });
}

/** A whole file of a format that this version does not read. Never passed over: what is older is not what ran last. */
export function unsupported(where: string, format: unknown, known: number): StreamError {
  return new StreamError(
    'checkpoint-unsupported',
    `${where} has format ${String(format)}, this version reads ${known}`,
    'start with the version of Millrace that wrote it, or a newer one',
  );
}

/**
 * The manifest in a file. Errors: `checkpoint-corrupt` when it is damaged or not one of this task,
 * `checkpoint-unsupported`.
 */
export function decodeManifest(name: string, bytes: Uint8Array, identity: TaskIdentity): CheckpointManifest {
  const value = openSealedJson(bytes) as (CheckpointManifest & { readonly watermarkMs: unknown }) | null;
  if (value === null) throw damaged(name, 'fails its checksum');
  if (value.format !== FORMAT) throw unsupported(`checkpoint file '${name}'`, value.format, FORMAT);
  if (!sameTask(value.identity, identity)) throw damaged(name, 'belongs to another task');
  if (!name.startsWith(checkpointPrefix(value.entry, value.attempt))) throw damaged(name, 'is misnamed');
  return { ...value, watermarkMs: Number(value.watermarkMs) };
}

/** JSON has no infinities: before the first record the watermark is the text `-Infinity`. */
function wideNumber(value: number): number | string {
  return Number.isFinite(value) ? value : String(value);
}

function sameTask(a: TaskIdentity, b: TaskIdentity): boolean {
  return (
    a.namespace === b.namespace &&
    a.job === b.job &&
    a.run === b.run &&
    a.generation === b.generation &&
    a.stage === b.stage &&
    a.partition === b.partition
  );
}
