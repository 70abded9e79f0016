// Owns which table holds the keys whose slots a state speaks of: that of the operator the state belongs to. States are
// named `<operator id>/<name>`.

import type { StageProgram } from '#runtime/task/contract.ts';

/** State id of the table of keys of a state; null: the operator keeps nothing by key. */
export function keyTableOf(program: Pick<StageProgram, 'keys'>, stateId: string): string | null {
  return program.keys?.get(operatorOf(stateId))?.stateId ?? null;
}

export function operatorOf(stateId: string): string {
  return stateId.slice(0, stateId.lastIndexOf('/'));
}
