// Runs the contract suite of the log port over the embedded log, once with segments and a write-ahead log so small that
// rolling and checkpoints happen all the time.

import { embeddedSubject } from '#test/runtime/log/embedded/embedded-subject.ts';
import { logSuite } from '#test/suites/log.suite.ts';

logSuite(embeddedSubject('embedded', {}));
logSuite(embeddedSubject('embedded with tiny files', { segmentBytesMax: 300, walBytesMax: 2000 }));
