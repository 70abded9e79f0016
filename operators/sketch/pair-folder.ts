// Owns folding bucket codes into sorted (code, count) pairs. Narrow spans are counted in a dense array, wide ones are
// sorted; both give the same pairs. Keeps nothing between calls but scratch space.

import { invariant } from '#runtime/std/errors.ts';

/** Codes of an ordinary metric lie within a few octaves of 64: 1,024 is sixteen. */
const DENSE_SPAN_MAX = 2048;
const INSERTION_SORT_MAX = 24;

export class PairFolder {
  #dense = new Int32Array(0);
  #sorted = new Int32Array(64);
  #one = new Int32Array(128);
  #two = new Int32Array(128);

  /**
   * Folds chunk[from, from + used), of which the first `pairs` pairs are sorted and the rest raw codes, and `extraPairs`
   * sorted pairs at `extra[extraStart]` into `target[at]`, which must have room; returns the number of pairs.
   */
  fold(
    chunk: Int32Array,
    from: number,
    pairs: number,
    used: number,
    extra: Int32Array,
    extraStart: number,
    extraPairs: number,
    target: Int32Array,
    at: number,
  ): number {
    const tailFrom = from + 2 * pairs;
    const end = from + used;
    if (tailFrom === end && extraPairs === 0) {
      for (let i = from; i < end; i++) target[at + i - from] = chunk[i];
      return pairs;
    }
    let least = Number.MAX_SAFE_INTEGER;
    let most = Number.MIN_SAFE_INTEGER;
    if (pairs > 0) {
      least = chunk[from];
      most = chunk[tailFrom - 2];
    }
    if (extraPairs > 0) {
      least = Math.min(least, extra[extraStart]);
      most = Math.max(most, extra[extraStart + 2 * extraPairs - 2]);
    }
    for (let i = tailFrom; i < end; i++) {
      const code = chunk[i];
      if (code < least) least = code;
      if (code > most) most = code;
    }
    const span = most - least + 1;
    if (span > DENSE_SPAN_MAX || span > 16 * (end - from + extraPairs)) {
      return this.#foldSorted(chunk, from, pairs, used, extra, extraStart, extraPairs, target, at);
    }
    if (this.#dense.length === 0) this.#dense = new Int32Array(DENSE_SPAN_MAX);
    const dense = this.#dense;
    for (let i = from; i < tailFrom; i += 2) dense[chunk[i] - least] = chunk[i + 1];
    for (let i = extraStart; i < extraStart + 2 * extraPairs; i += 2) {
      const place = extra[i] - least;
      dense[place] = sumOf(dense[place], extra[i + 1]);
    }
    for (let i = tailFrom; i < end; i++) dense[chunk[i] - least]++;
    let to = at;
    for (let place = 0; place < span; place++) {
      const count = dense[place];
      if (count === 0) continue;
      invariant(count > 0, 'a sketch bucket counts more than 2^31 - 1 values');
      target[to++] = least + place;
      target[to++] = count;
      dense[place] = 0;
    }
    return (to - at) >> 1;
  }

  #foldSorted(
    chunk: Int32Array,
    from: number,
    pairs: number,
    used: number,
    extra: Int32Array,
    extraStart: number,
    extraPairs: number,
    target: Int32Array,
    at: number,
  ): number {
    const tail = used - 2 * pairs;
    if (this.#sorted.length < tail) this.#sorted = new Int32Array(2 * tail);
    if (this.#one.length < 2 * tail) this.#one = new Int32Array(4 * tail);
    const sorted = this.#sorted;
    for (let i = 0; i < tail; i++) sorted[i] = chunk[from + 2 * pairs + i];
    sortCodes(sorted, tail);
    const tailPairs = countRuns(sorted, tail, this.#one);
    if (this.#two.length < 2 * (tailPairs + extraPairs)) this.#two = new Int32Array(4 * (tailPairs + extraPairs));
    const added = mergePairs(this.#one, 0, tailPairs, extra, extraStart, extraPairs, this.#two, 0);
    return mergePairs(chunk, from, pairs, this.#two, 0, added, target, at);
  }
}

function sumOf(one: number, two: number): number {
  const sum = one + two;
  invariant(sum <= 0x7fffffff, 'a sketch bucket counts more than 2^31 - 1 values');
  return sum;
}

function sortCodes(codes: Int32Array, count: number): void {
  if (count > INSERTION_SORT_MAX) {
    codes.subarray(0, count).sort();
    return;
  }
  for (let i = 1; i < count; i++) {
    const code = codes[i];
    let at = i;
    for (; at > 0 && codes[at - 1] > code; at--) codes[at] = codes[at - 1];
    codes[at] = code;
  }
}

function countRuns(sorted: Int32Array, count: number, target: Int32Array): number {
  let to = 0;
  for (let i = 0; i < count; ) {
    const code = sorted[i];
    const first = i;
    while (i < count && sorted[i] === code) i++;
    target[to++] = code;
    target[to++] = i - first;
  }
  return to >> 1;
}

function mergePairs(
  one: Int32Array,
  oneStart: number,
  onePairs: number,
  two: Int32Array,
  twoStart: number,
  twoPairs: number,
  target: Int32Array,
  start: number,
): number {
  let a = oneStart;
  let b = twoStart;
  let to = start;
  const aEnd = oneStart + 2 * onePairs;
  const bEnd = twoStart + 2 * twoPairs;
  while (a < aEnd || b < bEnd) {
    const takeOne = b >= bEnd || (a < aEnd && one[a] <= two[b]);
    const both = takeOne && b < bEnd && one[a] === two[b];
    target[to++] = takeOne ? one[a] : two[b];
    target[to++] = both ? sumOf(one[a + 1], two[b + 1]) : takeOne ? one[a + 1] : two[b + 1];
    if (takeOne) a += 2;
    if (!takeOne || both) b += 2;
  }
  return (to - start) >> 1;
}
