// Owns which field of an Avro schema is which part of a sample: metric_name, timestamp, value, labels, each perhaps in a
// union with null; other fields are passed over. Invariant: a schema either gives a plan or a sentence that names the
// field and what is wrong with it.

import type { AvroKind, AvroNode, AvroSchema } from '#operators/formats/avro-schema.ts';

export const SKIPPED = 0;
export const METRIC_NAME = 1;
export const TIMESTAMP = 2;
export const VALUE = 3;
export const LABELS = 4;

export interface SampleStep {
  readonly use: number;
  readonly node: AvroNode;
}

export interface SamplePlan {
  /** Whether a record holds an array of samples. */
  readonly isArray: boolean;
  readonly steps: readonly SampleStep[];
}

interface Part {
  readonly name: string;
  readonly use: number;
  readonly kinds: readonly AvroKind[];
  readonly words: string;
}

const PARTS: readonly Part[] = [
  { name: 'metric_name', use: METRIC_NAME, kinds: ['string'], words: 'a string' },
  { name: 'timestamp', use: TIMESTAMP, kinds: ['long', 'int'], words: 'a long' },
  { name: 'value', use: VALUE, kinds: ['double', 'float', 'long', 'int'], words: 'a double' },
  { name: 'labels', use: LABELS, kinds: ['map'], words: 'a map of strings' },
];

/** The plan for samples of that schema; a text tells why it has none. */
export function samplePlan(schema: AvroSchema): SamplePlan | string {
  const isArray = schema.node.kind === 'array';
  const record = isArray ? schema.node.children[0] : schema.node;
  if (record.kind !== 'record') return `the schema is ${article(record.kind)}, not a record or an array of records`;
  for (const part of PARTS) {
    const at = record.names.indexOf(part.name);
    if (at < 0 && part.use === LABELS) continue;
    if (at < 0) return `the schema has no field '${part.name}'`;
    const problem = partProblem(part, record.children[at]);
    if (problem !== null) return problem;
  }
  const logicalType = timestampType(isArray ? (schema.json as { items?: unknown }).items : schema.json);
  if (logicalType !== null && logicalType !== 'timestamp-millis') {
    return `field 'timestamp' of the schema is '${logicalType}', not milliseconds`;
  }
  const steps = record.names.map((name, i): SampleStep => {
    const use = PARTS.find((part) => part.name === name)?.use ?? SKIPPED;
    return { use, node: record.children[i] };
  });
  return { isArray, steps };
}

function partProblem(part: Part, node: AvroNode): string | null {
  const isMapOfTexts = (map: AvroNode) =>
    branches(map.children[0]).every(({ kind }) => kind === 'string' || kind === 'null');
  const fits = (branch: AvroNode) =>
    branch.kind === 'null' || (part.kinds.includes(branch.kind) && (branch.kind !== 'map' || isMapOfTexts(branch)));
  return branches(node).every(fits) ? null : `field '${part.name}' of the schema is not ${part.words}`;
}

function branches(node: AvroNode): readonly AvroNode[] {
  return node.kind === 'union' ? node.children : [node];
}

function timestampType(record: unknown): string | null {
  const { fields } = record as { readonly fields?: readonly { readonly name: string; readonly type: unknown }[] };
  const type = fields?.find((field) => field.name === 'timestamp')?.type;
  for (const branch of Array.isArray(type) ? type : [type]) {
    const logicalType: unknown = (branch as { readonly logicalType?: unknown } | null)?.logicalType;
    if (typeof logicalType === 'string') return logicalType;
  }
  return null;
}

function article(kind: AvroKind): string {
  return /^[aei]/.test(kind) ? `an ${kind}` : `a ${kind}`;
}
