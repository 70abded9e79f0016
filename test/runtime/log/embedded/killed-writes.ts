// Owns what the killed process writes, so that the test knows it without asking.

export const WRITERS = 3;

/** Records of transaction `number` of a writer, the same for both partitions. */
export function writtenValues(writer: number, number: number): string[] {
  return Array.from(
    { length: 1 + (number % 4) },
    (_, i) => `${writer}:${number}.${i} ${'y'.repeat((number * 37) % 700)}`,
  );
}
