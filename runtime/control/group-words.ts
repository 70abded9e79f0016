// Owns what processes say to each other through their group, as bytes: what a member brings into a round, and the
// picture that the leader gives to all. Unknown fields are left for newer versions. Deflated: a group must fit into one
// record of the log, and names of tasks repeat.

import { deflateRawSync, inflateRawSync } from 'node:zlib';

/** A task that a member runs, or may run. */
export interface Claim {
  readonly task: string;
  readonly slot: number;
  /** Measured; null while nothing is known. */
  readonly weight: number | null;
  /** It was told to give the task up and has not done so yet. */
  readonly releasing: boolean;
}

/** What a member brings into a round. */
export interface MemberWord {
  readonly processId: string;
  /** Where other processes reach its admin API. */
  readonly address: string;
  /** 0: it takes nothing, and is about to leave. */
  readonly slots: number;
  readonly engineVersion: string;
  /** Of the picture that the claims follow; -1 when there is none. */
  readonly generation: number;
  readonly claims: readonly Claim[];
  /** Grows with every wish for a new round: the group begins one when words change. */
  readonly wishes: number;
}

export interface PictureMember {
  readonly memberId: string;
  readonly processId: string;
  readonly address: string;
  readonly slots: number;
  readonly engineVersion: string;
}

export interface PictureTask {
  readonly task: string;
  /** Index of the member; -1 for none. */
  readonly member: number;
  readonly slot: number;
  readonly weight: number | null;
}

export interface MovingTask extends PictureTask {
  /** Index of the member that may still run it; -1 for none. */
  readonly holder: number;
}

/** Who runs what, the same for all members. */
export interface Picture {
  readonly members: readonly PictureMember[];
  /** Tasks with an owner. */
  readonly tasks: readonly PictureTask[];
  /** Tasks that nobody may run before the next round, and where they are meant to go. */
  readonly moving: readonly MovingTask[];
  /** The leader could not decide everything: another round is needed, whatever happens. */
  readonly unfinished: boolean;
}

/** Far beyond what a record of the log can hold, and small enough for the memory of any process. */
const WORD_BYTES_MAX = 64 * 1024 * 1024;

export function encodeWord(word: MemberWord): Buffer {
  return pack({ ...word, claims: word.claims.map((one) => [one.task, one.slot, one.weight, one.releasing]) });
}

/** Null for bytes that are no word of a member. */
export function decodeWord(bytes: Uint8Array): MemberWord | null {
  const word = unpack<Omit<MemberWord, 'claims'> & { readonly claims: [string, number, number | null, boolean][] }>(
    bytes,
  );
  if (word === null) return null;
  return {
    ...word,
    claims: word.claims.map(([task, slot, weight, releasing]) => ({ task, slot, weight, releasing })),
  };
}

type TaskRow = [string, number, number, number | null];
type MovingRow = [...TaskRow, number];

export function encodePicture(picture: Picture): Buffer {
  const row = ({ task, member, slot, weight }: PictureTask): TaskRow => [task, member, slot, weight];
  const moving = picture.moving.map((one): MovingRow => [...row(one), one.holder]);
  return pack({ ...picture, tasks: picture.tasks.map(row), moving });
}

/** Null for bytes that are no picture. */
export function decodePicture(bytes: Uint8Array): Picture | null {
  const rows = unpack<Omit<Picture, 'tasks' | 'moving'> & { readonly tasks: TaskRow[]; readonly moving: MovingRow[] }>(
    bytes,
  );
  if (rows === null) return null;
  const tasks = rows.tasks.map(([task, member, slot, weight]) => ({ task, member, slot, weight }));
  const moving = rows.moving.map(([task, member, slot, weight, holder]) => ({ task, member, slot, weight, holder }));
  return { ...rows, tasks, moving };
}

function pack(value: object): Buffer {
  return deflateRawSync(JSON.stringify(value));
}

function unpack<T>(bytes: Uint8Array): T | null {
  if (bytes.length === 0) return null;
  try {
    return JSON.parse(inflateRawSync(bytes, { maxOutputLength: WORD_BYTES_MAX }).toString()) as T;
  } catch {
    return null;
  }
}
