// Owns the requests of group members: JoinGroup v5, SyncGroup v3, Heartbeat v3, LeaveGroup v3, the last versions that are
// not flexible. Members are dynamic: the instance id is always null.

import type { GroupMember } from '#runtime/log/contract.ts';
import type { WireReader, WireRequest, WireWriter } from '#runtime/log/kafka/wire/codec.ts';

export interface JoinAsked {
  readonly group: string;
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  /** Empty for whoever has none yet. */
  readonly memberId: string;
  readonly protocolType: string;
  /** What the metadata is written in; all members of a group must know a common one. */
  readonly protocol: string;
  readonly metadata: Uint8Array;
}

export interface JoinAnswer {
  readonly error: number;
  readonly generation: number;
  readonly leaderId: string;
  readonly memberId: string;
  readonly members: readonly GroupMember[];
}

export function joinGroupRequest(asked: JoinAsked): WireRequest<JoinAnswer> {
  return {
    name: 'JoinGroup',
    apiKey: 11,
    version: 5,
    flexible: false,
    encode(out: WireWriter) {
      out.text(asked.group);
      out.i32(asked.sessionTimeoutMs);
      out.i32(asked.rebalanceTimeoutMs);
      out.text(asked.memberId);
      out.nullText();
      out.text(asked.protocolType);
      out.i32(1);
      out.text(asked.protocol);
      putBytes(out, asked.metadata);
    },
    decode(input: WireReader): JoinAnswer {
      input.i32();
      const error = input.i16();
      const generation = input.i32();
      input.text();
      const leaderId = input.text() ?? '';
      const memberId = input.text() ?? '';
      const members: GroupMember[] = [];
      for (let left = input.count(); left > 0; left--) {
        const member = input.text() ?? '';
        input.text();
        members.push({ memberId: member, metadata: takeBytes(input) });
      }
      return { error, generation, leaderId, memberId, members };
    },
  };
}

/** A place in a group at one generation. */
export interface GroupPlace {
  readonly group: string;
  readonly memberId: string;
  readonly generation: number;
}

export interface SyncAnswer {
  readonly error: number;
  readonly assignment: Buffer;
}

export function syncGroupRequest(
  place: GroupPlace,
  assignments: ReadonlyMap<string, Uint8Array>,
): WireRequest<SyncAnswer> {
  return {
    name: 'SyncGroup',
    apiKey: 14,
    version: 3,
    flexible: false,
    encode(out: WireWriter) {
      putPlace(out, place);
      out.i32(assignments.size);
      for (const [memberId, assignment] of assignments) {
        out.text(memberId);
        putBytes(out, assignment);
      }
    },
    decode(input: WireReader): SyncAnswer {
      input.i32();
      return { error: input.i16(), assignment: takeBytes(input) };
    },
  };
}

export function heartbeatRequest(place: GroupPlace): WireRequest<{ readonly error: number }> {
  return {
    name: 'Heartbeat',
    apiKey: 12,
    version: 3,
    flexible: false,
    encode: (out: WireWriter) => putPlace(out, place),
    decode(input: WireReader) {
      input.i32();
      return { error: input.i16() };
    },
  };
}

/** Answers the error of the group, or else that of the member. */
export function leaveGroupRequest(group: string, memberId: string): WireRequest<{ readonly error: number }> {
  return {
    name: 'LeaveGroup',
    apiKey: 13,
    version: 3,
    flexible: false,
    encode(out: WireWriter) {
      out.text(group);
      out.i32(1);
      out.text(memberId);
      out.nullText();
    },
    decode(input: WireReader) {
      input.i32();
      let error = input.i16();
      for (let left = input.count(); left > 0; left--) {
        input.text();
        input.text();
        error ||= input.i16();
      }
      return { error };
    },
  };
}

function putPlace(out: WireWriter, { group, generation, memberId }: GroupPlace): void {
  out.text(group);
  out.i32(generation);
  out.text(memberId);
  out.nullText();
}

function putBytes(out: WireWriter, bytes: Uint8Array): void {
  out.i32(bytes.length);
  out.raw(bytes);
}

/** A copy: the frame goes on to other uses. */
function takeBytes(input: WireReader): Buffer {
  const size = Math.max(0, input.i32());
  const at = input.at;
  input.skip(size);
  return Buffer.from(input.bytes.subarray(at, at + size));
}
