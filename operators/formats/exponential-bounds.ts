// Owns the bucket bounds of exponential histograms: 2^(index / 2^scale). Invariant: a bound is the same number whatever
// computes it, so that its text names the same series for ever: fractions of powers of two are cut to 12 digits, powers
// of two are exact, and every scale agrees with the finer ones.

const DIGITS = 12;
/** Finer scales are computed each time; a table of them would be large. */
const TABLE_SCALE_MAX = 10;

export const SCALE_MIN = -10;
export const SCALE_MAX = 20;

export class ExponentialBounds {
  readonly #tables: (Float64Array | undefined)[] = [];

  /** Bound `index` at a scale from SCALE_MIN to SCALE_MAX; Infinity or 0 when no double holds it. */
  at(scale: number, index: number): number {
    if (scale <= 0) return 2 ** (index * 2 ** -scale);
    const steps = 2 ** scale;
    const whole = Math.floor(index / steps);
    const step = index - whole * steps;
    if (step === 0) return 2 ** whole;
    // Two factors: 2^-1074 times 1.5 must not round on the way.
    return this.#fraction(scale, steps, step) * 2 ** whole;
  }

  #fraction(scale: number, steps: number, step: number): number {
    if (scale > TABLE_SCALE_MAX) return fractionOf(step / steps);
    this.#tables[scale] ??= new Float64Array(steps);
    const table = this.#tables[scale];
    if (table[step] === 0) table[step] = fractionOf(step / steps);
    return table[step];
  }
}

function fractionOf(exponent: number): number {
  return Number((2 ** exponent).toPrecision(DIGITS));
}
