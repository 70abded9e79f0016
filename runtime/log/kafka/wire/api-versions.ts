// Owns ApiVersions v3: which requests a broker understands and which cluster features are finalized.

import type { WireReader, WireRequest, WireWriter } from '#runtime/log/kafka/wire/codec.ts';

export interface VersionRange {
  readonly min: number;
  readonly max: number;
}

export interface ApiVersionsAnswer {
  readonly error: number;
  /** By API key. */
  readonly versions: ReadonlyMap<number, VersionRange>;
  /** Highest finalized level by feature name. */
  readonly features: ReadonlyMap<string, number>;
}

const FINALIZED_FEATURES_TAG = 2;

export function apiVersionsRequest(): WireRequest<ApiVersionsAnswer> {
  return {
    name: 'ApiVersions',
    apiKey: 18,
    version: 3,
    flexible: true,
    encode(out: WireWriter) {
      out.compactText('millrace');
      out.compactText('1');
      out.tags();
    },
    decode,
  };
}

function decode(input: WireReader): ApiVersionsAnswer {
  const error = input.i16();
  const versions = new Map<number, VersionRange>();
  const features = new Map<string, number>();
  // A broker that refuses version 3 answers in the layout of version 0.
  if (error !== 0) return { error, versions, features };
  for (let left = input.compactCount(); left > 0; left--) {
    const key = input.i16();
    versions.set(key, { min: input.i16(), max: input.i16() });
    input.tags();
  }
  input.i32();
  for (let left = input.uvarint(); left > 0; left--) {
    const tag = input.uvarint();
    const size = input.uvarint();
    if (tag !== FINALIZED_FEATURES_TAG) {
      input.skip(size);
      continue;
    }
    for (let count = input.compactCount(); count > 0; count--) {
      const name = input.compactText() ?? '';
      features.set(name, input.i16());
      input.i16();
      input.tags();
    }
  }
  return { error, versions, features };
}
