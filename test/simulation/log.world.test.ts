// The simulated log must keep every promise of the log port: on a good day, and on a day when nothing fails but
// everything is late, cut and out of step.

import { HARMLESS_FAULTS, NO_FAULTS } from '#test/simulation/world/log-faults.ts';
import { simulatedSubject } from '#test/simulation/world/log-subject.ts';
import { logSuite } from '#test/suites/log.suite.ts';

logSuite(simulatedSubject('simulated', 1, NO_FAULTS));
for (const seed of [2, 3, 4])
  logSuite(simulatedSubject(`simulated, late and cut, seed ${seed}`, seed, HARMLESS_FAULTS));
