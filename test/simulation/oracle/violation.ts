// Owns how an oracle says that a promise was broken: which oracle, and what it saw.

export type OracleName =
  | 'clean-stop'
  | 'commit-log'
  | 'dead-letters'
  | 'deletion'
  | 'digest'
  | 'exchange'
  | 'idleness'
  | 'late'
  | 'liveness'
  | 'memory'
  | 'needless-stop'
  | 'order-free-rows'
  | 'ownership'
  | 'receiver'
  | 'receiver-order'
  | 'replay'
  | 'rows'
  | 'savepoint'
  | 'task-failed'
  | 'timers';

export class Violation extends Error {
  override readonly name = 'Violation';
  readonly oracle: OracleName;

  constructor(oracle: OracleName, message: string) {
    super(`${oracle}: ${message}`);
    this.oracle = oracle;
  }
}

export function require(condition: boolean, oracle: OracleName, message: () => string): void {
  if (!condition) throw new Violation(oracle, message());
}
