// Owns the oracle's own idea of where a key lives: the canonical series text of CONTRACT and Kafka's default
// partitioner, both written again here in another way than the product does, so that a shared mistake cannot hide.

/** `metric_name{a="…",b="…"}`, values escaped as in the Prometheus text format; without labels just `metric_name`. */
export function canonicalText(metricName: string, labels: Iterable<readonly [string, string]>): string {
  const pairs = [...labels].filter(([, value]) => value !== '');
  if (pairs.length === 0) return metricName;
  pairs.sort(([left], [right]) => Buffer.compare(Buffer.from(left), Buffer.from(right)));
  const texts = pairs.map(([name, value]) => {
    return `${name}="${value.replaceAll(/[\\"\n]/g, (letter) => ESCAPES.get(letter)!)}"`;
  });
  return `${metricName}{${texts.join(',')}}`;
}

const ESCAPES = new Map([
  ['\\', '\\\\'],
  ['"', '\\"'],
  ['\n', '\\n'],
]);

const MULTIPLIER = 0x5bd1e995n;
const WORD = 0xffffffffn;

/** Partition that Kafka's default partitioner gives a key: murmur2 in plain 32-bit arithmetic on bigint. */
export function partitionOfKey(key: Uint8Array, partitionCount: number): number {
  const bytes = [...key].map(BigInt);
  let hash = (0x9747b28cn ^ BigInt(bytes.length)) & WORD;
  const whole = Math.floor(bytes.length / 4);
  for (let word = 0; word < whole; word++) {
    let mixed = 0n;
    for (let byte = 3; byte >= 0; byte--) mixed = (mixed << 8n) | bytes[word * 4 + byte];
    mixed = (mixed * MULTIPLIER) & WORD;
    mixed ^= mixed >> 24n;
    mixed = (mixed * MULTIPLIER) & WORD;
    hash = ((hash * MULTIPLIER) & WORD) ^ mixed;
  }
  const rest = bytes.slice(whole * 4);
  for (let byte = rest.length - 1; byte >= 0; byte--) hash ^= rest[byte] << BigInt(8 * byte);
  if (rest.length > 0) hash = (hash * MULTIPLIER) & WORD;
  hash ^= hash >> 13n;
  hash = (hash * MULTIPLIER) & WORD;
  hash ^= hash >> 15n;
  return Number((hash & 0x7fffffffn) % BigInt(partitionCount));
}
